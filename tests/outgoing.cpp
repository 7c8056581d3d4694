// SPDX-License-Identifier: BSL-1.0
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <qbipc/outgoing.hpp>

#include "support/catch.hpp"

namespace {

using qbipc::build;
using qbipc::bytes;
using qbipc::Copy;
using qbipc::EventId;
using qbipc::MessageId;
using qbipc::Result;
using qbipc::with_tail;
using qbipc::detail::ids_of;
using qbipc::detail::OutgoingOf;

struct Plain {
    static constexpr MessageId id = 7;
    static constexpr qbipc::ServiceId service = 9;
    std::uint32_t a = 0, b = 0;
};
struct Padded {
    std::uint8_t a = 0;
    std::uint32_t b = 0;
};
struct Words {
    static constexpr MessageId id = 10;
    using Tail = std::uint32_t;
    std::uint16_t kind = 0;
};
struct Text {
    static constexpr EventId id = 11;
    using Tail = char;
};
struct Empty {};

using Bytes = std::vector<std::byte>;

template <class X>
Bytes written(const X& x) {
    Bytes to(OutgoingOf<X>::size(x), std::byte{0xee});
    CHECK(OutgoingOf<X>::write(x, to.data()) == to.size());
    return to;
}
/// Any part of it, copied alone, is that part of the whole.
template <class X>
void check_parts(const X& x) {
    const Bytes whole = written(x);
    for (std::size_t at = 0; at < whole.size(); ++at)
        for (std::size_t size = 1; size <= whole.size() - at; ++size) {
            Bytes part(size, std::byte{0xee});
            OutgoingOf<X>::copy(x, at, part.data(), size);
            REQUIRE(part == Bytes(whole.begin() + static_cast<std::ptrdiff_t>(at),
                                  whole.begin() + static_cast<std::ptrdiff_t>(at + size)));
        }
}
std::string text_of(const Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace

TEST_CASE("a struct goes out as it is, its padding as zeros; an empty one has no bytes", "[outgoing]") {
    CHECK(written(Plain{1, 2}).size() == 8);
    CHECK(written(Empty{}).empty());
    const auto padded = written(Padded{1, 2});
    CHECK(padded[0] == std::byte{1});
    for (std::size_t i = 1; i < 4; ++i) CHECK(padded[i] == std::byte{0});
    check_parts(Padded{1, 0x01020304});
}

TEST_CASE("a tail follows the struct, aligned for its elements, the gap zero", "[outgoing]") {
    const std::vector<std::uint32_t> a{1, 2};
    const std::array<std::uint32_t, 1> b{3};
    const auto whole = written(with_tail(Words{0x0201}, a, b, std::span<const std::uint32_t>()));
    REQUIRE(whole.size() == 4 + 12);
    CHECK(whole[0] == std::byte{1});
    CHECK(whole[2] == std::byte{0});
    CHECK(whole[3] == std::byte{0});
    CHECK(whole[12] == std::byte{3});
    check_parts(with_tail(Words{0x0201}, a, b));
    check_parts(Copy<Words>(Words{5}, a));
    CHECK(written(Copy<Words>(Words{0x0201}, std::vector<std::uint32_t>{1, 2, 3})) == whole);
    CHECK(written(with_tail(Words{})).size() == 4);
}

TEST_CASE("text is anything that reads as text; a char array ends at its NUL", "[outgoing]") {
    const char array[] = "abc";
    const char with_nul[5] = {'a', 'b', 0, 'c', 'd'};
    const std::string string = "def";
    CHECK(text_of(written(with_tail(Text{}, array))) == "abc");
    CHECK(text_of(written(with_tail(Text{}, with_nul))) == "ab");
    CHECK(text_of(written(with_tail(Text{}, "x", string, std::string_view("ghi"), array))) == "xdefghiabc");
    CHECK(text_of(written(with_tail(Text{}, std::span<const char>(with_nul)))) == std::string(with_nul, 5));
    CHECK(text_of(written(with_tail(Text{}, std::vector<char>{'p', 'q'}))) == "pq");
    check_parts(with_tail(Text{}, "hello", string));
}

TEST_CASE("raw bytes are ranges end to end, with the ids that they were given", "[outgoing]") {
    const std::vector<std::uint16_t> a{0x0201, 0x0403};
    const auto raw = bytes(5, MessageId(6), a, std::string_view("x"));
    CHECK(written(raw) == Bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}, std::byte{'x'}});
    check_parts(raw);
    CHECK(ids_of(raw) == std::pair<std::uint16_t, std::uint32_t>(5, 6));
    CHECK(ids_of(bytes(7, EventId(8))) == std::pair<std::uint16_t, std::uint32_t>(7, 8));
    CHECK(ids_of(Plain{}) == std::pair<std::uint16_t, std::uint32_t>(9, 7));
    CHECK(ids_of(Words{}) == std::pair<std::uint16_t, std::uint32_t>(0, 10));
    CHECK(ids_of(with_tail(Text{}, "x")) == std::pair<std::uint16_t, std::uint32_t>(0, 11));
}

TEST_CASE("what is built says how much of its room it used, or why it is not to be sent", "[outgoing]") {
    alignas(16) std::array<std::byte, 64> to{};
    const auto size_of = [&](auto&& x) -> Result<std::size_t> { return OutgoingOf<decltype(x)>::write(x, to.data()); };
    const auto all = [](Words& m, std::span<std::uint32_t> tail) {
        m.kind = 1;
        for (auto& word : tail) word = 9;
    };
    CHECK(*size_of(build<Words>(3, all)) == 4 + 12);
    CHECK(to[0] == std::byte{1});
    CHECK(to[12] == std::byte{9});
    CHECK(*size_of(build<Words>(3, [](Words&, std::span<std::uint32_t>) { return 2; })) == 4 + 8);
    CHECK(*size_of(build<Words>(3, [](Words&, std::span<std::uint32_t>) { return std::size_t{0}; })) == 4);
    CHECK(*size_of(build<Words>(3, [](Words&, std::span<std::uint32_t>) { return 1000; })) == 4 + 12);  // never more
    CHECK(*size_of(build<Words>(3, [](Words&, std::span<std::uint32_t>) -> Result<std::size_t> { return 1; })) ==
          4 + 4);
    CHECK(*size_of(build<Words>(3, [](Words&, std::span<std::uint32_t>) -> Result<void> { return {}; })) == 4 + 12);
    CHECK(size_of(build<Words>(3, [](Words&, std::span<std::uint32_t>) -> Result<void> {
              return qbipc::fail(qbipc::errc::busy);
          })).error() == qbipc::errc::busy);
    CHECK(*size_of(build<Plain>(0, [](Plain& m) { m.a = 5; })) == 8);
    CHECK(OutgoingOf<decltype(build<Words>(3, all))>::size(build<Words>(3, all)) == 16);
}
