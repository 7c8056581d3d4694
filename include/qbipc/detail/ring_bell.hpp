// SPDX-License-Identifier: BSL-1.0
// detail/ring_bell.hpp: the byte that wakes a peer, and what to do where the kernel has no memory for it.
#pragma once

#include <cerrno>
#include <cstddef>
#include <sys/socket.h>

#include <qbipc/detail/greeting.hpp>
#include <qbipc/detail/handshake.hpp>

namespace qbipc::detail {

/// One byte, and never a wait for room: where the socket is full the peer has enough to read to wake up. False: the
/// peer is gone, or can't be woken; its connection is to be ended, which costs no memory, or it would sleep on.
/// Blocking: up to 8 ms where the kernel has no memory for one byte (ENOBUFS), which passes or doesn't.
template <class Kernel>
bool ring_bell(int socket) noexcept {
    constexpr auto byte = static_cast<std::byte>(Signal::bell);
    for (int tries = 0;; ++tries) {
        const auto sent = Kernel::send(socket, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent != -ENOBUFS && sent != -ENOMEM) return !means_gone(sent);
        if (tries == 8) return false;
        Kernel::sleep({0, 1'000'000});
    }
}

}  // namespace qbipc::detail
