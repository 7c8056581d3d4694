// SPDX-License-Identifier: BSL-1.0
// detail/negotiation.hpp: the sizes of a connection, from what the client wishes and the service allows.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <qbipc/detail/wire_error.hpp>
#include <qbipc/options.hpp>

namespace qbipc::detail {

/// An error answer's payload: it must fit whatever sizes are agreed upon, or a call could stay without any answer.
inline constexpr std::size_t least_message = sizeof(WireError);

/// The largest message: the client's wish, raised to what the service enforces, cut to its cap.
constexpr std::size_t negotiate_message(std::size_t wished, const ServiceOptions& options) noexcept {
    const std::size_t least = std::max(options.min_message, least_message);
    return std::min(std::max(wished, least), std::max(options.max_message, least));
}

/// Whether a client takes what the service made of its wish.
constexpr bool accepts_message(const Options& options, std::uint64_t in_force) noexcept {
    return in_force <= std::max(options.max_message, options.message_ceiling);
}

}  // namespace qbipc::detail
