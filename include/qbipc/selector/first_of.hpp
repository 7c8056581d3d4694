// SPDX-License-Identifier: BSL-1.0
// first_of.hpp: one selector, then another for what the first didn't take; they share the private data.
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include <qbipc/detail/check_selector_for.hpp>
#include <qbipc/detail/selector_traits.hpp>

namespace qbipc {
namespace detail {

template <class A, class B>
consteval bool check_first_of() {
    using DataA = private_data_t<A>;
    using DataB = private_data_t<B>;
    constexpr bool share_their_private_data =
        std::same_as<DataA, DataB> || std::same_as<DataA, NoData> || std::same_as<DataB, NoData>;
    static_assert(share_their_private_data,
                  "first_of's selectors share one private data: give both the same, as in routes<Data>(...), or use "
                  "side_by_side");
    constexpr bool one_makes_the_private_data =
        !(Accepts<A> && Accepts<B>) || std::same_as<DataA, NoData> || std::same_as<DataB, NoData>;
    static_assert(one_makes_the_private_data,
                  "both of first_of's selectors make the private data: one on_accept() does");
    return share_their_private_data && one_makes_the_private_data;
}

/// `A`, then `B`. Hooks run a's first, at the end b's first.
template <class A, class B>
class FirstOf {
public:
    using PrivateData =
        std::conditional_t<std::same_as<private_data_t<A>, NoData>, private_data_t<B>, private_data_t<A>>;

    constexpr FirstOf(A a, B b) : first_(std::move(a)), second_(std::move(b)) {}

    template <class Peer, class Incoming>
    bool operator()(Peer& peer, Incoming& incoming) {
        return unwrapped(first_)(peer, incoming) || unwrapped(second_)(peer, incoming);
    }
    template <class Peer, class Incoming>
    bool operator()(Peer& peer, Incoming& incoming) const {
        return unwrapped(first_)(peer, incoming) || unwrapped(second_)(peer, incoming);
    }

    /// Each of the two may refuse; the one that has the private data makes it.
    Result<PrivateData> accept(const Credentials& who)
        requires(Accepts<A> || Accepts<B>)
    {
        auto first = detail::accept(first_, who);
        if (!first) return fail(first.error());
        if constexpr (std::same_as<private_data_t<A>, PrivateData> &&
                      (Accepts<A> || !std::same_as<private_data_t<B>, PrivateData>)) {
            if constexpr (Accepts<B>) {
                if (auto second = detail::accept(second_, who); !second) return fail(second.error());
            }
            return first;
        } else {
            return detail::accept(second_, who);
        }
    }

    template <class Session>
    void connected(Session& session) {
        detail::connected(first_, session);
        detail::connected(second_, session);
    }
    template <class Session>
    void disconnected(Session& session) {
        detail::disconnected(second_, session);
        detail::disconnected(first_, session);
    }

    using ChecksItself = void;
    template <class Transport, class Peer, class Incoming>
    static consteval bool check() {
        if constexpr (!check_first_of<A, B>())
            return false;
        else if constexpr (!check_selector_for<Transport, A, Peer, Incoming>())
            return false;
        else
            return check_selector_for<Transport, B, Peer, Incoming>();
    }

private:
    A first_;
    B second_;
};

}  // namespace detail

/// Asks `a`, then `b` for what `a` didn't take, and so on. Selectors may be handed over by std::ref.
template <class A, class B, class... More>
constexpr auto first_of(A a, B b, More... more) {
    if constexpr (sizeof...(More) == 0)
        return detail::FirstOf<A, B>(std::move(a), std::move(b));
    else
        return detail::FirstOf(std::move(a), first_of(std::move(b), std::move(more)...));
}

}  // namespace qbipc
