// SPDX-License-Identifier: BSL-1.0
// detail/check_routes.hpp: what is known of a list of parts at compile time, and what can be wrong with it.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <tuple>
#include <type_traits>
#include <utility>

#include <qbipc/detail/checks.hpp>
#include <qbipc/detail/route_table.hpp>
#include <qbipc/detail/selector_traits.hpp>
#include <qbipc/error.hpp>
#include <qbipc/selector/hooks.hpp>
#include <qbipc/selector/on.hpp>

namespace qbipc::detail {

/// One array of what stands in `n` arrays.
template <std::size_t total, class T, std::size_t n>
consteval std::array<T, total> flatten(const std::size_t (&counts)[n], const T* const (&arrays)[n]) {
    std::array<T, total> result{};
    std::size_t at = 0;
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < counts[i]; ++j) result[at++] = arrays[i][j];
    return result;
}

/// Arrays need an element more than there are parts: there may be none.
template <class... Parts>
struct RoutesFacts {
    static constexpr std::size_t counts[sizeof...(Parts) + 1] = {Parts::count..., 0};
    static constexpr PartKind kinds[sizeof...(Parts) + 1] = {Parts::kind..., PartKind::mistake};

    static constexpr std::size_t messages = [] {
        std::size_t sum = 0;
        for (auto count : counts) sum += count;
        return sum;
    }();

    static constexpr std::array<std::uint64_t, messages> keys =
        flatten<messages, std::uint64_t>(counts, {Parts::keys.data()..., nullptr});

    static constexpr RouteTable<messages> table{keys, [] {
                                                    std::array<std::uint32_t, messages> parts{};
                                                    std::size_t at = 0;
                                                    for (std::size_t i = 0; i < sizeof...(Parts); ++i)
                                                        for (std::size_t j = 0; j < counts[i]; ++j)
                                                            parts[at++] = static_cast<std::uint32_t>(i);
                                                    return parts;
                                                }()};

    static constexpr std::size_t number_of(PartKind kind) noexcept {
        std::size_t sum = 0;
        for (std::size_t i = 0; i < sizeof...(Parts); ++i) sum += kinds[i] == kind;
        return sum;
    }
    /// The index of the `nth` part of a kind.
    static constexpr std::size_t find(PartKind kind, std::size_t nth) noexcept {
        for (std::size_t i = 0; i < sizeof...(Parts); ++i)
            if (kinds[i] == kind && nth-- == 0) return i;
        return sizeof...(Parts);
    }

    /// The service ids of all messages, each once, the rest of the array repeating the last.
    static constexpr auto services() noexcept {
        std::array<std::uint16_t, messages> ids{};
        std::size_t count = 0;
        for (const auto key : keys) {
            const auto id = static_cast<std::uint16_t>(key >> 32);
            bool known = false;
            for (std::size_t i = 0; i < count; ++i) known = known || ids[i] == id;
            if (!known) ids[count++] = id;
        }
        for (std::size_t i = count; i < messages; ++i) ids[i] = ids[count - 1];
        return ids;
    }
};

/// The message behind a place in the table: only looked for to be named in an error.
template <std::size_t place, class... Parts>
struct MessageAt;
template <std::size_t place, class H, class P, class... Ms, class... Rest>
struct MessageAt<place, Route<H, P, Ms...>, Rest...> {
    static auto find() {
        if constexpr (place < sizeof...(Ms))
            return std::type_identity<std::tuple_element_t<place, std::tuple<Ms...>>>{};
        else
            return MessageAt<place - sizeof...(Ms), Rest...>::find();
    }
};
template <std::size_t place, class Hook, class... Rest>
struct MessageAt<place, Hook, Rest...> : MessageAt<place, Rest...> {};

/// Its name in the compiler's output says which two.
template <class A, class B>
consteval bool different_ids() {
    constexpr bool ids_are_different = sizeof(A*) == 0;
    static_assert(ids_are_different, "two routes have the same (service id, message id)");
    return ids_are_different;
}

template <class P>
concept RoutesPart = requires {
    { P::kind } -> std::convertible_to<PartKind>;
};

consteval bool any_of(std::initializer_list<bool> all) {
    for (bool one : all)
        if (one) return true;
    return false;
}

template <class... Parts>
consteval bool check_parts() {
    using Facts = RoutesFacts<Parts...>;
    constexpr bool takes_requests_or_events_not_both =
        !(any_of({Parts::takes_requests...}) && any_of({Parts::takes_events...}));
    static_assert(
        takes_requests_or_events_not_both,
        "these routes mix requests and events: a service takes requests, a client receives events; make two routes()");
    if constexpr (!takes_requests_or_events_not_both) {
        return false;
    } else if constexpr (Facts::table.same != RouteTable<Facts::messages>::none) {
        return different_ids<typename decltype(MessageAt<Facts::table.same, Parts...>::find())::type,
                             typename decltype(MessageAt<Facts::table.as, Parts...>::find())::type>();
    } else {
        constexpr bool has_one_accept_at_most = Facts::number_of(PartKind::accept) <= 1;
        static_assert(has_one_accept_at_most, "these routes have two on_accept(): one makes the private data");
        constexpr bool has_one_otherwise_at_most = Facts::number_of(PartKind::otherwise) <= 1;
        static_assert(has_one_otherwise_at_most, "these routes have two otherwise(): one gets what no route took");
        return has_one_accept_at_most && has_one_otherwise_at_most;
    }
}

/// The parts by themselves: before a transport is known.
template <class... Parts>
consteval bool check_routes() {
    constexpr bool parts_are_parts = !any_of({!RoutesPart<Parts>...});
    static_assert(parts_are_parts,
                  "routes() takes on<M>(handler), on_accept(), on_connect(), on_disconnect() and otherwise()");
    if constexpr (!parts_are_parts)
        return false;
    else if constexpr (any_of({(Parts::kind == PartKind::mistake)...}))
        return false;
    else
        return check_parts<Parts...>();
}

template <class Data, class F>
consteval bool check_accept() {
    constexpr bool takes_credentials = std::invocable<F, const Credentials&>;
    static_assert(takes_credentials, "on_accept takes a function of (const qbipc::Credentials&)");
    if constexpr (takes_credentials) {
        using R = std::remove_cvref_t<std::invoke_result_t<F, const Credentials&>>;
        constexpr bool gives_the_private_data =
            std::convertible_to<R, Result<Data>> ||
            (std::same_as<Data, NoData> && (std::is_void_v<R> || std::same_as<R, Result<void>>));
        static_assert(
            gives_the_private_data,
            "on_accept's function gives the private data that routes<Data> names, or a Result of it (without private "
            "data: nothing, or a Result<void>)");
        return gives_the_private_data;
    } else {
        return false;
    }
}

template <class F, class Peer, class Incoming>
consteval bool check_otherwise() {
    constexpr bool takes_peer_and_incoming = std::invocable<F, Peer&, Incoming&>;
    static_assert(
        takes_peer_and_incoming,
        "otherwise takes a function of (auto& session, auto& request), for a client (auto& client, auto& event)");
    if constexpr (takes_peer_and_incoming) {
        using R = std::invoke_result_t<F, Peer&, Incoming&>;
        constexpr bool gives_bool_or_nothing = std::same_as<R, bool> || std::is_void_v<R>;
        static_assert(gives_bool_or_nothing,
                      "otherwise's function gives bool, whether it took the message, or nothing: it did");
        return gives_bool_or_nothing;
    } else {
        return false;
    }
}

template <class F, class Peer>
consteval bool check_connect_hook() {
    constexpr bool takes_a_session = std::invocable<F&, Peer&>;
    static_assert(takes_a_session, "on_connect and on_disconnect take a function of (auto& session)");
    return takes_a_session;
}

/// One part, on a certain transport; a route's handler is checked where it is compiled.
template <class Data, class Transport, class Peer, class Incoming, class Part>
struct CheckPart;
template <class Data, class Transport, class Peer, class Incoming, class H, class P, class... Ms>
struct CheckPart<Data, Transport, Peer, Incoming, Route<H, P, Ms...>> {
    static consteval bool check() {
        if constexpr (std::same_as<P, NoPolicy> || std::is_void_v<Transport>)
            return true;
        else
            return check_policy<P, Transport>();
    }
};
template <class Data, class Transport, class Peer, class Incoming, PartKind kind, class F>
struct CheckPart<Data, Transport, Peer, Incoming, Hook<kind, F>> {
    static consteval bool check() {
        if constexpr (kind == PartKind::accept)
            return check_accept<Data, F&>();
        else if constexpr (kind == PartKind::otherwise)
            return check_otherwise<F&, Peer, Incoming>();
        else
            return check_connect_hook<F, Peer>();
    }
};

template <class Data, class Transport, class Peer, class Incoming, class... Parts>
consteval bool check_hooks() {
    const bool right[] = {CheckPart<Data, Transport, Peer, Incoming, Parts>::check()..., true};
    for (bool one : right)
        if (!one) return false;
    return true;
}

}  // namespace qbipc::detail
