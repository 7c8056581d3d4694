// SPDX-License-Identifier: BSL-1.0
// Runs the shipped lanes and bells under many schedules on a weak memory: see world.hpp. Run by ./dev schedules.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "search.hpp"
#include "support/random.hpp"

using namespace qbipc::testing;

namespace {

constexpr const char* usage =
    "usage: schedules [--lanes N] [--ends N] [--seconds S] [--seed SEED] [--all FRAMES] [--deaths FRAMES]\n"
    "  N schedules of a lane, and of a client and a service, from SEED on, each in S seconds at most;\n"
    "  all schedules of rows of up to FRAMES frames on a lane, and all of them with a death\n";

struct Arguments {
    std::uint64_t lanes = 500'000, ends = 500'000;
    std::uint64_t seconds = 3600;
    std::uint64_t all = 2, deaths = 1;
    std::optional<std::uint64_t> seed;
};

Arguments parse(int argc, char** argv) {
    Arguments arguments;
    for (int i = 1; i < argc; i += 2) {
        const std::string name = argv[i];
        const std::uint64_t value = i + 1 < argc ? std::strtoull(argv[i + 1], nullptr, 0) : 0;
        if (i + 1 < argc && name == "--lanes") {
            arguments.lanes = value;
        } else if (i + 1 < argc && name == "--ends") {
            arguments.ends = value;
        } else if (i + 1 < argc && name == "--seconds") {
            arguments.seconds = value;
        } else if (i + 1 < argc && name == "--all") {
            arguments.all = value;
        } else if (i + 1 < argc && name == "--deaths") {
            arguments.deaths = value;
        } else if (i + 1 < argc && name == "--seed") {
            arguments.seed = value;
        } else {
            std::fputs(usage, stderr);
            std::exit(2);
        }
    }
    return arguments;
}

/// Prints what was found and leaves, if anything was.
void must_be_empty(const std::string& error, const char* where) {
    if (error.empty()) return;
    std::printf("schedules: %s: %s\n", where, error.c_str());
    std::exit(1);
}

unsigned long long number(std::uint64_t value) { return value; }
/// What is wrong with the schedules of one play ends the program; else says how many there were.
void report(const Sampled& found, const char* what, const char* option) {
    if (!found.error.empty())
        std::printf("after %llu schedules; again: --all 0 --deaths 0 --lanes 0 --ends 0 %s 1 --seed %llu\n",
                    number(found.schedules), option, number(found.seed));
    must_be_empty(found.error, what);
    std::printf("%s: %llu schedules, %llu states\n", what, number(found.schedules), number(found.points));
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    const Arguments arguments = parse(argc, argv);
    const std::uint64_t seed = arguments.seed ? *arguments.seed : run_seed() << 20;  // two seeds' runs don't overlap
    const auto lane = std::make_unique<LanePlay>();
    const auto ends = std::make_unique<EndPlay>();
    std::uint64_t states = 0;
    const auto all_schedules = [&](std::uint32_t frames, bool deaths, const char* what) {
        const Explored found = search_lane(*lane, frames, deaths);
        must_be_empty(found.error, what);
        must_be_empty(found.complete ? "" : "too many states", what);
        std::printf("%s of %u frames: %llu states\n", what, frames, number(found.states));
        std::fflush(stdout);
        states += found.states;
    };
    for (std::uint32_t frames = 1; frames <= arguments.all; ++frames) all_schedules(frames, false, "all schedules");
    for (std::uint32_t frames = 1; frames <= arguments.deaths; ++frames)
        all_schedules(frames, true, "all with a death at each operation");

    const auto until = [&arguments](std::uint64_t most) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(arguments.seconds);
        return [most, end](std::uint64_t done) {
            return done < most && (done % 1024 != 0 || std::chrono::steady_clock::now() < end);
        };
    };
    const Sampled of_lane = sample_lane(*lane, seed, Weakened::nothing, Forgotten::nothing, until(arguments.lanes));
    report(of_lane, "a lane and its sleepers", "--lanes");
    const Sampled of_ends = sample_ends(*ends, seed, Weakened::nothing, until(arguments.ends));
    report(of_ends, "a client and a service", "--ends");
    std::printf("schedules: %llu schedules, %llu states, 0 errors\n", number(of_lane.schedules + of_ends.schedules),
                number(states + of_lane.points + of_ends.points));
    return 0;
}
