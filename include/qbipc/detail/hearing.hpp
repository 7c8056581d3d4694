// SPDX-License-Identifier: BSL-1.0
// hearing.hpp: what a peer over shared memory says on a socket: bells, an ack, a goodbye, or that it is gone.
#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <sys/socket.h>

#include <qbipc/detail/handshake.hpp>

namespace qbipc::detail {

/// What one look at a socket brought.
struct Heard {
    bool bells = false;  ///< something was read
    bool ack = false;    ///< its first byte was the ack
    bool bye = false;
    bool gone = false;
    bool violation = false;
};

/// One recv, however much more there may be: a peer that floods the socket costs one call per turn, and stays readable.
template <class Kernel>
Heard hear(int socket) noexcept {
    Heard heard;
    std::array<std::byte, 512> bytes;
    const auto count = Kernel::recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (count == -EAGAIN) return heard;
    if (count <= 0) {
        heard.gone = true;
        return heard;
    }
    heard.bells = true;
    for (std::size_t i = 0; i < static_cast<std::size_t>(count) && !heard.bye; ++i) {
        switch (static_cast<Signal>(bytes[i])) {
            case Signal::bell:
                break;
            case Signal::bye:
                heard.bye = heard.gone = true;
                break;
            case Signal::ack:
                if (i == 0) {
                    heard.ack = true;
                    break;
                }
                [[fallthrough]];
            default:
                heard.violation = true;
        }
    }
    return heard;
}

}  // namespace qbipc::detail
