// SPDX-License-Identifier: BSL-1.0
// listening_socket.hpp: a listening socket at an abstract name, or one that a service manager made.
#pragma once

#include <cerrno>
#include <fcntl.h>
#include <initializer_list>
#include <sys/socket.h>

#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/names.hpp>
#include <qbipc/error.hpp>
#include <qbipc/kernel.hpp>

namespace qbipc::detail {

// Not in every libc's headers that this is built with.
#if defined(SO_PASSRIGHTS)
inline constexpr int so_passrights = SO_PASSRIGHTS;
#elif defined(__sparc__)
inline constexpr int so_passrights = 0x005c;
#elif defined(__hppa__)
inline constexpr int so_passrights = 0x4051;
#else
inline constexpr int so_passrights = 83;
#endif

/// Has the kernel refuse (EPERM) whatever descriptors somebody sends to this socket or, where it listens, to what is
/// accepted of those who connect from now on. A service wants none: it closes those that it reads, but what waits in a
/// queue would stay open. Linux 6.16; there is no other way before.
template <class Kernel>
void refuse_descriptors(int socket) noexcept {
    constexpr int none = 0;
    (void)Kernel::setsockopt(socket, SOL_SOCKET, so_passrights, &none, sizeof none);
}

/// So many wait in the kernel for accept(), in the order of their coming; whoever comes then waits in connect() for a
/// place, and has to be there when one is free. This is what others have to wait for beside one who connects without
/// end: the slowest of 1,000 connects took 60 to 80 ms with SOMAXCONN, 10 with this. Beside four threads that try again
/// and again without waiting, all of 100 got in, within 55 ms; with SOMAXCONN they didn't in 8 s.
inline constexpr int backlog = 256;

/// Listens at the abstract name. Errors: address_in_use, or what the kernel said.
template <class Kernel = LinuxKernel>
Result<Descriptor> listen_abstract(const SocketAddress& address) {
    auto socket = Descriptor::from(Kernel::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return socket;
    int error = Kernel::bind(socket->get(), address.get(), address.size());
    if (error == -EADDRINUSE) return fail(errc::address_in_use);
    refuse_descriptors<Kernel>(socket->get());
    if (error == 0) error = Kernel::listen(socket->get(), backlog);
    if (error < 0) return fail_system(-error);
    return socket;
}

/// Takes over a socket that listens already, once it has shown that it is what it should be. It stays the caller's
/// where this fails. Errors: std::errc::not_a_socket, address_family_not_supported, wrong_protocol_type (not a stream),
/// invalid_argument (doesn't listen), or what the kernel said.
template <class Kernel = LinuxKernel>
Result<Descriptor> adopt_listening(int fd) {
    struct Demand {
        int option;
        int value;
        int otherwise;
    };
    for (const auto& demand : {Demand{SO_DOMAIN, AF_UNIX, EAFNOSUPPORT}, Demand{SO_TYPE, SOCK_STREAM, EPROTOTYPE},
                               Demand{SO_ACCEPTCONN, 1, EINVAL}}) {
        int value = 0;
        socklen_t size = sizeof value;
        const int error = Kernel::getsockopt(fd, SOL_SOCKET, demand.option, &value, &size);
        if (error < 0) return fail_system(-error);
        if (value != demand.value) return fail_system(demand.otherwise);
    }
    int flags = Kernel::fcntl(fd, F_GETFL);
    if (flags >= 0) flags = Kernel::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (flags >= 0) flags = Kernel::fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (flags < 0) return fail_system(-flags);
    refuse_descriptors<Kernel>(fd);
    return Descriptor(fd);
}

}  // namespace qbipc::detail
