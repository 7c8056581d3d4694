// SPDX-License-Identifier: BSL-1.0
// Processes made by fork alone, thousands a minute, and the memory that they share with who made them.
//
// A program of the torture that forks never uses the library itself, and has one thread: its children begin as if they
// had been executed, without the milliseconds that executing takes, and all have the same addresses. They end with it.
#pragma once

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <new>
#include <poll.h>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace qbipc::testing {

/// Anything whose parts are atomic, seen by this process and by all that it forks from now on.
template <class T>
class Shared {
public:
    Shared() {
        void* const memory = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) std::abort();
        object_ = ::new (memory) T();
    }
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;
    ~Shared() { ::munmap(object_, sizeof(T)); }
    T& operator*() const noexcept { return *object_; }
    T* operator->() const noexcept { return object_; }

private:
    T* object_;
};

/// Forks; the child runs `body`, and ends with the exit code that it gives.
template <class F>
pid_t fork_child(F&& body) {
    const pid_t parent = ::getpid();
    std::fflush(stdout);
    const pid_t pid = ::fork();
    if (pid < 0) {
        std::perror("fork");
        std::abort();
    }
    if (pid != 0) return pid;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(9);
    ::_exit(body());
}

/// One letter of /proc: R, S, T ...; of a process, or of a thread.
inline char state_of(pid_t id) {
    std::ifstream file("/proc/" + std::to_string(id) + "/stat");
    std::string text;
    std::getline(file, text);
    const auto name_end = text.rfind(')');
    return name_end == text.npos || name_end + 2 >= text.size() ? '?' : text[name_end + 2];
}

/// Kills somebody else's child, and comes back when it is gone, its sockets closed. Who made it waits for it.
inline bool kill_and_see(pid_t pid) {
    const int process = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (process < 0) return false;
    ::kill(pid, SIGKILL);
    pollfd gone{process, POLLIN, 0};
    while (::poll(&gone, 1, 20'000) < 0 && errno == EINTR) {
    }
    ::close(process);
    return gone.revents != 0;
}

/// A forked child. It is killed, and waited for, at the latest when this goes.
class Kin {
public:
    Kin() = default;
    template <class F>
    explicit Kin(F&& body) : pid_(fork_child(std::forward<F>(body))) {}
    Kin(Kin&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
    Kin& operator=(Kin&& other) noexcept {
        std::swap(pid_, other.pid_);
        return *this;
    }
    ~Kin() { kill(); }

    pid_t pid() const { return pid_; }
    explicit operator bool() const { return pid_ > 0; }

    /// The wait status of who was killed now, or had ended before.
    int kill() {
        if (pid_ <= 0) return -1;
        ::kill(pid_, SIGKILL);
        return wait();
    }
    int wait() {
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return status;
    }
    /// Whether it has ended by itself, and how; then it is waited for.
    bool ended(int& status) {
        if (pid_ <= 0 || ::waitpid(pid_, &status, WNOHANG) != pid_) return false;
        pid_ = -1;
        return true;
    }
    /// Somebody else has waited for it.
    void forget() { pid_ = -1; }
    /// Comes back once it stands still.
    void stop() const {
        ::kill(pid_, SIGSTOP);
        (void)stands_still();
    }
    /// Waits for that.
    bool stands_still() const {
        int status = 0;
        while (::waitpid(pid_, &status, WUNTRACED) < 0 && errno == EINTR) {
        }
        return WIFSTOPPED(status);
    }
    void resume() const { ::kill(pid_, SIGCONT); }

    char state() const { return state_of(pid_); }

private:
    pid_t pid_ = -1;
};

/// One process that forks others when it is asked to: who asks has threads and sanitizers, and is the library's. A
/// child is told the letter that was asked for.
class Nursery {
public:
    template <class F>
    explicit Nursery(F&& body) {
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair_) != 0) std::abort();
        mother_ = Kin([&] {
            ::signal(SIGCHLD, SIG_IGN);  // they are waited for by the kernel
            for (char what = 0; ::read(pair_[1], &what, 1) == 1;) {
                const pid_t child = fork_child([&] { return body(what); });
                if (::write(pair_[1], &child, sizeof child) != sizeof child) return 1;
            }
            return 0;
        });
    }
    Nursery(const Nursery&) = delete;
    Nursery& operator=(const Nursery&) = delete;
    ~Nursery() {
        ::close(pair_[0]);
        ::close(pair_[1]);
    }

    /// The new one's id; -1: there is none.
    pid_t bear(char what) {
        pid_t child = -1;
        if (::write(pair_[0], &what, 1) != 1 || ::read(pair_[0], &child, sizeof child) != sizeof child) return -1;
        return child;
    }

private:
    int pair_[2]{-1, -1};
    Kin mother_;
};

/// Looks again and again until it is true; false after `limit`, which is a bound for what has gone wrong.
template <class F>
bool comes_true(F&& f, std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!f()) {
        if (std::chrono::steady_clock::now() >= end) return f();
        ::usleep(30);
    }
    return true;
}

/// Lines of /proc/PID/maps; sessions' memory is counted by session_mappings().
inline int mappings(pid_t pid) {
    std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
    int count = 0;
    for (std::string line; std::getline(maps, line);) ++count;
    return count;
}

/// Resident memory of its own, in KiB.
inline long resident(pid_t pid) {
    std::ifstream status("/proc/" + std::to_string(pid) + "/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("RssAnon:")) return std::strtol(line.c_str() + 8, nullptr, 10);
    return -1;
}

}  // namespace qbipc::testing
