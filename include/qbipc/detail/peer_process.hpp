// SPDX-License-Identifier: BSL-1.0
// peer_process.hpp: notices that the process which connected has died, where its socket doesn't tell.
#pragma once

#include <cstdint>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <qbipc/detail/descriptor.hpp>
#include <qbipc/kernel.hpp>

namespace qbipc::detail {

// Not in every libc's headers that this is built with.
#if defined(SO_PEERPIDFD)
inline constexpr int so_peerpidfd = SO_PEERPIDFD;
#elif defined(__sparc__)
inline constexpr int so_peerpidfd = 0x0056;
#elif defined(__hppa__)
inline constexpr int so_peerpidfd = 0x404B;
#else
inline constexpr int so_peerpidfd = 77;
#endif

/// The process that called connect(), by a descriptor of the kernel's: no number that might be used again.
///
/// A process that forked and was killed leaves its sockets open with its child, and no hang-up comes. Asked of an
/// accepted socket only: of a connecting one it would be whoever called listen(), who may have handed the socket on and
/// ended. Without it, on kernels before 6.5 or when descriptors are short, the hang-up alone must do.
template <class Kernel>
class PeerProcess {
public:
    /// Has `epoll` announce the death under the socket's own tag, for as long as it isn't forgotten. A death is to be
    /// looked for with has_died() whenever the tag was announced and the socket had nothing.
    void watch(int socket, int epoll, std::uint64_t tag) noexcept {
        int fd = -1;
        socklen_t size = sizeof fd;
        if (Kernel::getsockopt(socket, SOL_SOCKET, so_peerpidfd, &fd, &size) < 0 || size != sizeof fd) return;
        process_.reset(fd);
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u64 = tag;
        if (Kernel::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) process_.reset();
    }

    /// Taken out by name: where a forked child of this process holds a copy, closing alone would leave it there.
    void forget(int epoll) noexcept {
        if (!process_) return;
        Kernel::epoll_ctl(epoll, EPOLL_CTL_DEL, process_.get(), nullptr);
        process_.reset();
    }

    /// Readable once the process is dead; -1 where it isn't watched.
    int fd() const noexcept { return process_.get(); }

    /// Asks the kernel, where it is watched.
    bool has_died() const noexcept {
        if (!process_) return false;
        pollfd one{process_.get(), POLLIN, 0};
        const timespec at_once{};
        return Kernel::ppoll(&one, 1, &at_once) > 0;
    }

private:
    Descriptor process_;
};

}  // namespace qbipc::detail
