// SPDX-License-Identifier: BSL-1.0
// kernel.hpp: every question that the library's transports put to the operating system, in one replaceable place.
//
// A transport takes `class Kernel = LinuxKernel` and asks nobody else. A test derives from LinuxKernel, hides the
// functions that it wants to count, fail or fake, and names itself as the parameter; the default costs nothing.
//
// Each function gives the call's value, or -errno. A call that EINTR has cut is made again where that is right. It
// isn't where a time limit has to be worked out anew: connect, ppoll and sleep give -EINTR to their callers (poll_until
// and pause_until in detail/waiting.hpp do the rest).
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <type_traits>
#include <unistd.h>

#include <qbipc/config.hpp>
#include <qbipc/time.hpp>

namespace qbipc {

/// The operating system that the process runs on.
struct LinuxKernel {
    // ---- sockets
    static int socket(int domain, int type, int protocol) noexcept { return once(::socket(domain, type, protocol)); }
    static int socketpair(int domain, int type, int protocol, int (&pair)[2]) noexcept {
        return once(::socketpair(domain, type, protocol, pair));
    }
    static int bind(int fd, const sockaddr* address, socklen_t size) noexcept {
        return once(::bind(fd, address, size));
    }
    static int listen(int fd, int backlog) noexcept { return once(::listen(fd, backlog)); }
    static int accept4(int fd, sockaddr* address, socklen_t* size, int flags) noexcept {
        return restarted([&] { return ::accept4(fd, address, size, flags); });
    }
    /// Gives -EINTR. A Unix socket whose connect was cut is as before, and may be connected again.
    static int connect(int fd, const sockaddr* address, socklen_t size) noexcept {
        return once(::connect(fd, address, size));
    }
    static int shutdown(int fd, int how) noexcept { return once(::shutdown(fd, how)); }
    static ssize_t send(int fd, const void* data, std::size_t size, int flags) noexcept {
        return restarted([&] { return ::send(fd, data, size, flags); });
    }
    static ssize_t recv(int fd, void* data, std::size_t size, int flags) noexcept {
        return restarted([&] { return ::recv(fd, data, size, flags); });
    }
    static ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept {
        return restarted([&] { return ::sendmsg(fd, message, flags); });
    }
    static ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept {
        return restarted([&] { return ::recvmsg(fd, message, flags); });
    }
    static int getsockopt(int fd, int level, int option, void* value, socklen_t* size) noexcept {
        return once(::getsockopt(fd, level, option, value, size));
    }
    static int setsockopt(int fd, int level, int option, const void* value, socklen_t size) noexcept {
        return once(::setsockopt(fd, level, option, value, size));
    }

    // ---- waiting
    /// Gives -EINTR. A null limit is none.
    static int ppoll(pollfd* descriptors, std::size_t count, const timespec* limit) noexcept {
        return once(::ppoll(descriptors, count, limit, nullptr));
    }
    static int epoll_create1(int flags) noexcept { return once(::epoll_create1(flags)); }
    static int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
        return once(::epoll_ctl(epoll, operation, fd, event));
    }
    /// Gives -EINTR, but with a limit of 0.
    static int epoll_wait(int epoll, epoll_event* events, int count, int milliseconds) noexcept {
        if (milliseconds == 0) return restarted([&] { return ::epoll_wait(epoll, events, count, 0); });
        return once(::epoll_wait(epoll, events, count, milliseconds));
    }
    static int eventfd(unsigned value, int flags) noexcept { return once(::eventfd(value, flags)); }
    static int timerfd_create(int clock, int flags) noexcept { return once(::timerfd_create(clock, flags)); }
    static int timerfd_settime(int fd, int flags, const itimerspec* at) noexcept {
        return once(::timerfd_settime(fd, flags, at, nullptr));
    }
    static int inotify_init1(int flags) noexcept { return once(::inotify_init1(flags)); }
    static int inotify_add_watch(int fd, const char* path, std::uint32_t mask) noexcept {
        return once(::inotify_add_watch(fd, path, mask));
    }
    static int inotify_rm_watch(int fd, int watch) noexcept { return once(::inotify_rm_watch(fd, watch)); }
    /// Gives -EINTR.
    static int sleep(const timespec& span) noexcept { return -::clock_nanosleep(CLOCK_MONOTONIC, 0, &span, nullptr); }
    static Clock::time_point now() noexcept { return Clock::now(); }
    static int yield() noexcept { return ::sched_yield(); }

    // ---- descriptors
    static ssize_t read(int fd, void* data, std::size_t size) noexcept {
        return restarted([&] { return ::read(fd, data, size); });
    }
    static ssize_t write(int fd, const void* data, std::size_t size) noexcept {
        return restarted([&] { return ::write(fd, data, size); });
    }
    /// The descriptor is gone afterwards in any case: Linux closes it even where it reports EINTR.
    static int close(int fd) noexcept { return ::close(fd) == 0 || errno == EINTR ? 0 : -errno; }
    static int fcntl(int fd, int command, int argument = 0) noexcept {
        return restarted([&] { return ::fcntl(fd, command, argument); });
    }

    // ---- memory
    static int memfd_create(const char* name, unsigned flags) noexcept { return once(::memfd_create(name, flags)); }
    static int ftruncate(int fd, off_t size) noexcept {
        return restarted([&] { return ::ftruncate(fd, size); });
    }
    static int fallocate(int fd, int mode, off_t offset, off_t size) noexcept {
        return restarted([&] { return ::fallocate(fd, mode, offset, size); });
    }
    static int mincore(void* start, std::size_t size, unsigned char* pages) noexcept {
        return restarted([&] { return ::mincore(start, size, pages); });
    }
    static int madvise(void* start, std::size_t size, int advice) noexcept {
        return restarted([&] { return ::madvise(start, size, advice); });
    }
    static int mlock(const void* start, std::size_t size) noexcept { return once(::mlock(start, size)); }
    static int getrlimit(decltype(RLIMIT_FSIZE) resource, rlimit& limit) noexcept {
        return once(::getrlimit(resource, &limit));
    }

    // ---- files; directory AT_FDCWD and flags 0 make them the plain calls
    static int openat(int directory, const char* path, int flags, mode_t mode = 0) noexcept {
        return restarted([&] { return ::openat(directory, path, flags, mode); });
    }
    static int mkdirat(int directory, const char* path, mode_t mode) noexcept {
        return once(::mkdirat(directory, path, mode));
    }
    static int unlinkat(int directory, const char* path, int flags) noexcept {
        return once(::unlinkat(directory, path, flags));
    }
    static int flock(int fd, int operation) noexcept {
        return restarted([&] { return ::flock(fd, operation); });
    }
    static int fstat(int fd, struct stat& status) noexcept { return once(::fstat(fd, &status)); }
    static int fstatat(int directory, const char* path, struct stat& status, int flags) noexcept {
        return once(::fstatat(directory, path, &status, flags));
    }
    static int fstatfs(int fd, struct statfs& status) noexcept {
        return restarted([&] { return ::fstatfs(fd, &status); });
    }
    static int fchmod(int fd, mode_t mode) noexcept { return once(::fchmod(fd, mode)); }
    static int fchmodat(int directory, const char* path, mode_t mode) noexcept {
        return once(::fchmodat(directory, path, mode, 0));
    }
    static int fchownat(int directory, const char* path, uid_t owner, gid_t group, int flags) noexcept {
        return once(::fchownat(directory, path, owner, group, flags));
    }

    // ---- this process
    static pid_t getpid() noexcept { return ::getpid(); }
    static uid_t geteuid() noexcept { return ::geteuid(); }
    /// Wall time, as files are stamped with.
    static timespec wall_clock() noexcept {
        timespec time{};
        ::clock_gettime(CLOCK_REALTIME_COARSE, &time);
        return time;
    }
    /// XDG_RUNTIME_DIR, or null; null also where the process was given privileges that its environment doesn't share.
    static const char* runtime_directory_variable() noexcept { return ::secure_getenv("XDG_RUNTIME_DIR"); }
    /// Where root's filesystem sockets are, and where each user's runtime directory is: not for users to change.
    static const char* system_directory() noexcept { return "/run/qbipc"; }
    static const char* user_directories() noexcept { return "/run/user"; }

protected:
    template <class Value>
    static Value once(Value value) noexcept {
        return value >= 0 ? value : static_cast<Value>(-errno);
    }

    template <class Call>
    static std::invoke_result_t<Call&> restarted(Call call) noexcept {
        for (;;) {
            const auto value = call();
            if (value >= 0) return value;
            if (errno != EINTR) return static_cast<std::invoke_result_t<Call&>>(-errno);
        }
    }
};

}  // namespace qbipc
