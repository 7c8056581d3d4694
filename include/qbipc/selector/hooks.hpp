// SPDX-License-Identifier: BSL-1.0
// hooks.hpp: the parts of routes() that aren't routes: what runs on accept, connect and disconnect, and for all other
// messages.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <qbipc/selector/on.hpp>

namespace qbipc {
namespace detail {

template <PartKind which, class F>
struct Hook {
    static constexpr PartKind kind = which;
    static constexpr std::size_t count = 0;
    static constexpr std::array<std::uint64_t, 0> keys{};
    static constexpr bool takes_events = false, takes_requests = false;

    [[no_unique_address]] F function;
};

}  // namespace detail

/// `f(const Credentials&)` makes the private data of a new connection: Data, or Result<Data> to refuse with a reason.
/// Runs after the policy, before memory is made. Absent: Data{}. Where there is no data, it gives nothing or a
/// Result<void>.
template <class F>
constexpr auto on_accept(F f) {
    return detail::Hook<detail::PartKind::accept, F>{std::move(f)};
}

/// `f(session)` runs once the client is connected; it may send events.
template <class F>
constexpr auto on_connect(F f) {
    return detail::Hook<detail::PartKind::connect, F>{std::move(f)};
}

/// `f(session)` runs once for each session that on_connect was for, after its end; sending gives `disconnected`.
template <class F>
constexpr auto on_disconnect(F f) {
    return detail::Hook<detail::PartKind::disconnect, F>{std::move(f)};
}

/// `f(peer, incoming)` gets what no route took. It gives bool, whether it took it, or nothing: it did.
template <class F>
constexpr auto otherwise(F f) {
    return detail::Hook<detail::PartKind::otherwise, F>{std::move(f)};
}

}  // namespace qbipc
