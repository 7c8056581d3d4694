// SPDX-License-Identifier: BSL-1.0
// search.hpp: many schedules of a lane, or of a client and a service: from seeds, or all that there are of something
// small.
#pragma once

#include <cstdint>
#include <string>

#include "end_play.hpp"
#include "lane_play.hpp"

namespace qbipc::testing {

/// What schedules from seeds brought.
struct Sampled {
    std::uint64_t schedules = 0;
    std::uint64_t points = 0;  ///< where another thread may have gone on
    std::uint64_t seed = 0;    ///< of the last
    std::string error;
};

/// Schedules from `seed`, `seed` + 1 and so on, until `more(done)` is false; stops at the first error.
template <class World, class One, class More>
Sampled sample(const World& world, std::uint64_t seed, One one, More more) {
    Sampled sum;
    while (sum.error.empty() && more(sum.schedules)) {
        sum.seed = seed + sum.schedules;
        RandomChoices choices(sum.seed);
        sum.error = one(choices);
        ++sum.schedules;
        sum.points += world.points();
    }
    return sum;
}
template <class More>
Sampled sample_lane(LanePlay& play, std::uint64_t seed, Weakened weakened, Forgotten forgotten, More more) {
    const auto one = [&](RandomChoices& choices) -> const std::string& {
        LanePlan plan = LanePlan::random(choices);
        plan.weakened = weakened;
        plan.forgotten = forgotten;
        return play.run(plan, choices);
    };
    return sample(play.world, seed, one, more);
}
template <class More>
Sampled sample_ends(EndPlay& play, std::uint64_t seed, Weakened weakened, More more) {
    const auto one = [&](RandomChoices& choices) -> const std::string& {
        return play.run(EndPlan::random(choices), weakened, choices);
    };
    return sample(play.world, seed, one, more);
}

/// All schedules of all rows of so many frames, each of one line, of two, or of two that became one, from each offset
/// in a lane of four lines whose every line was used before. With `deaths`, also those in which one of the threads dies
/// before one of its operations: for each thread, each operation.
inline Explored search_lane(LanePlay& play, std::uint32_t frames, bool deaths, Weakened weakened = Weakened::nothing,
                            std::uint64_t most_states_each = 20'000'000) {
    constexpr std::uint32_t lines = 4;
    LanePlan plan;
    plan.shape = {lines * detail::line, lines * detail::line, detail::line, 2 * detail::line};
    plan.frames = frames;
    plan.weakened = weakened;
    Explored sum;
    const auto add = [&] {
        const Explored one = play.run_all(plan, most_states_each);
        sum.states += one.states;
        sum.complete = sum.complete && one.complete;
        sum.error = one.error;
        return one.error.empty();
    };
    std::uint32_t rows = 1;
    for (std::uint32_t i = 0; i < frames; ++i) rows *= 3;
    const std::uint32_t longest = 24 * (frames + 1);  // more operations than any of them makes
    for (plan.before = lines + 1; plan.before <= 2 * lines; ++plan.before) {
        for (std::uint32_t row = 0; row < rows; ++row) {
            for (std::uint32_t i = 0, rest = row; i < frames; ++i, rest /= 3) {
                plan.reserved[i] = rest % 3 == 0 ? 1 : 2;
                plan.used[i] = rest % 3 == 1 ? 2 : 1;
            }
            plan.sender_dies = plan.receiver_dies = World::never;
            if (!add()) return sum;
            for (std::uint32_t dies = 0; deaths && dies < longest; ++dies) {
                plan.sender_dies = dies;
                plan.receiver_dies = World::never;
                if (!add()) return sum;
                plan.sender_dies = World::never;
                plan.receiver_dies = dies;
                if (!add()) return sum;
            }
        }
    }
    return sum;
}

}  // namespace qbipc::testing
