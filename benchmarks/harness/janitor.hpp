// SPDX-License-Identifier: BSL-1.0
// janitor.hpp: removes what a library leaves in /dev/shm or /tmp, however the processes of a measurement end.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "setup.hpp"

namespace bench {

/// A process that does nothing until this object and all processes forked after it are gone, killed ones too. Then it
/// runs `clean`. Belongs into a peer's Common, before whatever is to be removed.
class Janitor {
public:
    template <class Clean>
    explicit Janitor(Clean&& clean) {
        int ends[2];
        expect(::pipe2(ends, O_CLOEXEC) == 0, "pipe");
        pid_ = ::fork();
        expect(pid_ >= 0, "fork");
        if (pid_ == 0) {
            ::setsid();  // what ends the whole group doesn't end this
            ::close(ends[1]);
            char byte = 0;
            while (::read(ends[0], &byte, 1) < 0 && errno == EINTR) {
            }
            clean();
            std::_Exit(0);
        }
        ::close(ends[0]);
        end_ = ends[1];
    }
    Janitor(const Janitor&) = delete;
    Janitor& operator=(const Janitor&) = delete;
    /// Returns when all is clean.
    ~Janitor() {
        ::close(end_);
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
        }
    }

private:
    pid_t pid_ = 0;
    int end_ = -1;
};

}  // namespace bench
