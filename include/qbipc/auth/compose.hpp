// SPDX-License-Identifier: BSL-1.0
// compose.hpp: policies joined by &&, || and !; each knows what its parts need, and a yes is never made of an error.
#pragma once

#include <optional>
#include <system_error>
#include <utility>

#include <qbipc/auth.hpp>

namespace qbipc {
namespace detail {

/// Both: asked from left to right, refuses with the first refusal.
template <class A, class B>
struct Both : Composable {
    constexpr Both(A a, B b) : first(std::move(a)), second(std::move(b)) {}
    static constexpr Vouch needs = needs_of<A>() | needs_of<B>();

    auto operator()(const Credentials& who) const {
        if constexpr (answers_with_bool<A> && answers_with_bool<B>) {
            return first(who) && second(who);
        } else {
            const std::error_code refusal = verdict(first, who);
            return refusal ? refusal : verdict(second, who);
        }
    }

    std::optional<uid_t> only_user() const noexcept {
        const auto user = qbipc::only_user(first);
        return user ? user : qbipc::only_user(second);
    }

    A first;
    B second;
};

/// Either: asked from left to right until one says yes. Where both refuse, the reason is the last that was given in
/// words: a plain no says less than an error code.
template <class A, class B>
struct Either : Composable {
    constexpr Either(A a, B b) : first(std::move(a)), second(std::move(b)) {}
    static constexpr Vouch needs = needs_of<A>() | needs_of<B>();

    auto operator()(const Credentials& who) const {
        if constexpr (answers_with_bool<A> && answers_with_bool<B>) {
            return first(who) || second(who);
        } else {
            const std::error_code refusal = verdict(first, who);
            if (!refusal) return refusal;
            const std::error_code other = verdict(second, who);
            return other && answers_with_bool<B> ? refusal : other;
        }
    }

    std::optional<uid_t> only_user() const noexcept {
        const auto user = qbipc::only_user(first);
        return user == qbipc::only_user(second) ? user : std::nullopt;
    }

    A first;
    B second;
};

/// Not: of a policy that answers bool. Ids that name nobody stay refused: who isn't known to be one may not pass for
/// known to be another.
template <class P>
struct Not : Composable {
    constexpr explicit Not(P p) : negated(std::move(p)) {}
    static constexpr Vouch needs = needs_of<P>();

    bool operator()(const Credentials& who) const {
        if (covers(needs, Vouch::user) && !Credentials::names_somebody(who.uid)) return false;
        if (covers(needs, Vouch::group) && !Credentials::names_somebody(who.gid)) return false;
        return !negated(who);
    }

    P negated;
};

template <class P>
consteval bool check_negation() {
    if constexpr (check_policy_shape<P>()) {
        constexpr bool answers_bool = answers_with_bool<P>;
        static_assert(answers_bool,
                      "! takes policies that answer bool: the error of one that couldn't find out would become a yes");
        return answers_bool;
    } else {
        return false;
    }
}

}  // namespace detail

/// Admits whom both admit.
template <class A, class B>
    requires(detail::Composed<A> || detail::Composed<B>)
constexpr auto operator&&(A a, B b) {
    if constexpr (detail::check_policy_shape<A>() && detail::check_policy_shape<B>()) {
        return detail::Both<A, B>(std::move(a), std::move(b));
    } else {
        return detail::NobodyAtAll{};
    }
}

/// Admits whom either admits.
template <class A, class B>
    requires(detail::Composed<A> || detail::Composed<B>)
constexpr auto operator||(A a, B b) {
    if constexpr (detail::check_policy_shape<A>() && detail::check_policy_shape<B>()) {
        return detail::Either<A, B>(std::move(a), std::move(b));
    } else {
        return detail::NobodyAtAll{};
    }
}

/// Admits whom `p` doesn't, unless the peer's ids name nobody.
template <class P>
    requires detail::Composed<P>
constexpr auto operator!(P p) {
    if constexpr (detail::check_negation<P>()) {
        return detail::Not<P>(std::move(p));
    } else {
        return detail::NobodyAtAll{};
    }
}

}  // namespace qbipc
