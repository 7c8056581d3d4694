// SPDX-License-Identifier: BSL-1.0
// Kernels for tests of addresses: the real one, but with runtime directories of the test's own, so that nothing is made
// in /run whoever runs the tests; and, on top of it, calls that can be counted, refused, and a clock of the test's own.
#pragma once

#include <atomic>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <sys/types.h>

#include <qbipc/kernel.hpp>
#include <qbipc/time.hpp>

namespace qbipc::testing {

struct ScratchKernel : LinuxKernel {
    static inline std::string system;
    static inline std::string users;
    static inline std::optional<std::string> variable;
    static inline std::optional<uid_t> user;

    /// Root's sockets go below `directory`; so do users' of the same test.
    static void use(const std::string& directory) {
        system = directory + "/system";
        users = directory + "/users";
        variable.reset();
        user.reset();
    }
    static const char* system_directory() noexcept { return system.c_str(); }
    static const char* user_directories() noexcept { return users.c_str(); }
    static const char* runtime_directory_variable() noexcept { return variable ? variable->c_str() : nullptr; }
    static uid_t geteuid() noexcept { return user ? *user : LinuxKernel::geteuid(); }
};

/// Answers -errno in place of a call while its field isn't 0.
struct RefusingKernel : ScratchKernel {
    static inline int accept_error = 0;
    static inline int inotify_error = 0;
    static inline int listen_error = 0;
    static inline int flock_error = 0;

    static void refuse_nothing() { accept_error = inotify_error = listen_error = flock_error = 0; }
    static int accept4(int fd, sockaddr* address, socklen_t* size, int flags) noexcept {
        return accept_error != 0 ? -accept_error : LinuxKernel::accept4(fd, address, size, flags);
    }
    static int inotify_init1(int flags) noexcept {
        return inotify_error != 0 ? -inotify_error : LinuxKernel::inotify_init1(flags);
    }
    static int inotify_add_watch(int fd, const char* path, std::uint32_t mask) noexcept {
        return inotify_error != 0 ? -inotify_error : LinuxKernel::inotify_add_watch(fd, path, mask);
    }
    static int listen(int fd, int backlog) noexcept {
        return listen_error != 0 ? -listen_error : LinuxKernel::listen(fd, backlog);
    }
    static int flock(int fd, int operation) noexcept {
        return flock_error != 0 ? -flock_error : LinuxKernel::flock(fd, operation);
    }
};

/// Counts what a connecting client asks.
struct CountingKernel : ScratchKernel {
    static inline std::atomic<int> connects = 0;
    static int connect(int fd, const sockaddr* address, socklen_t size) noexcept {
        ++connects;
        return LinuxKernel::connect(fd, address, size);
    }
};

/// Time passes only when somebody sleeps, and then at once.
struct VirtualTimeKernel : CountingKernel {
    static inline Clock::duration passed{};
    static inline const Clock::time_point start = Clock::now();
    static inline timespec wall_start{};

    static void begin() {
        passed = {};
        wall_start = LinuxKernel::wall_clock();
    }
    static Clock::time_point now() noexcept { return start + passed; }
    static int sleep(const timespec& span) noexcept {
        passed += std::chrono::seconds(span.tv_sec) + std::chrono::nanoseconds(span.tv_nsec);
        return 0;
    }
    static timespec wall_clock() noexcept {
        const auto nanoseconds = std::chrono::nanoseconds(wall_start.tv_nsec) + passed;
        const auto seconds = std::chrono::floor<std::chrono::seconds>(nanoseconds);
        return {wall_start.tv_sec + seconds.count(), static_cast<long>((nanoseconds - seconds).count())};
    }
};

}  // namespace qbipc::testing
