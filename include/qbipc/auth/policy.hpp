// SPDX-License-Identifier: BSL-1.0
// policy.hpp: makes any callable a policy that composes, and says which credentials it looks at.
#pragma once

#include <functional>
#include <utility>

#include <qbipc/auth.hpp>

namespace qbipc {
namespace detail {

template <Vouch needed, class F>
struct Policy : Composable {
    constexpr explicit Policy(F f) : function(std::move(f)) {}
    static constexpr Vouch needs = needed;
    auto operator()(const Credentials& who) const { return std::invoke(function, who); }
    F function;
};

}  // namespace detail

/// `policy(lambda) && other_lambda`, `policy<Vouch::user>(lambda)`: a callable as a composable policy.
/// @param Needs  what it looks at; a transport that vouches for less is refused at compile time
template <Vouch Needs = Vouch::pid | Vouch::user | Vouch::group, class F>
constexpr auto policy(F function) {
    if constexpr (detail::check_policy_shape<F>()) {
        return detail::Policy<Needs, F>(std::move(function));
    } else {
        return detail::NobodyAtAll{};
    }
}

}  // namespace qbipc
