// SPDX-License-Identifier: BSL-1.0
// Two threads on one lane, over plain memory: what a thread sanitizer can see of two processes.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>

#include <qbipc/detail/lane_reader.hpp>
#include <qbipc/detail/lane_writer.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/test_lane.hpp"

using namespace qbipc;
using namespace qbipc::detail;
using namespace qbipc::testing;
using Clock = std::chrono::steady_clock;

namespace {

/// Stops now and then, for a random while: so that each end meets a lane full, empty and anything between.
class Stops {
public:
    explicit Stops(std::uint64_t stream) : random_(stream) {}
    void maybe() {
        if (!random_.one_in(200)) return;
        if (random_.one_in(4)) {
            std::this_thread::sleep_for(std::chrono::microseconds(random_.below(100)));
        } else {
            std::this_thread::yield();
        }
    }

private:
    Random random_;
};

/// Sizes drawn alike by both threads: mostly small, all up to the largest.
std::uint32_t draw(Random& random, const LaneShape& shape) {
    const std::uint64_t bound =
        random.one_in(4) ? shape.max_payload() : std::min<std::uint64_t>(shape.max_payload(), 200);
    return static_cast<std::uint32_t>(random.below(bound + 1));
}

}  // namespace

TEST_CASE("frames of random sizes pass between two threads that stop at random", "[lane]") {
    const auto [lines, window] = GENERATE(std::pair{16u, 0u}, std::pair{16u, 4u}, std::pair{64u, 16u},
                                          std::pair{1024u, 0u}, std::pair{65536u, 1024u});
    CAPTURE(lines, window);
    const std::uint64_t frames = lines > 10000 ? 500 : 20000;  // some 40 MB either way
    const auto deadline = Clock::now() + std::chrono::minutes(20);
    TestLane lane(small_shape(lines, window));
    std::atomic<bool> given_up{false};

    std::thread sender([&] {
        Random sizes(7);
        Stops stops(8);
        for (std::uint64_t k = 0; k < frames; ++k) {
            const std::uint32_t size = draw(sizes, lane.shape);
            while (!lane.send(k, size)) {
                if (lane.writer.refused() != Room::full || Clock::now() > deadline) given_up = true;
                if (given_up) return;
                std::this_thread::yield();
            }
            stops.maybe();
        }
    });
    Random sizes(7);
    Stops stops(9);
    std::uint64_t got = 0;
    while (got < frames && !given_up) {
        Frame frame;
        if (!lane.reader.peek(frame)) {
            if (lane.reader.violated() || Clock::now() > deadline) given_up = true;
            std::this_thread::yield();
            continue;
        }
        if (!lane.receive(got, draw(sizes, lane.shape))) given_up = true;
        ++got;
        stops.maybe();
    }
    sender.join();
    CHECK_FALSE(given_up);
    CHECK(got == frames);
    CHECK(lane.guards_intact());
    Frame frame;
    CHECK_FALSE(lane.reader.peek(frame));
    CHECK(lane.credit == lane.writer.published());
}
