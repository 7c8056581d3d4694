// SPDX-License-Identifier: BSL-1.0
// auth.hpp: who may: policies over a peer's credentials, and how they compose. The ready ones are in auth/.
#pragma once

#include <concepts>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

#include <qbipc/credentials.hpp>
#include <qbipc/error.hpp>

namespace qbipc {
namespace detail {

template <class P>
using verdict_t = std::invoke_result_t<const std::remove_reference_t<P>&, const Credentials&>;

/// Exactly bool, or something that becomes an error code: an int, a pointer or a plain enum never passes for a yes.
template <class V>
concept Verdict =
    std::same_as<V, bool> || (std::is_class_v<std::remove_cvref_t<V>> && std::convertible_to<V, std::error_code>) ||
    (std::is_enum_v<std::remove_cvref_t<V>> && std::is_error_code_enum_v<std::remove_cvref_t<V>>);

}  // namespace detail

/// Decides about a peer: const-callable with `const Credentials&`, gives exactly `bool`, or something convertible to
/// `std::error_code` (an error is the reason of the refusal). One that throws refuses.
/// It may say `static constexpr Vouch needs`: which credentials it looks at (absent: all of them).
template <class P>
concept AuthPolicy =
    std::invocable<const std::remove_reference_t<P>&, const Credentials&> && detail::Verdict<detail::verdict_t<P>>;

/// Base of policies that compose with `&&`, `||` and `!`. In the operators' own namespace, so that they are found
/// wherever the policy is defined. One operand is enough: `same_user && lambda`.
struct Composable {};

namespace detail {

/// The policy that others become where a mistake has been reported already.
struct NobodyAtAll : Composable {
    static constexpr Vouch needs = Vouch::nothing;
    constexpr bool operator()(const Credentials&) const noexcept { return false; }
};

template <class P>
concept Composed = std::derived_from<std::remove_cvref_t<P>, Composable>;

template <class P>
consteval Vouch needs_of() {
    using Policy = std::unwrap_reference_t<std::remove_cvref_t<P>>;
    if constexpr (requires { Vouch(std::remove_cvref_t<Policy>::needs); })
        return std::remove_cvref_t<Policy>::needs;
    else
        return Vouch::pid | Vouch::user | Vouch::group;
}

template <class P>
inline constexpr bool answers_with_bool = std::same_as<verdict_t<P>, bool>;

/// One static_assert per mistake: what can never be a policy.
template <class P>
consteval bool check_policy_shape() {
    using Policy = std::remove_cvref_t<P>;
    constexpr bool is_not_a_bool = !std::same_as<Policy, bool>;
    static_assert(
        is_not_a_bool,
        "expected a policy, got a bool: `lambda && lambda` is C++'s own &&; write qbipc::policy(lambda) && lambda");
    if constexpr (is_not_a_bool) {
        constexpr bool is_a_function =
            std::is_class_v<Policy> || (std::is_pointer_v<Policy> && std::is_function_v<std::remove_pointer_t<Policy>>);
        static_assert(
            is_a_function,
            "expected a policy: something callable with (const qbipc::Credentials&), such as qbipc::same_user");
        if constexpr (is_a_function) {
            constexpr bool takes_credentials = std::invocable<const Policy&, const Credentials&>;
            constexpr bool is_not_options = takes_credentials || !requires(const Policy& p) { p.max_message; };
            static_assert(is_not_options, "options come after the policy: ..., qbipc::same_user_or_root, options)");
            static_assert(takes_credentials || !is_not_options,
                          "a policy must be callable, as const, with (const qbipc::Credentials&)");
            if constexpr (takes_credentials) {
                constexpr bool gives_a_verdict = Verdict<verdict_t<Policy>>;
                static_assert(
                    gives_a_verdict,
                    "a policy must give exactly bool, or a std::error_code that is the reason of the refusal");
                return gives_a_verdict;
            }
        }
    }
    return false;
}

/// The policy's answer as an error code; a plain no is not_permitted.
template <class P>
std::error_code verdict(const P& policy, const Credentials& who) {
    if constexpr (answers_with_bool<P>) {
        return policy(who) ? std::error_code{} : make_error_code(errc::not_permitted);
    } else {
        return policy(who);
    }
}

/// As check(), for what is asked per frame.
template <class P>
std::error_code check_again(const P& policy, const Credentials& who) noexcept {
    try {
        return verdict(policy, who);
    } catch (...) {
        return make_error_code(errc::not_permitted);
    }
}

void note_own_user() noexcept;

}  // namespace detail

/// No error, or why `policy` refuses `who`: `not_permitted` where it said just no or threw, else its own code.
template <class P>
std::error_code check(const P& policy, const Credentials& who) noexcept {
    if constexpr (detail::check_policy_shape<P>()) {
        detail::note_own_user();
        return detail::check_again(policy, who);
    } else {
        return make_error_code(errc::not_permitted);
    }
}

/// The one user that `policy` can admit, where it is but one and says so (`std::optional<uid_t> only_user() const`).
template <class P>
std::optional<uid_t> only_user(const P& policy) noexcept {
    if constexpr (requires { static_cast<std::optional<uid_t>>(policy.only_user()); })
        return policy.only_user();
    else
        return std::nullopt;
}

}  // namespace qbipc

#include <qbipc/auth/compose.hpp>
#include <qbipc/auth/groups.hpp>
#include <qbipc/auth/policy.hpp>
#include <qbipc/auth/users.hpp>
