// SPDX-License-Identifier: BSL-1.0
// side_by_side.hpp: several services behind one address: a selector for each service id, each with its own private
// data.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <qbipc/detail/check_routes.hpp>
#include <qbipc/detail/check_selector_for.hpp>
#include <qbipc/detail/route_table.hpp>
#include <qbipc/detail/selector_traits.hpp>

namespace qbipc {
namespace detail {

/// The service ids that a selector is for: an array from `services()`, or one from `static constexpr ServiceId
/// service`. A selector that names none is asked about the ids that nobody names.
template <class S>
consteval auto service_ids() {
    if constexpr (requires { S::services(); })
        return S::services();
    else if constexpr (requires { ServiceId(S::service); })
        return std::array<std::uint16_t, 1>{ServiceId(S::service).value};
    else
        return std::array<std::uint16_t, 0>{};
}

/// The ids of an array that repeats its last.
template <std::size_t n>
consteval std::size_t distinct(const std::array<std::uint16_t, n>& ids) {
    std::size_t count = n;
    while (count > 1 && ids[count - 2] == ids[n - 1]) --count;
    return count;
}

template <class... Selectors>
struct ServicesFacts {
    static constexpr std::size_t counts[sizeof...(Selectors)] = {distinct(service_ids<selector_t<Selectors>>())...};
    static constexpr std::size_t total = [] {
        std::size_t sum = 0;
        for (auto count : counts) sum += count;
        return sum;
    }();
    template <class S>
    static constexpr auto ids_of = service_ids<selector_t<S>>();
    static constexpr std::array<std::uint16_t, total> ids =
        flatten<total, std::uint16_t>(counts, {ids_of<Selectors>.data()...});

    static constexpr RouteTable<total> table{[] {
                                                 std::array<std::uint64_t, total> keys{};
                                                 for (std::size_t i = 0; i < total; ++i) keys[i] = ids[i];
                                                 return keys;
                                             }(),
                                             [] {
                                                 std::array<std::uint32_t, total> parts{};
                                                 std::size_t at = 0;
                                                 for (std::size_t i = 0; i < sizeof...(Selectors); ++i)
                                                     for (std::size_t j = 0; j < counts[i]; ++j)
                                                         parts[at++] = static_cast<std::uint32_t>(i);
                                                 return parts;
                                             }()};
};

/// A session's view of the private data of one selector; a client, which has none, is the same for all.
template <std::size_t index, class Peer>
decltype(auto) peer_of_part(Peer& peer) {
    if constexpr (requires { peer.template part<index>(); })
        return peer.template part<index>();
    else
        return (peer);
}
template <std::size_t index, class Peer>
using peer_of_part_t = std::remove_reference_t<decltype(peer_of_part<index>(std::declval<Peer&>()))>;

template <class Indices, class... Selectors>
class SideBySide;

template <std::size_t... i, class... Selectors>
class SideBySide<std::index_sequence<i...>, Selectors...> {
    using Facts = ServicesFacts<Selectors...>;

public:
    using PrivateData = std::tuple<private_data_t<Selectors>...>;

    constexpr explicit SideBySide(Selectors... selectors) : selectors_(std::move(selectors)...) {}

    template <class Peer, class Incoming>
    bool operator()(Peer& peer, Incoming& incoming) {
        return dispatch(*this, peer, incoming);
    }
    template <class Peer, class Incoming>
    bool operator()(Peer& peer, Incoming& incoming) const {
        return dispatch(*this, peer, incoming);
    }

    /// Each makes its own, in order; the first refusal refuses the connection.
    Result<PrivateData> accept(const Credentials& who)
        requires(Accepts<Selectors> || ...)
    {
        std::tuple<std::optional<private_data_t<Selectors>>...> made;
        std::error_code refusal;
        (void)(accept_one(std::get<i>(selectors_), who, std::get<i>(made), refusal) && ...);
        if (refusal) return fail(refusal);
        return PrivateData(std::move(*std::get<i>(made))...);
    }

    template <class Session>
    void connected(Session& session) {
        (connect_one<i>(session), ...);
    }
    template <class Session>
    void disconnected(Session& session) {
        (disconnect_one<sizeof...(i) - 1 - i>(session), ...);
    }

    static constexpr auto services() noexcept { return Facts::ids; }

    using ChecksItself = void;
    template <class Transport, class Peer, class Incoming>
    static consteval bool check() {
        constexpr bool service_ids_are_different = Facts::table.same == RouteTable<Facts::total>::none;
        static_assert(service_ids_are_different,
                      "two selectors that stand side by side have messages of the same service id");
        if constexpr (service_ids_are_different)
            return (check_selector_for<Transport, Selectors, peer_of_part_t<i, Peer>, Incoming>() && ...);
        else
            return false;
    }

private:
    template <class S, class Data>
    static bool accept_one(S& selector, const Credentials& who, std::optional<Data>& made, std::error_code& refusal) {
        auto data = detail::accept(selector, who);
        if (!data) {
            refusal = data.error();
            return false;
        }
        made.emplace(std::move(*data));
        return true;
    }
    template <std::size_t index, class Session>
    void connect_one(Session& session) {
        auto&& part = peer_of_part<index>(session);
        detail::connected(std::get<index>(selectors_), part);
    }
    template <std::size_t index, class Session>
    void disconnect_one(Session& session) {
        auto&& part = peer_of_part<index>(session);
        detail::disconnected(std::get<index>(selectors_), part);
    }

    template <std::size_t index, class Self, class Peer, class Incoming>
    static bool ask(Self& self, Peer& peer, Incoming& incoming) {
        auto&& part = peer_of_part<index>(peer);
        return unwrapped(std::get<index>(self.selectors_))(part, incoming);
    }

    template <class Self, class Peer, class Incoming>
    static bool dispatch(Self& self, Peer& peer, Incoming& incoming) {
        static constexpr bool (*asks[])(Self&, Peer&, Incoming&) = {&ask<i, Self, Peer, Incoming>...};
        if (const RouteSlot* slot = Facts::table.find(incoming.service().value))
            return asks[slot->part](self, peer, incoming);
        return ((Facts::counts[i] == 0 && ask<i>(self, peer, incoming)) || ...);
    }

    std::tuple<Selectors...> selectors_;
};

}  // namespace detail

/// Picks a selector by service id. Each has private data of its own, and sees sessions with its own. routes() say by
/// their messages which service ids they are for; a selector of your own says `static constexpr ServiceId service`, or
/// is asked about the ids that nobody names. Selectors may be handed over by std::ref.
template <class... Selectors>
constexpr auto side_by_side(Selectors... selectors) {
    static_assert(sizeof...(Selectors) > 0, "side_by_side needs selectors");
    return detail::SideBySide<std::index_sequence_for<Selectors...>, Selectors...>(std::move(selectors)...);
}

}  // namespace qbipc
