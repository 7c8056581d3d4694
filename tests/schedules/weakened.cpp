// SPDX-License-Identifier: BSL-1.0
// The shipped lane under schedules, in short: ./dev schedules runs more. And that these would find a fault: each
// operation that the protocol rests on is weakened once.
#include <memory>
#include <string>
#include <utility>

#include "search.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

using namespace qbipc::testing;

namespace {

/// What is to hold is tried from the run's seed; what is to be found, from one with which it is.
std::uint64_t seed_for(bool holds) { return (holds ? run_seed() : 1) << 20; }

Sampled lanes(std::uint64_t schedules, Weakened weakened, Forgotten forgotten = Forgotten::nothing) {
    const auto play = std::make_unique<LanePlay>();
    const bool holds = weakened == Weakened::nothing && forgotten == Forgotten::nothing;
    return sample_lane(*play, seed_for(holds), weakened, forgotten,
                       [schedules](std::uint64_t done) { return done < schedules; });
}

Sampled ends(std::uint64_t schedules, Weakened weakened) {
    const auto play = std::make_unique<EndPlay>();
    return sample_ends(*play, seed_for(weakened == Weakened::nothing), weakened,
                       [schedules](std::uint64_t done) { return done < schedules; });
}

}  // namespace

TEST_CASE("the shipped lane and its sleepers hold under schedules from a seed", "[schedules]") {
    const Sampled found = lanes(20'000, Weakened::nothing);
    CAPTURE(found.seed);
    CHECK(found.error.empty());
    CHECK(found.points > 100'000);
}

TEST_CASE("the shipped lane and its sleepers hold under all schedules of two frames", "[schedules]") {
    const auto play = std::make_unique<LanePlay>();
    LanePlan plan;
    plan.shape = {4 * 64, 4 * 64, 64, 2 * 64};
    plan.before = 5;
    plan.frames = 2;
    plan.reserved = {2, 2};
    plan.used = {1, 2};
    const Explored found = play->run_all(plan, 1'000'000);
    CHECK(found.error.empty());
    CHECK(found.complete);
    CHECK(found.states > 1'000);
}

TEST_CASE("a death at any operation leaves the other with whole frames and an end", "[schedules]") {
    const auto play = std::make_unique<LanePlay>();
    const Explored found = search_lane(*play, 1, true);
    CHECK(found.error.empty());
    CHECK(found.complete);
}

TEST_CASE("the checker finds each weakened operation", "[schedules]") {
    using enum Weakened;
    const std::string torn = "a payload is not what was sent";
    const std::string overwritten = "a payload is overwritten while it may still be read";
    const std::string asleep = "asleep for ever";
    const auto [weakened, error] = GENERATE_COPY(
        std::pair{next_is_not_cleared, std::string()}, std::pair{next_is_cleared_late, std::string()},
        std::pair{frames_are_not_released, std::string()}, std::pair{frames_are_not_acquired, std::string()},
        std::pair{credit_is_not_released, overwritten}, std::pair{credit_is_not_acquired, overwritten},
        std::pair{no_fence_after_frame, asleep}, std::pair{no_fence_after_credit, asleep},
        std::pair{no_fence_before_sleep, asleep}, std::pair{no_fence_before_waiting_for_room, asleep},
        std::pair{flag_is_lost, asleep}, std::pair{payload_is_written_late, torn});
    CAPTURE(static_cast<int>(weakened));
    const Sampled found = lanes(20'000, weakened);
    CHECK_FALSE(found.error.empty());
    if (!error.empty()) CHECK(found.error == error);
}

TEST_CASE("the checker finds what an owner of a lane forgets", "[schedules]") {
    CHECK(lanes(20'000, Weakened::nothing, Forgotten::second_look).error == "asleep for ever");
    CHECK(lanes(20'000, Weakened::nothing, Forgotten::ringing_for_credit).error == "asleep for ever");
    CHECK(lanes(20'000, Weakened::nothing, Forgotten::draining_before_counting).error == "bells pile up");
}

TEST_CASE("a client and a service over the shipped ends hold under schedules from a seed", "[schedules]") {
    const Sampled found = ends(10'000, Weakened::nothing);
    CAPTURE(found.seed);
    CHECK(found.error.empty());
    CHECK(found.points > 100'000);
}

TEST_CASE("the checker finds each fence that is left out of the shipped ends", "[schedules]") {
    using enum Weakened;
    const Weakened weakened =
        GENERATE(no_fence_after_frame, no_fence_after_credit, no_fence_before_sleep, no_fence_before_waiting_for_room);
    CAPTURE(static_cast<int>(weakened));
    CHECK(ends(100'000, weakened).error == "asleep for ever");
}
