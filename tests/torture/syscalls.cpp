// SPDX-License-Identifier: BSL-1.0
// Death at every system call of connecting, letting in, disconnecting and closing: before it takes effect, and after.
//   torture-syscalls [--full] [--seed N]
// As strace's inject=SC:signal=KILL:when=k would do it for every call in turn, without a process in between.
#include <csignal>
#include <cstdio>
#include <string>

#include "torture/findings.hpp"
#include "torture/regions.hpp"

using namespace qbipc;
using namespace qbipc::testing;

namespace {

/// Kills where the victim enters or leaves a call for the k-th time: a fatal signal at its entry leaves it undone.
Torment die_at_call(long k, bool& was_there) {
    return [k, &was_there](Tracee& victim) {
        ::ptrace(PTRACE_SETOPTIONS, victim.pid(), nullptr, PTRACE_O_TRACESYSGOOD);
        for (long stop = 0; stop <= k; ++stop) {
            if (victim.run_to_call() == Tracee::Stop::step) continue;
            was_there = false;
            return std::string("past the last");
        }
        user_regs_struct registers{};
        ::ptrace(PTRACE_GETREGS, victim.pid(), nullptr, &registers);
        return std::string(k % 2 == 0 ? "before" : "after") + " call " + std::to_string(k / 2) + ", number " +
               std::to_string(registers.orig_rax);
    };
}

template <class T>
void torment(const char* transport, const Words& words, Findings& findings) {
    Bench<T> bench(transport, findings);
    auto regions = client_regions<T>();
    for (const auto& region : service_regions<T>()) regions.push_back(region);
    const long times = words.full() ? 10 : 1;
    for (const auto& region : regions) {
        const std::string name = region.name;
        if (!words.has("--all") && name != "connect" && name != "disconnect" && name != "accept" && name != "listen" &&
            name != "close" && name != "call" && name != "answer")
            continue;
        if (findings.hopeless()) break;
        long stops = 0;
        for (long time = 0; time < times; ++time) {
            bench.begin(region);
            bool there = true;
            for (stops = 0; there && !findings.hopeless(); ++stops) {
                Tracee::overdue = 0;
                ::alarm(300);
                bench.round(region, die_at_call(stops, there));
                ::alarm(0);
                if (Tracee::overdue) findings.fail(name + ", stop " + std::to_string(stops) + ": it hangs");
            }
        }
        std::printf("  %-5s %-12s %4ld system calls\n", transport, region.name, stops / 2);
    }
    std::printf("  %-5s %s\n", transport, bench.verdicts.notice().c_str());
}

}  // namespace

int main(int argc, char** argv) {
    const Words words(argc, argv);
    struct sigaction action {};
    action.sa_handler = [](int) { Tracee::overdue = 1; };
    ::sigaction(SIGALRM, &action, nullptr);
    Findings findings;
    torment<Ring>("shm", words, findings);
    torment<UnixSocket>("unix", words, findings);
    return findings.end("syscalls", "every system call of both ends, entered and left, in both transports");
}
