// SPDX-License-Identifier: BSL-1.0
#include <array>
#include <bit>
#include <cstring>

#include <qbipc/frame.hpp>

#include "support/catch.hpp"

namespace {

using qbipc::Header;
using qbipc::Kind;
using qbipc::Lane;
using qbipc::LaneSet;

}  // namespace

TEST_CASE("a header's two words have each field where the wire has it", "[frame]") {
    constexpr Header header{0x123456, Kind::error, 0xab, 0xcdef, 0x01234567, 0x89abcdef};
    STATIC_REQUIRE(header.first_word() == 0xcdefab0400123456u);
    STATIC_REQUIRE(header.second_word() == 0x89abcdef01234567u);
    STATIC_REQUIRE(Header::from_words(header.first_word(), header.second_word()) == header);
    const std::array<unsigned char, 16> wire{0x56, 0x34, 0x12, 0x00, 0x04, 0xab, 0xef, 0xcd,
                                             0x67, 0x45, 0x23, 0x01, 0xef, 0xcd, 0xab, 0x89};
    if constexpr (std::endian::native == std::endian::little)
        CHECK(std::memcmp(&header, wire.data(), wire.size()) == 0);
}

TEST_CASE("the reserved bits come out with the size, where they are found to be wrong", "[frame]") {
    const Header header = Header::from_words(0x00000001ff000010u, 0);
    CHECK(header.size == 0xff000010u);
    CHECK(header.size > qbipc::max_frame_size);
    CHECK(header.kind == Kind::call);
}

TEST_CASE("no kind of frame has a first word of zero, and the numbers are those of the wire", "[frame]") {
    unsigned number = 0;
    for (const Kind kind : {Kind::call, Kind::one_way, Kind::answer, Kind::error, Kind::event, Kind::piece,
                            Kind::abandon, Kind::wrap, Kind::cancel}) {
        CHECK(static_cast<unsigned>(kind) == ++number);
        CHECK(Header{0, kind, 0, 0, 0, 0}.first_word() != 0);
    }
}

TEST_CASE("a set of lanes has what was put in", "[frame]") {
    constexpr LaneSet none, two = Lane::requests | Lane::events;
    STATIC_REQUIRE(none.empty());
    STATIC_REQUIRE(!two.empty());
    STATIC_REQUIRE(two.has(Lane::requests) && two.has(Lane::events) && !two.has(Lane::responses));
    STATIC_REQUIRE(two == (LaneSet(Lane::events) | Lane::requests | Lane::events));
    STATIC_REQUIRE((none | two) == two);
    STATIC_REQUIRE(LaneSet(Lane::responses) != two);
}
