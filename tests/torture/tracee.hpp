// SPDX-License-Identifier: BSL-1.0
// A forked child that runs an instruction at a time, from one marker to the next. x86-64.
//
// To single-step to instruction k takes k stops of 30 to 50 us. Where the path is known, a breakpoint at its k-th
// address is there in one or two: that makes killing at every instruction of a path linear in its length.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <functional>
#include <sched.h>
#include <string>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unordered_map>
#include <vector>

#include "torture/kin.hpp"

namespace qbipc::testing {

/// Stops whoever is traced here.
inline void marker() { asm volatile("int3" ::: "memory"); }

/// "symbol+offset (program+offset)": the child's addresses are this program's own.
inline std::string name_of(std::uintptr_t address) {
    char text[512];
    Dl_info info{};
    if (::dladdr(reinterpret_cast<void*>(address), &info) == 0) {
        std::snprintf(text, sizeof text, "0x%zx", address);
    } else {
        const auto base = reinterpret_cast<std::uintptr_t>(info.dli_fbase);
        const char* const file = std::strrchr(info.dli_fname, '/');
        std::snprintf(text, sizeof text, "%.200s+0x%zx (%.60s+0x%zx)", info.dli_sname ? info.dli_sname : "?",
                      info.dli_saddr ? address - reinterpret_cast<std::uintptr_t>(info.dli_saddr) : 0,
                      file ? file + 1 : info.dli_fname, address - base);
    }
    return text;
}

class Tracee {
public:
    enum class Stop { marker, step, died };

    template <class F>
    explicit Tracee(F&& body)
        : kin_([&] {
              ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
              marker();
              return body();
          }) {
        // Who is told to go on before it stands would run past its first marker.
        while (::waitpid(pid(), &status_, 0) < 0 && errno == EINTR) {
        }
    }
    Tracee(const Tracee&) = delete;
    Tracee& operator=(const Tracee&) = delete;
    ~Tracee() = default;

    pid_t pid() const { return kin_.pid(); }
    /// Of Stop::died: how.
    int status() const { return status_; }

    /// Runs until the next marker (or a breakpoint). While it runs, `nudge` is called once, after a few milliseconds: a
    /// path that sleeps wants to be woken.
    Stop run() { return resume(PTRACE_CONT); }
    Stop step() { return resume(PTRACE_SINGLESTEP); }
    /// Until the next system call, its entry or its end.
    Stop run_to_call() { return resume(PTRACE_SYSCALL); }
    std::function<void()> nudge;

    std::uintptr_t at() const {
        user_regs_struct registers{};
        ::ptrace(PTRACE_GETREGS, pid(), nullptr, &registers);
        return registers.rip;
    }

    /// Where it is at a repeated string instruction: to the end of that. `rep movsb` over a long message is a step for
    /// each byte.
    Stop finish_repeated(std::uintptr_t address) {
        errno = 0;
        const long bytes = ::ptrace(PTRACE_PEEKTEXT, pid(), address, nullptr);
        if ((bytes & 0xff) != 0xf3) return step();
        const bool rex = (bytes >> 8 & 0xf0) == 0x40;
        return run_to(address + (rex ? 3 : 2), 1);
    }

    /// From a marker to the `occurrence`-th time that it is about to execute the instruction at `address`.
    Stop run_to(std::uintptr_t address, unsigned occurrence) {
        for (;;) {
            const long original = exchange_byte(address, breakpoint);
            const Stop stop = run();
            if (stop != Stop::marker || at() != address + 1) return stop;
            (void)exchange_byte(address, original);
            move_to(address);
            if (--occurrence == 0) return Stop::step;
            if (const Stop stepped = step(); stepped != Stop::step) return stepped;
        }
    }

    void kill() { status_ = kin_.kill(); }

private:
    static constexpr long breakpoint = 0xcc;

    Stop resume(decltype(PTRACE_CONT) how, int signal = 0) {
        ::ptrace(how, pid(), nullptr, signal);
        for (unsigned looks = 0;; ++looks) {
            const pid_t got = ::waitpid(pid(), &status_, nudge ? WNOHANG : 0);
            if (got == 0 && !overdue) {
                // A step is over in a moment; a sleep may be for ever.
                if (looks < 300)
                    ::sched_yield();
                else
                    ::usleep(100);
                if (looks == 320) nudge();
                continue;
            }
            if (got <= 0) {
                if (got < 0 && errno == EINTR && !overdue) continue;
                kill();
                return Stop::died;
            }
            if (!WIFSTOPPED(status_)) {
                kin_.forget();
                return Stop::died;
            }
            const int number = WSTOPSIG(status_);
            if (number == (SIGTRAP | 0x80)) return Stop::step;
            if (number == SIGTRAP) {
                siginfo_t info{};
                ::ptrace(PTRACE_GETSIGINFO, pid(), nullptr, &info);
                return info.si_code == SI_KERNEL ? Stop::marker : Stop::step;
            }
            if (number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGABRT || number == SIGFPE) {
                kill_as(number);
                return Stop::died;
            }
            ::ptrace(how, pid(), nullptr, number == SIGSTOP ? 0 : number);
        }
    }

    void kill_as(int signal) {
        (void)kin_.kill();
        status_ = signal;  // WIFSIGNALED with this number
    }

    long exchange_byte(std::uintptr_t address, long byte) const {
        errno = 0;
        const long word = ::ptrace(PTRACE_PEEKTEXT, pid(), address, nullptr);
        ::ptrace(PTRACE_POKETEXT, pid(), address, (word & ~0xffL) | byte);
        return word & 0xff;
    }
    void move_to(std::uintptr_t address) const {
        user_regs_struct registers{};
        ::ptrace(PTRACE_GETREGS, pid(), nullptr, &registers);
        registers.rip = address;
        ::ptrace(PTRACE_SETREGS, pid(), nullptr, &registers);
    }

public:
    /// Set by an alarm's handler: whoever waits is to give up.
    static inline volatile std::sig_atomic_t overdue = 0;

private:
    Kin kin_;
    int status_ = 0;
};

/// The instructions between two markers, as addresses in the order of their execution. A repeated string instruction
/// counts once.
class Path {
public:
    /// Adds where the victim is, and takes it to the next.
    Tracee::Stop step(Tracee& victim) {
        const auto address = victim.at();
        if (!addresses_.empty() && addresses_.back() == address) return victim.finish_repeated(address);
        addresses_.push_back(address);
        occurrences_.push_back(++count_[address]);
        return victim.step();
    }
    std::size_t size() const { return addresses_.size(); }
    std::uintptr_t address(std::size_t k) const { return addresses_[k]; }
    unsigned occurrence(std::size_t k) const { return occurrences_[k]; }

    /// A place that the victim passes whatever its peer does, as often as here; places behind it are counted from it.
    void anchor(std::size_t k) { anchor_ = k; }
    /// The anchor where it lies before k, else the beginning.
    std::size_t nearest(std::size_t k) const { return anchor_ < k ? anchor_ : 0; }
    /// How often the k-th address was passed from there on.
    unsigned occurrence(std::size_t k, std::size_t from) const {
        const auto begin = addresses_.begin();
        return static_cast<unsigned>(std::count(begin + static_cast<std::ptrdiff_t>(from),
                                                begin + static_cast<std::ptrdiff_t>(k) + 1, addresses_[k]));
    }

private:
    std::size_t anchor_ = 0;
    std::vector<std::uintptr_t> addresses_;
    std::vector<unsigned> occurrences_;
    std::unordered_map<std::uintptr_t, unsigned> count_;
};

}  // namespace qbipc::testing
