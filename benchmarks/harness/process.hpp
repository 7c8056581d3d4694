// SPDX-License-Identifier: BSL-1.0
// process.hpp: children that end with their parent, and say when they are ready.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <new>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "setup.hpp"

namespace bench {

/// A forked child. It dies with the thread that made it, and with this object.
class Child {
public:
    /// `body(ready)` runs in the child, and calls ready() once. Returns when it has.
    template <class Body>
    explicit Child(Body&& body, bool stops_itself = false) : stops_itself_(stops_itself) {
        int ends[2];
        expect(::pipe(ends) == 0, "pipe");
        const pid_t parent = ::getpid();
        std::fflush(nullptr);
        pid_ = ::fork();
        expect(pid_ >= 0, "fork");
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (::getppid() != parent) std::_Exit(1);
            ::close(ends[0]);
            body([&] {
                expect(::write(ends[1], "r", 1) == 1, "telling that the child is ready");
                ::close(ends[1]);
            });
            std::_Exit(0);
        }
        ::close(ends[1]);
        char byte = 0;
        const bool is_ready = ::read(ends[0], &byte, 1) == 1;
        ::close(ends[0]);
        if (is_ready) return;
        const int status = wait();  // it said why on stderr
        std::_Exit(WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1);
    }
    Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, 0)), stops_itself_(other.stops_itself_) {}
    Child& operator=(Child&&) = delete;
    ~Child() {
        if (pid_ <= 0) return;
        if (stops_itself_ && ::kill(pid_, SIGTERM) == 0) {
            for (int tenth = 0; tenth < 300; ++tenth) {
                if (::waitpid(pid_, nullptr, WNOHANG) == pid_) return;
                ::poll(nullptr, 0, 10);
            }
        }
        ::kill(pid_, SIGKILL);
        wait();
    }

    pid_t pid() const { return pid_; }

    /// Until it ends by itself.
    int wait() {
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = 0;
        return status;
    }

private:
    pid_t pid_ = 0;
    bool stops_itself_;
};

/// Memory that children made later share. It is never given back.
template <class T>
T* make_shared_memory() {
    void* const memory =
        ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    expect(memory != MAP_FAILED, "mmap");
    return new (memory) T;
}

/// 1,000 sessions are a few thousand descriptors.
inline void raise_descriptor_limit() {
    rlimit limit{};
    expect(::getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace bench
