// SPDX-License-Identifier: BSL-1.0
// on.hpp: a route: one function for one or more messages, with a policy of its own if it wants one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <qbipc/auth.hpp>
#include <qbipc/detail/check_message.hpp>
#include <qbipc/detail/route_table.hpp>
#include <qbipc/message.hpp>

namespace qbipc {
namespace detail {

/// What a part of routes() is.
enum class PartKind : std::uint8_t { route, accept, connect, disconnect, otherwise, mistake };

/// A route that anybody may use who got a connection.
struct NoPolicy {};

template <class H, class P, class... Ms>
struct Route {
    using Handler = H;
    using Policy = P;
    static constexpr PartKind kind = PartKind::route;
    static constexpr std::size_t count = sizeof...(Ms);
    static constexpr std::array<std::uint64_t, count> keys{route_key(service_of<Ms>(), Ms::id.value)...};
    static constexpr bool takes_events = (HasEventId<Ms> || ...);
    static constexpr bool takes_requests = (HasMessageId<Ms> || ...);

    /// Asks `more` before each message, beside the policies that stand already. The refusal goes to the caller.
    template <class More>
    constexpr auto only(More more) && {
        if constexpr (!check_policy_shape<More>()) {
            return Route<Handler, NobodyAtAll, Ms...>{std::move(handler), {}};
        } else if constexpr (std::is_same_v<Policy, NoPolicy>) {
            return Route<Handler, More, Ms...>{std::move(handler), std::move(more)};
        } else {
            return Route<Handler, Both<Policy, More>, Ms...>{std::move(handler), {std::move(policy), std::move(more)}};
        }
    }
    template <class More>
    constexpr auto only(More more) const& {
        return Route(*this).only(std::move(more));
    }

    [[no_unique_address]] Handler handler;
    [[no_unique_address]] Policy policy;
};

/// What stands in the place of a route whose mistake has been reported already.
struct Mistake {
    static constexpr PartKind kind = PartKind::mistake;
    static constexpr std::size_t count = 0;
    static constexpr std::array<std::uint64_t, 0> keys{};
    static constexpr bool takes_events = false, takes_requests = false;
    template <class P>
    constexpr Mistake only(const P&) const {
        return {};
    }
};

template <class... Ms>
consteval bool check_on() {
    constexpr bool names_a_message = sizeof...(Ms) > 0;
    static_assert(names_a_message, "on<M>(handler) names the messages it is for");
    return names_a_message && (check_message<Ms>() && ...);
}

}  // namespace detail

/// A route: `handler` takes the messages `Ms`. Its parameters: `[auto& session,] const M& [, tail]` or `const
/// View<M>&`, and for a call maybe a last `Answer<Reply>`, which is answered later. `tail` is a TailView, std::span, or
/// std::string_view for char. It returns: for a call the Reply, `Copy<Reply>` or a Result of one, or with an Answer
/// nothing; otherwise nothing. A handler that throws costs its caller `errc::handler_failed`, the service nothing.
template <class... Ms, class Handler>
constexpr auto on(Handler handler) {
    if constexpr (detail::check_on<Ms...>()) {
        return detail::Route<Handler, detail::NoPolicy, Ms...>{std::move(handler), {}};
    } else {
        return detail::Mistake{};
    }
}

}  // namespace qbipc
