// SPDX-License-Identifier: BSL-1.0
// While the peer is awake a message costs no system call, no allocation and no lock: counted, by a tracer.
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"

namespace {

struct Counts {
    std::map<long, std::uint64_t> client, service;  ///< system calls by number, between the markers
    std::string output;
    int exit_code = -1;

    static std::uint64_t all(const std::map<long, std::uint64_t>& calls) {
        std::uint64_t sum = 0;
        for (const auto& [number, count] : calls) sum += count;
        return sum;
    }
};

/// Runs helper-hot under ptrace. The markers are getppid(), called by the main thread, which is the client's.
Counts trace(const std::string& what, std::uint64_t messages) {
    Counts counts;
    const char* const folder = std::getenv("QBIPC_TEST_PROGRAMS");
    const std::string program = std::string(folder ? folder : ".") + "/helper-hot", number = std::to_string(messages);
    int out[2];
    REQUIRE(::pipe(out) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(out[1], 1);
        ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
        ::raise(SIGSTOP);
        ::execl(program.c_str(), program.c_str(), what.c_str(), number.c_str(), nullptr);
        ::_exit(127);
    }
    ::close(out[1]);
    int status = 0;
    if (::waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return counts;
    ::ptrace(PTRACE_SETOPTIONS, child, nullptr,
             PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC);
    ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    int markers = 0;
    for (;;) {
        const pid_t thread = ::waitpid(-1, &status, __WALL);
        if (thread < 0) break;
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (thread != child) continue;
            counts.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            break;
        }
        int signal = 0;
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            __ptrace_syscall_info info{};
            ::ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info);
            if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
                const auto call = static_cast<long>(info.entry.nr);
                if (call == SYS_getppid)
                    ++markers;
                else if (markers == 1)
                    ++(thread == child ? counts.client : counts.service)[call];
            }
        } else if (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP) {
            signal = WSTOPSIG(status);
        }
        ::ptrace(PTRACE_SYSCALL, thread, nullptr, static_cast<long>(signal));
    }
    char buffer[256];
    for (ssize_t got; (got = ::read(out[0], buffer, sizeof buffer)) > 0;)
        counts.output.append(buffer, static_cast<std::size_t>(got));
    ::close(out[0]);
    return counts;
}

}  // namespace

TEST_CASE("a message costs no system call, no allocation and no lock while both sides are awake", "[hot]") {
    const std::string what = GENERATE("calls", "sends", "events");
    constexpr std::uint64_t messages = 100'000;
    const Counts counts = trace(what, messages);
    INFO(what << ": " << counts.output);
    if (counts.exit_code == -1) {
        WARN("not tested: no ptrace here");
        return;
    }
    REQUIRE(counts.exit_code == 0);
    CHECK(counts.output == "allocations=0 locks=0\n");
    // Who spins looks whether the peer lives once each fruitless millisecond, and a service looks at everybody else
    // each 50 us, however slow they are watched. That, and nothing else.
    auto client = counts.client, service = counts.service;
    for (const long look : {SYS_ppoll, SYS_epoll_wait, SYS_epoll_pwait}) client.erase(look), service.erase(look);
    // A lane goes on by a window, with two calls for it, where its reader is held up; a whole lane of them, once.
    for (const long pages : {SYS_madvise, SYS_mincore}) {
        CHECK(client[pages] + service[pages] <= 2 * 64);
        client.erase(pages), service.erase(pages);
    }
    CHECK(Counts::all(client) <= messages / 1000);
    CHECK(Counts::all(service) <= messages / 1000);
}
