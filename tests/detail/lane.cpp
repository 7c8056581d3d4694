// SPDX-License-Identifier: BSL-1.0
#include <cstdint>
#include <cstring>
#include <deque>
#include <utility>

#include <qbipc/detail/lane_reader.hpp>
#include <qbipc/detail/lane_writer.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/test_lane.hpp"

using namespace qbipc;
using namespace qbipc::detail;
using namespace qbipc::testing;

TEST_CASE("a frame of any size at any offset arrives byte for byte", "[lane]") {
    const LaneShape shape = small_shape(64);
    std::uint64_t wrong = 0;
    for (std::uint64_t offset = 0; offset < shape.size; offset += line) {
        for (std::uint32_t size = 0; size <= shape.max_payload(); ++size) {
            TestLane lane(shape);
            Frame none;
            const bool good = lane.advance_to(offset) && lane.send(size, size) && lane.receive(size, size) &&
                              !lane.reader.peek(none) && lane.credit == lane.writer.published() &&
                              lane.guards_intact() && !lane.reader.violated();
            if (!good && wrong++ == 0) UNSCOPED_INFO("first at offset " << offset << ", size " << size);
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("a frame touches its own lines and the first words of the next two places, nothing else", "[lane]") {
    const LaneShape shape = small_shape(32);
    std::uint64_t wrong = 0;
    for (std::uint64_t offset = 0; offset < shape.size; offset += line) {
        for (const std::uint32_t size : {0u, 48u, 49u, 200u, static_cast<std::uint32_t>(shape.max_payload())}) {
            TestLane lane(shape);
            REQUIRE(lane.advance_to(offset));
            const std::uint64_t span = frame_span(size);
            const std::uint64_t start = offset + span > shape.size ? 0 : offset;
            for (std::uint64_t at = 0; at < shape.size; ++at) lane.data()[at] = std::byte{0xee};
            REQUIRE(lane.send(1, size));
            for (std::uint64_t at = 0; at < shape.size; ++at) {
                const bool own = at >= start && at < start + header_size + size;
                const bool next = at >= (start + span) % shape.size && at < (start + span) % shape.size + 8;
                // Cleared ahead, for a next frame as long as this one.
                const std::uint64_t second = (start + span) % shape.size + span;
                const bool beyond = at >= second % shape.size && at < second % shape.size + 8;
                const bool marker = start != offset && at >= offset && at < offset + 8;
                if (!own && !next && !beyond && !marker && lane.data()[at] != std::byte{0xee}) ++wrong;
            }
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("frames of random sizes pass in order through small lanes", "[lane]") {
    Random random(1);
    for (const auto& [lines, window] : {std::pair{16u, 0u}, {16u, 4u}, {64u, 0u}, {64u, 16u}, {256u, 16u}}) {
        CAPTURE(lines, window);
        TestLane lane(small_shape(lines, window));
        std::deque<std::pair<std::uint64_t, std::uint32_t>> under_way;
        std::uint64_t sent = 0;
        bool good = true;
        for (int turn = 0; good && turn < 100000; ++turn) {
            if (random.one_in(2)) {
                const auto size = static_cast<std::uint32_t>(random.below(lane.shape.max_payload() + 1));
                if (lane.send(sent, size)) under_way.emplace_back(sent++, size);
            } else {
                Frame frame;
                if (under_way.empty()) {
                    good = !lane.reader.peek(frame);
                } else {
                    good = lane.receive(under_way.front().first, under_way.front().second);
                    under_way.pop_front();
                }
            }
        }
        CHECK(good);
        CHECK(sent > 10000);
        CHECK(lane.guards_intact());
        CHECK_FALSE(lane.reader.violated());
    }
}

TEST_CASE("an empty lane takes a frame of a quarter of it at any offset", "[lane]") {
    for (const std::uint64_t window : {0u, 4u}) {
        const LaneShape shape = small_shape(32, window);
        for (std::uint64_t offset = 0; offset < shape.size; offset += line) {
            TestLane lane(shape);
            // Filled up to the offset and then emptied: the reader may owe nothing.
            REQUIRE(lane.advance_to(offset));
            CHECK(lane.send(1, static_cast<std::uint32_t>(shape.max_payload())));
        }
    }
}

TEST_CASE("what was cleared ahead is cleared again once a payload has covered it", "[lane]") {
    const std::uint32_t covering = GENERATE(49u, 112u, 113u, 400u);
    CAPTURE(covering);
    TestLane lane(small_shape(32));
    REQUIRE(lane.send(1, 48));  // one line, so the place after the next line is cleared
    std::byte* const to = lane.writer.reserve(covering);
    REQUIRE(to != nullptr);
    std::memset(to, 0xff, covering);
    SECTION("by a frame that is longer") { lane.writer.commit(lane.header(2, covering)); }
    SECTION("by one that turned out as short as the first") { lane.writer.commit(lane.header(2, 48)); }
    SECTION("by one that was cancelled") {
        lane.writer.cancel();
        REQUIRE(lane.send(2, 48));
    }
    Frame frame;
    REQUIRE(lane.receive(1, 48));
    REQUIRE(lane.reader.peek(frame));
    lane.reader.release();
    CHECK_FALSE(lane.reader.peek(frame));
    CHECK_FALSE(lane.reader.violated());
}

TEST_CASE("what was reserved and cancelled leaves no trace", "[lane]") {
    TestLane lane(small_shape(16));
    std::byte* first = lane.writer.reserve(100);
    REQUIRE(first != nullptr);
    std::memset(first, 0xff, 100);
    lane.writer.cancel();
    Frame frame;
    CHECK_FALSE(lane.reader.peek(frame));
    CHECK(lane.writer.reserve(10) == first);
    CHECK(lane.send(5, 30));
    CHECK(lane.receive(5, 30));
    CHECK_FALSE(lane.reader.peek(frame));
}

TEST_CASE("a frame may turn out smaller than what was reserved for it", "[lane]") {
    TestLane lane(small_shape(32));
    std::byte* to = lane.writer.reserve(400);
    REQUIRE(to != nullptr);
    std::memset(to, 0xff, 400);
    for (std::uint32_t i = 0; i < 20; ++i) to[i] = pattern(3, i);
    lane.writer.commit(lane.header(3, 20));
    CHECK(lane.send(4, 20));
    CHECK(lane.receive(3, 20));
    CHECK(lane.receive(4, 20));
}

TEST_CASE("a frame stays until it is released", "[lane]") {
    TestLane lane(small_shape(16));
    REQUIRE(lane.send(1, 8));
    REQUIRE(lane.send(2, 8));
    Frame once, again;
    REQUIRE(lane.reader.peek(once));
    REQUIRE(lane.reader.peek(again));
    CHECK(once.header == again.header);
    CHECK(once.payload == again.payload);
    CHECK(lane.receive(1, 8));
    CHECK(lane.receive(2, 8));
}

TEST_CASE("credit is stored at each release; a sleeping sender is looked after at each step and when it is empty",
          "[lane]") {
    TestLane lane(small_shape(32));  // a step of 4 lines
    for (std::uint64_t k = 0; k < 10; ++k) REQUIRE(lane.send(k, 0));
    for (std::uint64_t k = 0; k < 3; ++k) {
        REQUIRE(lane.receive(k, 0));
        CHECK(lane.credit == (k + 1) * line);
    }
    CHECK_FALSE(lane.reader.take_shown());
    REQUIRE(lane.receive(3, 0));
    CHECK(lane.credit == 4 * line);
    CHECK(lane.reader.take_shown());
    CHECK_FALSE(lane.reader.take_shown());
    REQUIRE(lane.receive(4, 0));
    CHECK_FALSE(lane.reader.take_shown());
    lane.reader.show_credit();
    CHECK(lane.credit == 5 * line);
    CHECK(lane.reader.take_shown());
    lane.reader.show_credit();
    CHECK_FALSE(lane.reader.take_shown());
    for (std::uint64_t k = 5; k < 9; ++k) REQUIRE(lane.receive(k, 0));
    CHECK(lane.credit == 9 * line);
    CHECK(lane.reader.take_shown());
    REQUIRE(lane.receive(9, 0));
    CHECK(lane.credit == 10 * line);
    CHECK_FALSE(lane.reader.take_shown());
    Frame frame;
    CHECK_FALSE(lane.reader.peek(frame));
    CHECK(lane.reader.take_shown());
    CHECK_FALSE(lane.reader.peek(frame));
    CHECK_FALSE(lane.reader.take_shown());
}

TEST_CASE("a sender as fast as the reader, one frame at a time, stays within a window", "[lane]") {
    TestLane lane(small_shape(64, 16));
    Frame frame;
    REQUIRE(lane.send(0, 0));
    // The next frame is always there before the reader looks for it: it never finds the lane empty.
    std::uint64_t highest = 0;
    for (std::uint64_t k = 0; k < 1000; ++k) {
        REQUIRE(lane.reader.peek(frame));
        lane.reader.release();
        REQUIRE(lane.send(k + 1, 0));
        highest = std::max(highest, lane.writer.published() % lane.shape.size);
    }
    CHECK(highest <= lane.shape.window + lane.shape.step);
}

TEST_CASE("a full lane refuses, and has room again once credit is shown", "[lane]") {
    TestLane lane(small_shape(16));
    std::uint64_t sent = 0;
    while (lane.send(sent, 48)) ++sent;
    CHECK(sent == 15);  // the line cleared ahead counts as occupied
    CHECK(lane.writer.refused() == Room::full);
    CHECK_FALSE(lane.writer.has_room(48));
    REQUIRE(lane.receive(0, 48));
    CHECK(lane.writer.has_room(48));
    CHECK(lane.send(sent, 48));
    CHECK_FALSE(lane.send(sent + 1, 48));
}

TEST_CASE("a marker goes alone as soon as it fits, once", "[lane]") {
    TestLane lane(small_shape(16));
    REQUIRE(lane.advance_to(14 * line));
    for (std::uint64_t k = 0; k < 2; ++k) REQUIRE(lane.send(k, 0));  // to the end: offset 0 next
    REQUIRE(lane.send(2, 13 * line / 4));
    while (lane.send(3, 0)) {
    }
    REQUIRE(lane.writer.published() == (14 + 15) * line);  // offset 13, one line short of full
    REQUIRE(lane.receive(0, 0));
    REQUIRE(lane.receive(1, 0));
    lane.reader.show_credit();
    CHECK_FALSE(lane.send(4, 3 * line));  // four lines at offset 13: marker and frame together don't fit
    CHECK(lane.word(13 * line) != wrap_marker);
    REQUIRE(lane.receive(2, 13 * line / 4));
    lane.reader.show_credit();
    CHECK_FALSE(lane.send(4, 4 * line - header_size));
    CHECK(lane.word(13 * line) == wrap_marker);
    const std::uint64_t after = lane.writer.published();
    CHECK(after % lane.shape.size == 0);
    CHECK_FALSE(lane.send(4, 4 * line - header_size));
    CHECK(lane.writer.published() == after);
}

TEST_CASE("a marker at any offset but the first leads back to the start", "[lane]") {
    for (std::uint64_t offset = line; offset < 16 * line; offset += line) {
        TestLane lane(small_shape(16));
        REQUIRE(lane.advance_to(offset));
        lane.word(0) = lane.header(9, 0).first_word();
        lane.word(8) = lane.header(9, 0).second_word();
        lane.word(offset) = wrap_marker;
        CHECK(lane.receive(9, 0));
        CHECK_FALSE(lane.reader.violated());
        CHECK(lane.reader.taken() == 17 * line);
    }
}

TEST_CASE("a marker at the start, or two in a row, ends the lane", "[lane]") {
    Frame frame;
    SECTION("at the very beginning") {
        TestLane lane(small_shape(16));
        lane.word(0) = wrap_marker;
        CHECK_FALSE(lane.reader.peek(frame));
        CHECK(lane.reader.violated());
    }
    SECTION("at the start of a later lap") {
        TestLane lane(small_shape(16));
        REQUIRE(lane.advance_to(16 * line));
        lane.word(0) = wrap_marker;
        CHECK_FALSE(lane.reader.peek(frame));
        CHECK(lane.reader.violated());
    }
    SECTION("after another, from every offset") {
        for (std::uint64_t offset = line; offset < 16 * line; offset += line) {
            TestLane lane(small_shape(16));
            REQUIRE(lane.advance_to(offset));
            lane.word(offset) = wrap_marker;
            lane.word(0) = wrap_marker;
            CHECK_FALSE(lane.reader.peek(frame));
            CHECK(lane.reader.violated());
        }
    }
    SECTION("after another that came alone") {
        TestLane lane(small_shape(16));
        REQUIRE(lane.advance_to(15 * line));
        lane.word(0) = 0;
        lane.word(15 * line) = wrap_marker;
        CHECK_FALSE(lane.reader.peek(frame));
        CHECK_FALSE(lane.reader.violated());
        lane.word(0) = wrap_marker;
        CHECK_FALSE(lane.reader.peek(frame));
        CHECK(lane.reader.violated());
    }
}

TEST_CASE("a first word that no writer publishes ends the lane, and nothing more comes", "[lane]") {
    const LaneShape shape = small_shape(16);
    const auto call = std::uint64_t{1} << 32;
    struct Forged {
        const char* what;
        std::uint64_t offset;
        std::uint64_t word;
    };
    const Forged forged = GENERATE_COPY(
        Forged{"no kind", 0, 16}, Forged{"no kind but flags", 0, std::uint64_t{1} << 40},
        Forged{"no kind but a service", 0, std::uint64_t{1} << 63},
        Forged{"one byte too large", 0, call | (shape.max_payload() + 1)},
        Forged{"larger than the lane", 0, call | shape.size}, Forged{"the largest size", 0, call | 0xffffff},
        Forged{"a reserved bit", 0, call | std::uint64_t{1} << 24},
        Forged{"the highest reserved bit", 0, call | std::uint64_t{1} << 31},
        Forged{"a span that would overflow", 0, call | 0xffffffff},
        Forged{"past the end by a byte", 15 * line, call | (line - header_size + 1)},
        Forged{"past the end by a line", 14 * line, call | 130},
        Forged{"a marker with a size", 3 * line, wrap_marker | 1},
        Forged{"a marker with flags", 3 * line, wrap_marker | std::uint64_t{1} << 40},
        Forged{"a marker with a service", 3 * line, wrap_marker | std::uint64_t{1} << 48},
        Forged{"a marker with a reserved bit", 3 * line, wrap_marker | std::uint64_t{1} << 24},
        Forged{"all ones", 0, ~std::uint64_t{0}});
    CAPTURE(forged.what);
    TestLane lane(shape);
    REQUIRE(lane.advance_to(forged.offset));
    lane.word(forged.offset) = forged.word;
    Frame frame;
    CHECK_FALSE(lane.reader.peek(frame));
    CHECK(lane.reader.violated());
    // A frame that would have been good comes too late.
    lane.word(forged.offset) = lane.header(1, 0).first_word();
    CHECK_FALSE(lane.reader.peek(frame));
    CHECK(lane.reader.violated());
    lane.word(forged.offset) = 0;
    CHECK_FALSE(lane.reader.peek(frame));
    CHECK(lane.reader.violated());
}

TEST_CASE("a last line and a largest frame are not mistaken for a violation", "[lane]") {
    const LaneShape shape = small_shape(16);
    for (const auto& [offset, size] : {std::pair{15 * line, line - header_size},
                                       {12 * line, shape.max_payload()},
                                       {0 * line, shape.max_payload()}}) {
        TestLane lane(shape);
        REQUIRE(lane.advance_to(offset));
        CHECK(lane.send(1, static_cast<std::uint32_t>(size)));
        CHECK(lane.receive(1, static_cast<std::uint32_t>(size)));
    }
}

TEST_CASE("a credit that no reader shows ends the lane for its writer", "[lane]") {
    const std::uint64_t head = 20 * line;
    const std::uint64_t seen = 10 * line;
    const std::uint64_t forged =
        GENERATE_COPY(seen - line, std::uint64_t{0}, head + line, head + 1, seen + 1, head - 1, seen + 32,
                      ~std::uint64_t{0}, ~std::uint64_t{63}, std::uint64_t{1} << 63);
    CAPTURE(forged);
    TestLane lane(small_shape(16));
    for (std::uint64_t k = 0; k < 10; ++k) REQUIRE((lane.send(k, 0) && lane.receive(k, 0)));
    lane.reader.show_credit();
    while (lane.writer.published() < 25 * line) REQUIRE(lane.send(1, 0));
    REQUIRE(lane.writer.published() == 25 * line);
    CHECK_FALSE(lane.send(1, 0));
    CHECK(lane.writer.refused() == Room::full);
    lane.credit = forged > head && forged <= 25 * line ? forged + 5 * line : forged;
    CHECK_FALSE(lane.send(1, 0));
    CHECK(lane.writer.refused() == Room::violation);
    CHECK(lane.writer.has_room(0));  // a waiter is to wake up and see
    lane.credit = 25 * line;
    CHECK_FALSE(lane.send(1, 0));
    CHECK(lane.writer.refused() == Room::violation);
}

TEST_CASE("each word of the peer's is loaded once for a frame, and only that load counts", "[lane]") {
    TestLane<WatchedMemory> lane(small_shape(16));
    REQUIRE(lane.send(1, 20));
    const Header sent = lane.header(1, 20);
    Frame frame;
    WatchedMemory::watch(0x00ff'ffff'00ff'ffff);  // whoever looks again finds another size
    const bool there = lane.reader.peek(frame);
    CHECK(WatchedMemory::each_once());
    CHECK(WatchedMemory::loads.size() == 2);
    CHECK(there);
    CHECK(frame.header == sent);
    WatchedMemory::watch();
    lane.reader.release();
    CHECK(WatchedMemory::loads.empty());  // a look at the next would be a cache miss that nobody needs yet
    CHECK(lane.reader.taken() == frame_span(20));
}

TEST_CASE("a credit that changes between two looks is used as it was checked", "[lane]") {
    TestLane<WatchedMemory> lane(small_shape(16));
    while (lane.send(1, 0)) {
    }
    lane.credit = 8 * line;
    WatchedMemory::watch(~std::uint64_t{0});
    const bool room = lane.writer.reserve(0) != nullptr;
    CHECK(WatchedMemory::loads.size() == 1);
    WatchedMemory::watch();
    CHECK(room);
    int more = 0;
    for (lane.credit = 8 * line; lane.send(1, 0);) ++more;
    CHECK(more == 8);
}

TEST_CASE("a writer touches no memory before it is populated", "[lane]") {
    const LaneShape shape = LaneShape::of(std::uint64_t{1} << 20);
    Random random(2);
    const std::uint64_t first =
        GENERATE(std::uint64_t{0}, std::uint64_t{64}, std::uint64_t{16384}, std::uint64_t{65536});
    TestLane lane(shape, first);
    std::memset(lane.data() + first, 0xee, shape.size - first);
    std::deque<std::pair<std::uint64_t, std::uint32_t>> under_way;
    std::uint64_t sent = 0, touched = 0, refusals = 0;
    bool good = true;
    while (good && sent < 3000) {
        const auto size =
            static_cast<std::uint32_t>(random.one_in(10) ? random.below(shape.max_payload() + 1) : random.below(2000));
        if (lane.send(sent, size)) {
            under_way.emplace_back(sent++, size);
        } else if (lane.writer.refused() == Room::populate) {
            ++refusals;
            const std::uint64_t from = lane.writer.populate_from(), length = lane.writer.populate_size();
            good = length > 0 && from + length <= shape.size && (from + length) % populate_step == 0;
            for (std::uint64_t at = from; at < shape.size; ++at) touched += lane.data()[at] != std::byte{0xee};
            std::memset(lane.data() + from, 0, length);
            lane.writer.populated_to(from + length);
            good = good && lane.send(sent, size);
            under_way.emplace_back(sent++, size);
        } else {
            for (std::uint64_t n = 1 + random.below(under_way.size()); good && n > 0; --n) {
                good = lane.receive(under_way.front().first, under_way.front().second);
                under_way.pop_front();
            }
            lane.reader.show_credit();
        }
    }
    CHECK(good);
    CHECK(touched == 0);
    CHECK(refusals >= 3);
    CHECK(refusals <= shape.size / populate_step + 1);
    CHECK(lane.guards_intact());
}

TEST_CASE("what could not be populated can be asked for again", "[lane]") {
    TestLane lane(LaneShape::of(min_lane), 0);
    CHECK(lane.writer.reserve(10) == nullptr);
    CHECK(lane.writer.refused() == Room::populate);
    CHECK(lane.writer.has_room(10));  // not a matter of waiting
    CHECK(lane.writer.reserve(10) == nullptr);
    CHECK(lane.writer.populate_from() == 0);
    CHECK(lane.writer.populate_size() == min_lane);
    lane.writer.populated_to(min_lane);
    CHECK(lane.send(1, 10));
    CHECK(lane.receive(1, 10));
}

TEST_CASE("a million small frames one at a time stay within two windows", "[lane]") {
    const LaneShape shape = LaneShape::of(std::uint64_t{4} << 20);
    const bool looks_again = GENERATE(true, false);  // a caller takes its answer and doesn't look for another
    TestLane lane(shape, 0);
    Frame frame;
    bool good = true;
    for (std::uint64_t k = 0; good && k < 1000000; ++k) {
        if (!lane.send(k, 20)) {
            lane.writer.populated_to(lane.writer.populate_from() + lane.writer.populate_size());
            good = lane.send(k, 20);
        }
        good = good && lane.reader.peek(frame) && frame.header == lane.header(k, 20);
        lane.reader.release();
        if (looks_again) good = good && !lane.reader.peek(frame);
    }
    CHECK(good);
    CHECK(lane.writer.populate_from() <= 2 * lane_window);
}

TEST_CASE("large frames fill what a cache doesn't hold before they go back; where memory is scarce they go back early",
          "[lane]") {
    const LaneShape shape = LaneShape::of(std::uint64_t{4} << 20);
    constexpr std::uint32_t size = 60'000;
    TestLane lane(shape, 0);
    Frame none;
    const auto go_round = [&] {
        bool good = true;
        for (std::uint64_t k = 0; good && k < 200; ++k) {
            if (!lane.send(k, size)) {
                lane.writer.populated_to(lane.writer.populate_from() + lane.writer.populate_size());
                good = lane.send(k, size);
            }
            good = good && lane.receive(k, size) && !lane.reader.peek(none);
        }
        CHECK(good);
    };
    const bool scarce = GENERATE(false, true);
    if (scarce) {
        CHECK(lane.writer.narrow());
        CHECK_FALSE(lane.writer.narrow());
    }
    go_round();
    if (scarce)
        CHECK(lane.writer.populate_from() <= 3 * lane_window);
    else
        CHECK(lane.writer.populate_from() == shape.size);
}

TEST_CASE("after a hang-up all that was sent is given, and a peer that goes on gains no more than a lap", "[lane]") {
    for (const std::uint64_t window : {0u, 4u}) {
        for (std::uint64_t offset = 0; offset < 32 * line; offset += line) {
            TestLane lane(small_shape(32, window));
            REQUIRE(lane.advance_to(offset));
            std::uint64_t sent = 0;
            while (lane.send(sent, static_cast<std::uint32_t>(sent * 29 % 300))) ++sent;
            lane.reader.end_after_one_lap();
            const std::uint64_t from = lane.reader.taken();
            std::uint64_t got = 0, more = sent;
            while (got < 10000 && lane.receive(got, static_cast<std::uint32_t>(got * 29 % 300))) {
                ++got;
                lane.reader.show_credit();
                while (lane.send(more, static_cast<std::uint32_t>(more * 29 % 300))) ++more;
                lane.reader.end_after_one_lap();  // said again: no new lap
            }
            CHECK(got >= sent);
            CHECK(lane.reader.taken() - from <= lane.shape.size);
            CHECK_FALSE(lane.reader.violated());
        }
    }
}

TEST_CASE("after a hang-up no marker leads past the lap", "[lane]") {
    TestLane lane(small_shape(16));
    REQUIRE(lane.advance_to(15 * line));
    lane.reader.end_after_one_lap();
    for (std::uint64_t k = 0; k < 15; ++k) REQUIRE((lane.send(k, 0) && lane.receive(k, 0)));
    lane.reader.show_credit();
    REQUIRE(lane.send(15, 150));  // three lines where two are left: a marker, and the frame behind it
    REQUIRE(lane.word(14 * line) == wrap_marker);
    Frame frame;
    for (int i = 0; i < 3; ++i) CHECK_FALSE(lane.reader.peek(frame));
    CHECK(lane.reader.taken() <= (15 + 16) * line);
    CHECK_FALSE(lane.reader.violated());
}

TEST_CASE("the line cleared ahead is populated too", "[lane]") {
    TestLane lane(LaneShape::of(min_lane), 16 * line);
    std::memset(lane.data() + 16 * line, 0xee, 48 * line);
    std::uint64_t sent = 0;
    while (lane.send(sent, 0)) ++sent;
    CHECK(sent == 15);
    CHECK(lane.writer.refused() == Room::populate);
    CHECK(lane.data()[16 * line] == std::byte{0xee});
}
