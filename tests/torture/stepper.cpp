// SPDX-License-Identifier: BSL-1.0
// Death at every instruction: of publishing, taking, sleeping, waking, letting in, in both roles, over shared memory.
//   torture-stepper [--full] [--seed N] [--region NAME [--at K]]
// The short form takes every n-th instruction, from a place that the seed decides.
#include <csignal>
#include <cstdio>
#include <string>
#include <utility>

#include "torture/findings.hpp"
#include "torture/regions.hpp"

using namespace qbipc;
using namespace qbipc::testing;

namespace {

/// Seconds after which a death has gone wrong.
constexpr unsigned patience = 300;
/// A path from marker to marker is at most so long; beyond, every so-many-th instruction must do.
constexpr std::size_t most_kills_in_full = 20'000;

/// Steps from the region's beginning to its end, and lets the victim go.
Torment record(Path& path, bool& whole) {
    return [&path, &whole](Tracee& victim) -> std::string {
        for (;;) {
            const auto stop = path.step(victim);
            if (stop == Tracee::Stop::step) continue;
            whole = stop == Tracee::Stop::marker;
            if (whole)
                whole = victim.run() == Tracee::Stop::died && WIFEXITED(victim.status()) &&
                        WEXITSTATUS(victim.status()) == 0;
            return whole ? "at its end" : "status " + std::to_string(victim.status());
        }
    };
}

/// To the k-th instruction of the path; where the victim takes another one, to its k-th by steps. Either way from the
/// path's anchor, where it comes before.
Torment die_at(const Path& path, std::size_t k, bool step_by_step, bool& strayed) {
    return [&path, k, step_by_step, &strayed](Tracee& victim) {
        const std::size_t from = path.nearest(k);
        if (from != 0) strayed = victim.run_to(path.address(from), path.occurrence(from)) != Tracee::Stop::step;
        if (strayed) {
            // Its peer was too quick or too slow for that.
        } else if (!step_by_step) {
            strayed = victim.run_to(path.address(k), path.occurrence(k, from)) != Tracee::Stop::step;
        } else {
            Path walked;
            while (walked.size() < k - from && walked.step(victim) == Tracee::Stop::step) {
            }
        }
        return "--at " + std::to_string(k) + ' ' + name_of(path.address(k));
    };
}

}  // namespace

int main(int argc, char** argv) {
    const Words words(argc, argv);
    struct sigaction action {};
    action.sa_handler = [](int) { Tracee::overdue = 1; };
    ::sigaction(SIGALRM, &action, nullptr);

    Findings findings;
    Bench<Ring> bench("shm", findings);
    auto regions = client_regions<Ring>();
    for (const auto& region : service_regions<Ring>()) regions.push_back(region);
    const std::string only = words.after("--region");
    const long at = words.number("--at", -1);
    const auto kills_each = static_cast<std::size_t>(words.number("--kills", 250));
    Random random(1);
    long instructions = 0, strays = 0;
    for (const auto& region : regions) {
        if ((!only.empty() && only != region.name) || findings.hopeless()) continue;
        const auto began = std::chrono::steady_clock::now();
        Tracee::overdue = 0;
        ::alarm(patience);
        Path path;
        bool whole = false;
        bench.begin(region);
        bench.round(region, record(path, whole));
        ::alarm(0);
        if (!whole || path.size() == 0) {
            findings.fail(std::string(region.name) + ": can't be run to its end");
            continue;
        }
        instructions += static_cast<long>(path.size());
        // On the longest way, connecting, a death that must be walked to takes a third of a second.
        const std::size_t bound = words.full() ? most_kills_in_full : kills_each;
        const std::size_t wanted = path.size() > 20'000 ? (words.full() ? bound / 20 : bound / 5) : bound;
        const std::size_t stride = (path.size() + wanted - 1) / wanted;
        bench.begin(region);
        long kills = 0, region_strays = 0;
        const auto die = [&](std::size_t k, bool by_steps) {
            bool strayed = false;
            Tracee::overdue = 0;
            ::alarm(patience);
            const auto most = bench.most_taken;
            bench.lost.clear();
            bench.round(region, die_at(path, k, by_steps, strayed));
            if (strayed || by_steps) bench.most_taken = most;  // it died somewhere else
            if (strayed) bench.lost.clear();
            ::alarm(0);
            if (Tracee::overdue) findings.fail(std::string(region.name) + " --at " + std::to_string(k) + ": it hangs");
            ++kills;
            return strayed;
        };
        // More has come of the region, for the first time where it died at the k-th instruction, or at one of those
        // that were left out before. Whether a bell is rung before and after, say, depends on whether the peer sleeps.
        const auto anchor_before = [&](std::size_t k, std::uint64_t less) {
            const auto most = bench.most_taken;
            for (std::size_t left = stride - 1; left > 0 && k > 0; --left, --k) {
                bench.most_taken = less;
                if (die(k - 1, false) || bench.most_taken == less) break;
            }
            bench.most_taken = most;
            path.anchor(k);
        };
        for (std::size_t k = at >= 0 ? static_cast<std::size_t>(at) : random.below(stride);
             k < path.size() && !findings.hopeless(); k += stride) {
            const auto less = bench.most_taken;
            if (die(k, false)) {
                ++region_strays;
                (void)die(k, true);
            } else if (region.ordered && bench.most_taken > less && at < 0) {
                // By its place and number an instruction may be another one of the same kind: once more, by steps.
                const auto most = std::exchange(bench.most_taken, less);
                (void)die(k, true);
                if (bench.came > less) {
                    bench.most_taken = most;
                    anchor_before(k, less);
                } else {
                    ++region_strays;
                }
            }
            // What is lost is lost each time.
            for (int again = 0; again < 3 && !bench.lost.empty(); ++again) (void)die(k, true);
            if (!bench.lost.empty()) findings.fail(bench.lost);
            if (at >= 0) break;
        }
        strays += region_strays;
        std::printf("  %-28s %6zu instructions %6ld kills %4ld by steps %6.1f s\n", region.name, path.size(), kills,
                    region_strays, std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
    }
    std::printf("  %s\n", bench.verdicts.notice().c_str());
    return findings.end("stepper", std::to_string(instructions) + " instructions");
}
