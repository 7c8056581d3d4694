// SPDX-License-Identifier: BSL-1.0
// routes.hpp: the selector most services need: a constant-time table of functions over (service id, message id), and
// hooks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include <qbipc/detail/check_routes.hpp>
#include <qbipc/detail/route_table.hpp>
#include <qbipc/detail/run_route.hpp>
#include <qbipc/detail/selector_traits.hpp>
#include <qbipc/selector/hooks.hpp>
#include <qbipc/selector/on.hpp>

namespace qbipc {
namespace detail {

// Written for compile time: nothing is instantiated per route that isn't needed per route, parts stand in bases that
// their index names, and everything that only counts them is computed once, from arrays.

template <std::size_t index, class Part>
struct PartAt {
    [[no_unique_address]] Part part;
};

template <class Indices, class... Parts>
struct PartList;
template <std::size_t... i, class... Parts>
struct PartList<std::index_sequence<i...>, Parts...> : PartAt<i, Parts>... {
    constexpr explicit PartList(Parts&&... parts) : PartAt<i, Parts>{std::move(parts)}... {}

    /// Where each part stands, as a distance in bytes. A static_cast to a base is no constant expression's business.
    std::array<std::uint32_t, sizeof...(Parts)> distances() const noexcept {
        return {distance(&static_cast<const PartAt<i, Parts>*>(this)->part)...};
    }

private:
    std::uint32_t distance(const void* to) const noexcept {
        return static_cast<std::uint32_t>(static_cast<const std::byte*>(to) -
                                          static_cast<const std::byte*>(static_cast<const void*>(this)));
    }
};

template <std::size_t index, class Part>
constexpr Part& part_at(PartAt<index, Part>& at) noexcept {
    return at.part;
}
template <std::size_t index, class Part>
constexpr const Part& part_at(const PartAt<index, Part>& at) noexcept {
    return at.part;
}

/// The functions of one route, one per message.
template <class R, class Peer, class Incoming>
struct RunsOf {
    static constexpr std::array<void (*)(void*, Peer&, Incoming&), 0> all{};
};
template <class H, class P, class... Ms, class Peer, class Incoming>
struct RunsOf<Route<H, P, Ms...>, Peer, Incoming> {
    static constexpr std::array<void (*)(void*, Peer&, Incoming&), sizeof...(Ms)> all{
        &RunRoute<Route<H, P, Ms...>, Ms, Peer, Incoming>::run...};
};
template <class H, class P, class... Ms, class Peer, class Incoming>
struct RunsOf<const Route<H, P, Ms...>, Peer, Incoming> {
    static constexpr std::array<void (*)(void*, Peer&, Incoming&), sizeof...(Ms)> all{
        &RunRoute<const Route<H, P, Ms...>, Ms, Peer, Incoming>::run...};
};

template <class Data, class... Parts>
class Routes : PartList<std::index_sequence_for<Parts...>, Parts...> {
    using List = PartList<std::index_sequence_for<Parts...>, Parts...>;
    using Facts = RoutesFacts<Parts...>;

public:
    using PrivateData = Data;

    constexpr explicit Routes(Parts&&... parts) : List(std::move(parts)...), distances_(List::distances()) {}

    template <class Peer, class Incoming>
    bool operator()(Peer& peer, Incoming& incoming) {
        return dispatch(*this, peer, incoming);
    }
    template <class Peer, class Incoming>
    bool operator()(Peer& peer, Incoming& incoming) const {
        return dispatch(*this, peer, incoming);
    }

    /// The private data of a new connection. Absent where no on_accept() makes it.
    Result<Data> accept(const Credentials& who)
        requires(Facts::number_of(PartKind::accept) > 0)
    {
        auto& hook = part_at<Facts::find(PartKind::accept, 0)>(static_cast<List&>(*this)).function;
        if constexpr (check_accept<Data, decltype(hook)>()) {
            if constexpr (std::is_void_v<decltype(hook(who))>) {
                hook(who);
                return Data{};
            } else if constexpr (std::is_same_v<std::remove_cvref_t<decltype(hook(who))>, Result<void>>) {
                if (auto admitted = hook(who); !admitted) return fail(admitted.error());
                return Data{};
            } else {
                return hook(who);
            }
        } else {
            return fail(make_error_code(errc::handler_failed));
        }
    }

    /// Runs on_connect(), in order, and on_disconnect() in reverse.
    template <class Session>
    void connected(Session& session) {
        constexpr auto count = Facts::number_of(PartKind::connect);
        if constexpr (count > 0) {
            [&]<std::size_t... i>(std::index_sequence<i...>) {
                (run_hook(part_at<Facts::find(PartKind::connect, i)>(static_cast<List&>(*this)), session), ...);
            }(std::make_index_sequence<count>{});
        }
    }
    template <class Session>
    void disconnected(Session& session) {
        constexpr auto count = Facts::number_of(PartKind::disconnect);
        if constexpr (count > 0) {
            [&]<std::size_t... i>(std::index_sequence<i...>) {
                (run_hook(part_at<Facts::find(PartKind::disconnect, count - 1 - i)>(static_cast<List&>(*this)),
                          session),
                 ...);
            }(std::make_index_sequence<count>{});
        }
    }

    /// Which service ids its messages have, for side_by_side().
    static constexpr auto services() noexcept { return Facts::services(); }

    /// What can be wrong with it on a certain transport; said before a service or a wait begins.
    using ChecksItself = void;
    template <class Transport, class Peer, class Incoming>
    static consteval bool check() {
        if constexpr (!check_routes<Parts...>()) {
            return false;
        } else if constexpr (!check_hooks<Data, Transport, Peer, Incoming, Parts...>()) {
            return false;
        } else {
            return runs<Routes, Peer, Incoming>.size() == Facts::messages;  // compiles each, which checks it
        }
    }

private:
    template <class Hook, class Session>
    static void run_hook(Hook& hook, Session& session) noexcept {
        try {
            hook.function(session);
        } catch (...) {
            return;  // the others still run
        }
    }

    template <class Self, class Peer, class Incoming>
    static constexpr auto runs = flatten<Facts::messages, void (*)(void*, Peer&, Incoming&)>(
        Facts::counts,
        {RunsOf<std::conditional_t<std::is_const_v<Self>, const Parts, Parts>, Peer, Incoming>::all.data()...,
         nullptr});

    template <class Self, class Peer, class Incoming>
    static bool dispatch(Self& self, Peer& peer, Incoming& incoming) {
        if constexpr (Facts::messages > 0) {
            const RouteSlot* slot = Facts::table.find(route_key(incoming.service().value, id_of(incoming)));
            if (slot != nullptr) [[likely]] {
                void* list = const_cast<void*>(static_cast<const void*>(static_cast<const List*>(&self)));
                runs<Self, Peer, Incoming>[slot->route](static_cast<std::byte*>(list) + self.distances_[slot->part],
                                                        peer, incoming);
                return true;
            }
        }
        if constexpr (Facts::number_of(PartKind::otherwise) > 0) {
            using Base = std::conditional_t<std::is_const_v<Self>, const List, List>;
            auto& hook = part_at<Facts::find(PartKind::otherwise, 0)>(static_cast<Base&>(self)).function;
            if constexpr (check_otherwise<decltype(hook), Peer, Incoming>()) {
                if constexpr (std::is_void_v<decltype(hook(peer, incoming))>)
                    return hook(peer, incoming), true;
                else
                    return hook(peer, incoming);
            }
        }
        return false;
    }

    template <class Incoming>
    static std::uint32_t id_of(const Incoming& incoming) noexcept {
        if constexpr (requires { incoming.message(); })
            return incoming.message().value;
        else
            return incoming.event().value;
    }

    std::array<std::uint32_t, sizeof...(Parts)> distances_;
};

}  // namespace detail

/// A selector of routes and hooks: on(), on_accept(), on_connect(), on_disconnect(), otherwise(), in any order.
/// Requests or events, not both.
/// @param Data  the private data of each connection
template <class Data = NoData, class... Parts>
constexpr auto routes(Parts... parts) {
    if constexpr (detail::check_routes<Parts...>()) {
        return detail::Routes<Data, Parts...>(std::move(parts)...);
    } else {
        return detail::Routes<Data>();
    }
}

}  // namespace qbipc
