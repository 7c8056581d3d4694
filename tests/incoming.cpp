// SPDX-License-Identifier: BSL-1.0
#include <array>
#include <cstdint>
#include <deque>
#include <list>
#include <string>
#include <string_view>
#include <vector>

#include <qbipc/incoming.hpp>

#include "support/catch.hpp"

namespace {

using qbipc::Copy;
using qbipc::errc;
using qbipc::PlainMemory;
using qbipc::TailView;
using qbipc::View;
using Incoming = qbipc::detail::Incoming<PlainMemory>;

struct Plain {
    std::uint32_t a = 0, b = 0;
};
struct Words {
    using Tail = std::uint32_t;
    std::uint16_t kind = 0;
};
struct Text {
    using Tail = char;
};
struct Empty {};

/// A payload, 16-aligned as in a lane.
struct Payload {
    explicit Payload(std::size_t size_) : size(size_) {
        for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i + 1);
    }
    Incoming incoming() { return {bytes.data(), size, scratch}; }
    alignas(16) std::array<std::byte, 64> bytes{};
    std::size_t size;
    std::vector<std::byte> scratch;
};

}  // namespace

TEST_CASE("a tail is cut from the front by lengths that may be lies", "[incoming]") {
    const std::array<int, 5> numbers{1, 2, 3, 4, 5};
    TailView<int> tail{std::span<const int>(numbers)};
    const auto two = tail.take(2);
    REQUIRE(two);
    CHECK(two->size() == 2);
    CHECK((*two)[1] == 2);
    CHECK(tail.size() == 3);
    CHECK(tail.take(4).error() == errc::wrong_size);
    CHECK(tail.take(static_cast<std::size_t>(-1)).error() == errc::wrong_size);
    CHECK(tail.size() == 3);  // nothing was taken
    CHECK(tail.take(0)->empty());
    CHECK(tail.take(3)->data() == numbers.data() + 2);
    CHECK(tail.empty());
    CHECK(tail.take(0));
    CHECK(tail.take(1).error() == errc::wrong_size);
    CHECK(TailView<int>().empty());
}

TEST_CASE("a tail of char is text, any other is not", "[incoming]") {
    const std::string_view text = "abc";
    const TailView<char> tail{std::span<const char>(text)};
    CHECK(std::string_view(tail) == "abc");
    CHECK(std::string(tail.begin(), tail.end()) == "abc");
    STATIC_REQUIRE_FALSE(std::is_convertible_v<TailView<int>, std::string_view>);
    STATIC_REQUIRE(std::is_convertible_v<TailView<int>, std::span<const int>>);
}

TEST_CASE("a copy owns its tail, made of any range", "[incoming]") {
    std::list<int> list{1, 2, 3};
    Copy<Words> copy(Words{7}, list);
    list.clear();
    CHECK(copy->kind == 7);
    CHECK((*copy).kind == 7);
    REQUIRE(copy.tail().size() == 3);
    CHECK(copy.tail()[2] == 3);
    const Copy<Words> other = copy;
    CHECK(other.tail().data() != copy.tail().data());
    const Copy<Text> text(Text{}, std::string("hello"));
    CHECK(std::string_view(text.tail()) == "hello");
    CHECK(Copy<Words>().tail().empty());
    CHECK(Copy<Words>(Words{}, std::vector<std::uint32_t>{5})->kind == 0);
}

TEST_CASE("a size fits a message or it doesn't", "[incoming]") {
    for (std::size_t size = 0; size <= 40; ++size) {
        CAPTURE(size);
        Payload payload(size);
        CHECK(payload.incoming().fits<Plain>() == (size == 8));
        CHECK(payload.incoming().fits<Empty>() == (size == 0));
        CHECK(payload.incoming().fits<Text>());
        CHECK(payload.incoming().fits<Words>() == (size >= 4 && size % 4 == 0));
    }
}

TEST_CASE("fixed part and tail are where the sender put them", "[incoming]") {
    Payload payload(12);
    const auto incoming = payload.incoming();
    CHECK(incoming.fixed<Words>().kind == 0x0201);
    const auto tail = incoming.tail_copy<Words>();
    REQUIRE(tail.size() == 2);
    CHECK(tail[0] == 0x08070605);
    CHECK(tail[1] == 0x0c0b0a09);
    const auto in_place = incoming.tail_in_place<Words>();
    CHECK(static_cast<const void*>(in_place.data()) == payload.bytes.data() + 4);
    payload.bytes[4] = std::byte{0xff};
    CHECK(tail[0] == 0x08070605);  // a copy
    CHECK(in_place[0] == 0x080706ff);
    CHECK(incoming.copy().size() == 12);
    CHECK(incoming.in_place().data() == payload.bytes.data());
    const Copy<Words> received = incoming.received<Words>();
    CHECK(received.tail().size() == 2);
    CHECK(received.tail()[0] == 0x080706ff);
    const View<Words> view(incoming.fixed<Words>(), in_place);
    CHECK(view->kind == 0x0201);
    CHECK(view.tail()[1] == 0x0c0b0a09);
    STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<View<Words>>);
    STATIC_REQUIRE(std::is_same_v<qbipc::Received<Words>, Copy<Words>>);
    STATIC_REQUIRE(std::is_same_v<qbipc::Received<Plain>, Plain>);
}
