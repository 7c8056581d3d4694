// SPDX-License-Identifier: BSL-1.0
// Runs the shipped lanes and bells under many schedules on a weak memory: see world.hpp. Run by ./dev schedules.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "lane_search.hpp"
#include "support/random.hpp"

using namespace qbipc::testing;

namespace {

constexpr const char* usage =
    "usage: schedules [--schedules N] [--seconds S] [--seed SEED] [--all FRAMES] [--deaths FRAMES]\n"
    "  N schedules from SEED on, in S seconds at most; all schedules of rows of FRAMES frames; all with a death\n";

struct Arguments {
    std::uint64_t schedules = 1'000'000;
    std::uint64_t seconds = 3600;
    std::uint64_t all = 2;
    std::uint64_t deaths = 1;
    std::uint64_t seed = 0;
};

Arguments parse(int argc, char** argv) {
    Arguments arguments;
    bool seeded = false;
    for (int i = 1; i < argc; i += 2) {
        const std::uint64_t value = i + 1 < argc ? std::strtoull(argv[i + 1], nullptr, 0) : 0;
        if (i + 1 < argc && std::strcmp(argv[i], "--schedules") == 0) {
            arguments.schedules = value;
        } else if (i + 1 < argc && std::strcmp(argv[i], "--seconds") == 0) {
            arguments.seconds = value;
        } else if (i + 1 < argc && std::strcmp(argv[i], "--all") == 0) {
            arguments.all = value;
        } else if (i + 1 < argc && std::strcmp(argv[i], "--deaths") == 0) {
            arguments.deaths = value;
        } else if (i + 1 < argc && std::strcmp(argv[i], "--seed") == 0) {
            arguments.seed = value;
            seeded = true;
        } else {
            std::fputs(usage, stderr);
            std::exit(2);
        }
    }
    if (!seeded) arguments.seed = run_seed() << 20;  // the runs of two seeds don't overlap
    return arguments;
}

/// Prints what was found and leaves, if anything was.
void must_be_empty(const std::string& error, const char* where) {
    if (error.empty()) return;
    std::printf("schedules: %s: %s\n", where, error.c_str());
    std::exit(1);
}

unsigned long long number(std::uint64_t value) { return value; }

}  // namespace

int main(int argc, char** argv) {
    const Arguments arguments = parse(argc, argv);
    const auto play = std::make_unique<LanePlay>();
    std::uint64_t states = 0;
    for (std::uint32_t frames = 1; frames <= arguments.all; ++frames) {
        const Explored found = search_lane(*play, frames, false);
        must_be_empty(found.error, "all schedules of a few frames");
        must_be_empty(found.complete ? "" : "too many states", "all schedules of a few frames");
        std::printf("all schedules of %u frames: %llu states\n", frames, number(found.states));
        states += found.states;
    }
    for (std::uint32_t frames = 1; frames <= arguments.deaths; ++frames) {
        const Explored found = search_lane(*play, frames, true);
        must_be_empty(found.error, "all schedules with a death");
        std::printf("the same with a death at each operation: %llu states\n", number(found.states));
        states += found.states;
    }

    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(arguments.seconds);
    const auto more = [&](std::uint64_t schedules) {
        if (schedules >= arguments.schedules) return false;
        return schedules % 1024 != 0 || std::chrono::steady_clock::now() < end;
    };
    const Sampled found = sample_lane(*play, arguments.seed, Weakened::nothing, Forgotten::nothing, more);
    if (!found.error.empty())
        std::printf("after %llu schedules; again: --all 0 --deaths 0 --schedules 1 --seed %llu\n",
                    number(found.schedules), number(found.seed));
    must_be_empty(found.error, "a lane");
    std::printf("schedules: %llu schedules, %llu states, 0 errors\n", number(found.schedules),
                number(states + found.points));
    return 0;
}
