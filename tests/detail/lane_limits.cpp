// SPDX-License-Identifier: BSL-1.0
// Every number of a lane at the values where checks go wrong: all pairs of words, all single and double bit flips of a
// header and what follows, counters that start near where they would wrap.
#include <array>
#include <cstdint>
#include <cstring>

#include <qbipc/detail/lane_reader.hpp>
#include <qbipc/detail/lane_writer.hpp>

#include "fuzz/boundaries.hpp"
#include "support/catch.hpp"
#include "support/lane_probe.hpp"
#include "support/test_lane.hpp"

using namespace qbipc;
using namespace qbipc::detail;
using namespace qbipc::testing;
using qbipc::fuzz::boundary_values;
using qbipc::fuzz::power;

namespace {

/// What a first word means, by the rules of docs/wire.md and none of LaneReader's code.
enum class Meaning { nothing, marker, frame, violation };
Meaning meaning_of(std::uint64_t word, std::uint64_t offset, std::uint64_t lane) {
    if (word == 0) return Meaning::nothing;
    const std::uint64_t kind = word >> 32 & 0xff, size = word & 0xffffff, reserved = word >> 24 & 0xff;
    if (kind == 8) return word == std::uint64_t{8} << 32 && offset != 0 ? Meaning::marker : Meaning::violation;
    if (kind == 0 || reserved != 0 || size + 16 > lane / 4) return Meaning::violation;
    const std::uint64_t lines = (size + 16 + 63) / 64;
    return offset + lines * 64 > lane ? Meaning::violation : Meaning::frame;
}

/// Looks once at a lane that holds these words at its reader's offset, and at its start. True: as the rules have it.
bool read_as_it_means(TestLane<>& lane, std::uint64_t offset, std::uint64_t first, std::uint64_t second,
                      std::uint64_t start) {
    LaneReader<PlainMemory> reader(lane.data(), lane.shape, &lane.credit);
    LaneProbe::start(reader, offset);
    lane.word(0) = start;
    lane.word(8) = second;
    lane.word(offset) = first;
    lane.word(offset + 8) = second;
    std::uint64_t at = offset, word = first;
    Meaning meaning = meaning_of(word, at, lane.shape.size);
    if (meaning == Meaning::marker) {
        at = 0, word = start;
        meaning = meaning_of(word, at, lane.shape.size);
    }
    Frame frame;
    const bool there = reader.peek(frame);
    bool good = there == (meaning == Meaning::frame) && reader.violated() == (meaning == Meaning::violation);
    if (there)
        good =
            good && frame.header == Header::from_words(word, second) && frame.payload == lane.data() + at + header_size;
    if (reader.violated()) {  // and nothing else comes
        lane.word(at) = lane.header(1, 0).first_word();
        good = good && !reader.peek(frame) && reader.violated();
    }
    lane.word(0) = lane.word(8) = lane.word(offset) = lane.word(offset + 8) = 0;
    return good;
}

}  // namespace

TEST_CASE("each pair of boundary values in a frame's words is read as it means", "[lane]") {
    TestLane lane(small_shape(1024));  // of the size whose boundaries these are
    std::uint64_t wrong = 0, tried = 0;
    for (const std::uint64_t offset : {0 * line, line, 512 * line, 767 * line, 768 * line, 1022 * line, 1023 * line}) {
        for (const std::uint64_t a : boundary_values) {
            for (const std::uint64_t b : boundary_values) {
                // As a whole word and what follows it; as size and all above; behind a marker.
                const std::uint64_t call = std::uint64_t{1} << 32;
                wrong += !read_as_it_means(lane, offset, a, b, 0);
                wrong += !read_as_it_means(lane, offset, (a & 0xffffffff) | b << 32, b, 0);
                wrong += !read_as_it_means(lane, offset, (a & 0xffffffff) | call | b << 40, b, 0);
                if (offset != 0) wrong += !read_as_it_means(lane, offset, wrap_marker, b, a);
                tried += 3 + (offset != 0);
            }
        }
    }
    CHECK(wrong == 0);
    CHECK(tried > 50000);
}

TEST_CASE("each pair of boundary values as credit, before and after, is taken or refused by its bounds", "[lane]") {
    std::uint64_t wrong = 0;
    for (const std::uint64_t start : {std::uint64_t{0}, power(16), power(32), power(62)}) {
        for (const std::uint64_t a : boundary_values) {
            for (const std::uint64_t b : boundary_values) {
                TestLane lane(small_shape(16));
                LaneProbe::start(lane.writer, start);
                lane.credit = start;
                while (lane.send(1, 0)) {
                }
                std::uint64_t before = start;
                const std::uint64_t head = lane.writer.published();
                bool over = false;
                // Absolute, and counted from where the lane stands.
                for (const std::uint64_t credit : {a, b, start + a, start + b}) {
                    lane.credit = credit;
                    const bool fits = credit >= before && credit <= head && credit % line == 0;
                    over = over || !fits;
                    const bool room = lane.writer.reserve(0) != nullptr;
                    wrong += room != (!over && head + 2 * line <= credit + lane.shape.size);
                    wrong += (lane.writer.refused() == Room::violation) != over;
                    if (over) break;
                    before = credit;
                    if (room) break;  // it doesn't look again before it must
                }
            }
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("every single and double bit flip of a frame's first line is read as it means", "[lane]") {
    // 64 bytes: the words of a header, and a payload in which nothing is looked at.
    TestLane lane(small_shape(16));
    const Header header{20, Kind::call, 0, 3, 4, 5};
    std::uint64_t wrong = 0, tried = 0;
    constexpr std::uint64_t bits = 64 * 8;
    const auto flipped = [&](std::uint64_t one, std::uint64_t other) {
        std::array<std::uint64_t, 8> words{header.first_word(), header.second_word(), 1, 2, 3, 4, 5, 6};
        words[one / 64] ^= std::uint64_t{1} << one % 64;
        if (other != one) words[other / 64] ^= std::uint64_t{1} << other % 64;
        std::memcpy(lane.data() + 4 * line, words.data(), sizeof words);
        wrong += !read_as_it_means(lane, 4 * line, words[0], words[1], 0);
        ++tried;
    };
    for (std::uint64_t one = 0; one < bits; ++one)
        for (std::uint64_t other = one; other < bits; ++other) flipped(one, other);
    CHECK(wrong == 0);
    CHECK(tried == 131328);
}

TEST_CASE("a million frames pass over 2^32 and 2^63 as over any number", "[lane]") {
    for (const std::uint64_t edge : {power(32), power(63)}) {
        CAPTURE(edge);
        TestLane lane(small_shape(16));
        const std::uint64_t start = edge - 5 * line;
        LaneProbe::start(lane.writer, start);
        LaneProbe::start(lane.reader, start);
        lane.credit = start;
        std::uint64_t sent = 0, got = 0;
        bool good = true;
        while (good && got < 1000000) {
            for (std::uint64_t burst = 0; burst < 7 && lane.send(sent, static_cast<std::uint32_t>(sent % 170)); ++burst)
                ++sent;
            good = got < sent;  // a lane that stands still has lost its way
            while (good && got < sent) good = lane.receive(got, static_cast<std::uint32_t>(got % 170)), ++got;
        }
        CHECK(good);
        CHECK(lane.guards_intact());
        CHECK(lane.reader.taken() > edge);
    }
}

TEST_CASE("a lane that comes to 2^64 bytes stands still there, and touches nothing else", "[lane]") {
    // At 40 GB a second that takes 14 years.
    TestLane lane(small_shape(16));
    const std::uint64_t start = ~std::uint64_t{0} - 64 * line + 1;
    LaneProbe::start(lane.writer, start);
    LaneProbe::start(lane.reader, start);
    lane.credit = start;
    std::uint64_t sent = 0, got = 0;
    bool good = true;
    for (int turn = 0; good && turn < 1000; ++turn) {
        if (lane.send(sent, 20)) ++sent;
        if (got < sent) {
            Frame frame;
            if (!lane.reader.peek(frame)) break;
            good = lane.receive(got, 20), ++got;
        }
    }
    CHECK(good);
    CHECK(got >= 48);
    CHECK(got <= 64);
    CHECK(lane.guards_intact());
}
