// SPDX-License-Identifier: BSL-1.0
#include <array>
#include <cstdint>
#include <cstring>
#include <new>
#include <random>

#include <qbipc/padding.hpp>

#include "support/catch.hpp"

namespace {

enum class Colour : short { red };

struct Mixed {
    char c;
    int i;
    double d;
    bool b;
    Colour colour;
};
struct Nested {
    Mixed one;
    std::array<Mixed, 2> more;
    Mixed plain[2];
    char last;
};
struct Doubles {
    double a, b;
};
struct Long {
    double x;
    char name[5000];
};
class Hidden {
public:
    constexpr Hidden() = default;
    Hidden(char c, long l) : c_(c), l_(l) {}

private:
    [[maybe_unused]] char c_ = 'x';
    [[maybe_unused]] long l_ = 5;
};
struct Derived : Doubles {
    char tag;
};
struct LongDouble {
    char c;
    long double value;
};
struct Nothing {};

union Either {
    int i;
    char c;
};
struct WithUnion {
    Either either;
};
struct WithPointer {
    void* pointer;
};
struct WithBits {
    unsigned low : 4, high : 9;
    int i;
};
struct WithLateBits {
    int i;
    unsigned : 3;
    unsigned late : 2;
};
struct NoConstant {
    NoConstant() : i(1) {}
    int i;
};
struct Vouched {
    Either either;
};

/// The bytes that clean_copy() makes of an M that lies on memory full of `before`.
template <class M, class... Values>
std::array<unsigned char, sizeof(M)> sent(unsigned char before, Values... values) {
    alignas(M) unsigned char from[sizeof(M)], to[sizeof(M)];
    std::memset(from, before, sizeof from);
    std::memset(to, 0x11, sizeof to);
    auto* m = ::new (static_cast<void*>(from)) M{values...};
    qbipc::detail::clean_copy(to, *m);
    std::array<unsigned char, sizeof(M)> result;
    std::memcpy(result.data(), to, sizeof to);
    return result;
}

}  // namespace

template <>
inline constexpr bool qbipc::no_padding<Vouched> = true;

TEST_CASE("padding bytes are sent as zeros, value bytes as they are", "[padding]") {
    const auto bytes = sent<Mixed>(0xAA, 'c', 7, 2.5, true, Colour::red);
    Mixed back;
    std::memcpy(&back, bytes.data(), sizeof back);
    CHECK((back.c == 'c' && back.i == 7 && back.d == 2.5 && back.b && back.colour == Colour::red));
    for (std::size_t i = 0; i < sizeof(Mixed); ++i) {
        INFO("byte " << i);
        if (qbipc::detail::padding_mask<Mixed>.padding[i]) CHECK(bytes[i] == 0);
    }
    CHECK(sent<Mixed>(0xAA, 'c', 7, 2.5, true, Colour::red) == sent<Mixed>(0x55, 'c', 7, 2.5, true, Colour::red));
}

TEST_CASE("the mask is exact in structs, arrays, std::array, bases and private members", "[padding]") {
    using qbipc::detail::padding_mask;
    const auto count = [](const auto& mask) {
        std::size_t n = 0;
        for (bool p : mask.padding) n += p;
        return n;
    };
    CHECK(count(padding_mask<Mixed>) == sizeof(Mixed) - 1 - 4 - 8 - 1 - 2);
    CHECK(count(padding_mask<Nested>) == 5 * count(padding_mask<Mixed>) + 7);
    CHECK(count(padding_mask<Doubles>) == 0);
    CHECK(count(padding_mask<Long>) == 0);
    CHECK(count(padding_mask<Hidden>) == 7);
    CHECK(count(padding_mask<Derived>) == 7);
    CHECK(count(padding_mask<Nothing>) == 0);
    CHECK(padding_mask<Mixed>.runs == 3);
}

TEST_CASE("what lay in memory before never shows in what is sent", "[padding]") {
    CHECK(sent<Nested>(0xAA) == sent<Nested>(0x55));
    CHECK(sent<Hidden>(0xAA, 'c', 5L) == sent<Hidden>(0x55, 'c', 5L));
    CHECK(sent<Derived>(0xAA, Doubles{1, 2}, 't') == sent<Derived>(0x55, Doubles{1, 2}, 't'));
    CHECK(sent<LongDouble>(0xAA, 'c', 1.5L) == sent<LongDouble>(0x55, 'c', 1.5L));
}

TEST_CASE("random values of a struct with padding come through whole", "[padding]") {
    std::random_device device;
    const char* given = std::getenv("QBIPC_TEST_SEED");
    const auto seed = given ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : device();
    INFO("QBIPC_TEST_SEED=" << seed);
    std::mt19937 random(seed);
    for (int turn = 0; turn < 1000; ++turn) {
        Nested in{}, out;
        const auto fill = [&](Mixed& m) {
            m = {static_cast<char>(random()), static_cast<int>(random()), double(random()), random() % 2 == 0,
                 Colour(random() % 9)};
        };
        const auto same = [](const Mixed& a, const Mixed& b) {
            return a.c == b.c && a.i == b.i && a.d == b.d && a.b == b.b && a.colour == b.colour;
        };
        fill(in.one), fill(in.more[0]), fill(in.more[1]), fill(in.plain[0]), fill(in.plain[1]);
        in.last = static_cast<char>(random());
        qbipc::detail::clean_copy(&out, in);
        REQUIRE((same(in.one, out.one) && same(in.more[0], out.more[0]) && same(in.more[1], out.more[1]) &&
                 same(in.plain[0], out.plain[0]) && same(in.plain[1], out.plain[1]) && in.last == out.last));
    }
}

TEST_CASE("types whose padding can't be found are told apart", "[padding]") {
    using qbipc::detail::PaddingFound;
    CHECK(PaddingFound<Nested>);
    CHECK(PaddingFound<Nothing>);
    CHECK_FALSE(PaddingFound<WithUnion>);
    CHECK_FALSE(PaddingFound<WithPointer>);
    CHECK_FALSE(PaddingFound<WithBits>);
    CHECK_FALSE(PaddingFound<WithLateBits>);
    CHECK_FALSE(PaddingFound<NoConstant>);
    CHECK(PaddingFound<Vouched>);
    CHECK(sent<Vouched>(0, Either{.i = 0x01020304})[3] == 0x01);
}
