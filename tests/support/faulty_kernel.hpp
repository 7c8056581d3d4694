// SPDX-License-Identifier: BSL-1.0
// faulty_kernel.hpp: the real kernel, but the k-th call of a kind in a thread fails with an errno of the test's choice,
// or moves fewer bytes than it was asked to.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <sys/uio.h>

#include "support/scratch_kernel.hpp"

namespace qbipc::testing {

enum class Call {
    socket,
    socketpair,
    bind,
    listen,
    accept4,
    connect,
    shutdown,
    send,
    recv,
    sendmsg,
    recvmsg,
    getsockopt,
    setsockopt,
    ppoll,
    epoll_create1,
    epoll_ctl,
    epoll_wait,
    eventfd,
    timerfd_create,
    inotify_init1,
    inotify_add_watch,
    fcntl,
    memfd_create,
    ftruncate,
    fallocate,
    madvise,
    mincore,
    mlock,
    getrlimit,
    openat,
    mkdirat,
    unlinkat,
    flock,
    fstat,
    fstatat,
    fstatfs,
    fchmod,
    fchmodat,
    fchownat,
};

/// What becomes of a thread's calls.
struct KernelPlan {
    static constexpr int cut_short = -1;  ///< in place of an errno: one byte is moved

    Call call{};
    std::uint64_t fails_at = 0;  ///< 0: none
    std::uint64_t times = 1;     ///< so many in a row
    int error = 0;
    std::uint64_t counted = 0;
    std::uint64_t failed = 0;
    unsigned held_up = 1;  ///< not 0: nothing is counted
};

struct FaultyKernel : ScratchKernel {
    static KernelPlan& plan() noexcept {
        static thread_local KernelPlan plan;
        return plan;
    }

    static int socket(int domain, int type, int protocol) noexcept {
        return or_fault(Call::socket, [&] { return LinuxKernel::socket(domain, type, protocol); });
    }
    static int socketpair(int domain, int type, int protocol, int (&pair)[2]) noexcept {
        return or_fault(Call::socketpair, [&] { return LinuxKernel::socketpair(domain, type, protocol, pair); });
    }
    static int bind(int fd, const sockaddr* address, socklen_t size) noexcept {
        return or_fault(Call::bind, [&] { return LinuxKernel::bind(fd, address, size); });
    }
    static int listen(int fd, int backlog) noexcept {
        return or_fault(Call::listen, [&] { return LinuxKernel::listen(fd, backlog); });
    }
    static int accept4(int fd, sockaddr* address, socklen_t* size, int flags) noexcept {
        return or_fault(Call::accept4, [&] { return LinuxKernel::accept4(fd, address, size, flags); });
    }
    static int connect(int fd, const sockaddr* address, socklen_t size) noexcept {
        return or_fault(Call::connect, [&] { return LinuxKernel::connect(fd, address, size); });
    }
    static int shutdown(int fd, int how) noexcept {
        return or_fault(Call::shutdown, [&] { return LinuxKernel::shutdown(fd, how); });
    }
    static ssize_t send(int fd, const void* data, std::size_t size, int flags) noexcept {
        return or_short(Call::send, size, [&](std::size_t some) { return LinuxKernel::send(fd, data, some, flags); });
    }
    static ssize_t recv(int fd, void* data, std::size_t size, int flags) noexcept {
        return or_short(Call::recv, size, [&](std::size_t some) { return LinuxKernel::recv(fd, data, some, flags); });
    }
    static ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept {
        return or_short(Call::sendmsg, message->msg_iov->iov_len, [&](std::size_t some) {
            iovec part{message->msg_iov->iov_base, some};
            msghdr shorter = *message;
            shorter.msg_iov = &part;
            return LinuxKernel::sendmsg(fd, &shorter, flags);
        });
    }
    static ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept {
        return or_short(Call::recvmsg, message->msg_iov->iov_len, [&](std::size_t some) {
            message->msg_iov->iov_len = some;
            return LinuxKernel::recvmsg(fd, message, flags);
        });
    }
    static int getsockopt(int fd, int level, int option, void* value, socklen_t* size) noexcept {
        return or_fault(Call::getsockopt, [&] { return LinuxKernel::getsockopt(fd, level, option, value, size); });
    }
    static int setsockopt(int fd, int level, int option, const void* value, socklen_t size) noexcept {
        return or_fault(Call::setsockopt, [&] { return LinuxKernel::setsockopt(fd, level, option, value, size); });
    }
    static int ppoll(pollfd* descriptors, std::size_t count, const timespec* limit) noexcept {
        return or_fault(Call::ppoll, [&] { return LinuxKernel::ppoll(descriptors, count, limit); });
    }
    static int epoll_create1(int flags) noexcept {
        return or_fault(Call::epoll_create1, [&] { return LinuxKernel::epoll_create1(flags); });
    }
    static int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
        // Neither a change nor a removal needs anything that may be lacking.
        if (operation != EPOLL_CTL_ADD) return LinuxKernel::epoll_ctl(epoll, operation, fd, event);
        return or_fault(Call::epoll_ctl, [&] { return LinuxKernel::epoll_ctl(epoll, operation, fd, event); });
    }
    static int epoll_wait(int epoll, epoll_event* events, int count, int milliseconds) noexcept {
        return or_fault(Call::epoll_wait, [&] { return LinuxKernel::epoll_wait(epoll, events, count, milliseconds); });
    }
    static int eventfd(unsigned value, int flags) noexcept {
        return or_fault(Call::eventfd, [&] { return LinuxKernel::eventfd(value, flags); });
    }
    static int timerfd_create(int clock, int flags) noexcept {
        return or_fault(Call::timerfd_create, [&] { return LinuxKernel::timerfd_create(clock, flags); });
    }
    static int inotify_init1(int flags) noexcept {
        return or_fault(Call::inotify_init1, [&] { return LinuxKernel::inotify_init1(flags); });
    }
    static int inotify_add_watch(int fd, const char* path, std::uint32_t mask) noexcept {
        return or_fault(Call::inotify_add_watch, [&] { return LinuxKernel::inotify_add_watch(fd, path, mask); });
    }
    static int fcntl(int fd, int command, int argument = 0) noexcept {
        return or_fault(Call::fcntl, [&] { return LinuxKernel::fcntl(fd, command, argument); });
    }
    static int memfd_create(const char* name, unsigned flags) noexcept {
        return or_fault(Call::memfd_create, [&] { return LinuxKernel::memfd_create(name, flags); });
    }
    static int ftruncate(int fd, off_t size) noexcept {
        return or_fault(Call::ftruncate, [&] { return LinuxKernel::ftruncate(fd, size); });
    }
    static int fallocate(int fd, int mode, off_t offset, off_t size) noexcept {
        return or_fault(Call::fallocate, [&] { return LinuxKernel::fallocate(fd, mode, offset, size); });
    }
    static int madvise(void* start, std::size_t size, int advice) noexcept {
        return or_fault(Call::madvise, [&] { return LinuxKernel::madvise(start, size, advice); });
    }
    static int mincore(void* start, std::size_t size, unsigned char* pages) noexcept {
        return or_fault(Call::mincore, [&] { return LinuxKernel::mincore(start, size, pages); });
    }
    static int mlock(const void* start, std::size_t size) noexcept {
        return or_fault(Call::mlock, [&] { return LinuxKernel::mlock(start, size); });
    }
    static int getrlimit(decltype(RLIMIT_FSIZE) resource, rlimit& limit) noexcept {
        return or_fault(Call::getrlimit, [&] { return LinuxKernel::getrlimit(resource, limit); });
    }
    static int openat(int directory, const char* path, int flags, mode_t mode = 0) noexcept {
        return or_fault(Call::openat, [&] { return LinuxKernel::openat(directory, path, flags, mode); });
    }
    static int mkdirat(int directory, const char* path, mode_t mode) noexcept {
        return or_fault(Call::mkdirat, [&] { return LinuxKernel::mkdirat(directory, path, mode); });
    }
    static int unlinkat(int directory, const char* path, int flags) noexcept {
        return or_fault(Call::unlinkat, [&] { return LinuxKernel::unlinkat(directory, path, flags); });
    }
    static int flock(int fd, int operation) noexcept {
        return or_fault(Call::flock, [&] { return LinuxKernel::flock(fd, operation); });
    }
    static int fstat(int fd, struct stat& status) noexcept {
        return or_fault(Call::fstat, [&] { return LinuxKernel::fstat(fd, status); });
    }
    static int fstatat(int directory, const char* path, struct stat& status, int flags) noexcept {
        return or_fault(Call::fstatat, [&] { return LinuxKernel::fstatat(directory, path, status, flags); });
    }
    static int fstatfs(int fd, struct statfs& status) noexcept {
        return or_fault(Call::fstatfs, [&] { return LinuxKernel::fstatfs(fd, status); });
    }
    static int fchmod(int fd, mode_t mode) noexcept {
        return or_fault(Call::fchmod, [&] { return LinuxKernel::fchmod(fd, mode); });
    }
    static int fchmodat(int directory, const char* path, mode_t mode) noexcept {
        return or_fault(Call::fchmodat, [&] { return LinuxKernel::fchmodat(directory, path, mode); });
    }
    static int fchownat(int directory, const char* path, uid_t owner, gid_t group, int flags) noexcept {
        return or_fault(Call::fchownat, [&] { return LinuxKernel::fchownat(directory, path, owner, group, flags); });
    }

private:
    /// The errno that this call is to fail with, or 0.
    static int fault(Call call) noexcept {
        KernelPlan& plan = FaultyKernel::plan();
        if (plan.held_up != 0 || plan.call != call) return 0;
        ++plan.counted;
        if (plan.fails_at == 0 || plan.counted < plan.fails_at || plan.counted >= plan.fails_at + plan.times) return 0;
        ++plan.failed;
        return plan.error;
    }
    template <class F>
    static int or_fault(Call call, F f) noexcept {
        const int error = fault(call);
        return error > 0 ? -error : f();
    }
    template <class F>
    static ssize_t or_short(Call call, std::size_t size, F f) noexcept {
        const int error = fault(call);
        if (error > 0) return -error;
        return f(error == KernelPlan::cut_short ? std::min<std::size_t>(size, 1) : size);
    }
};

}  // namespace qbipc::testing
