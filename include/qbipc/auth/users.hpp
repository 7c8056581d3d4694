// SPDX-License-Identifier: BSL-1.0
// users.hpp: policies over the effective user, and the one that admits everybody.
#pragma once

#include <atomic>
#include <optional>
#include <sys/types.h>
#include <unistd.h>

#include <qbipc/auth.hpp>

namespace qbipc {
namespace detail {

template <uid_t... ids>
struct Users : Composable {
    static_assert(sizeof...(ids) > 0, "uids<> admits nobody: name at least one");
    static constexpr Vouch needs = Vouch::user;

    constexpr bool operator()(const Credentials& who) const noexcept {
        return Credentials::names_somebody(who.uid) && ((who.uid == ids) || ...);
    }

    constexpr std::optional<uid_t> only_user() const noexcept {
        constexpr uid_t all[] = {ids...};
        return ((ids == all[0]) && ...) ? std::optional<uid_t>(all[0]) : std::nullopt;
    }
};

/// The effective user of this process as of the last connection that was checked: a route's policy is asked per frame
/// and must not cost a system call.
inline std::atomic<uid_t> own_user_noted{static_cast<uid_t>(-1)};

inline void note_own_user() noexcept { own_user_noted.store(::geteuid(), std::memory_order_relaxed); }

inline uid_t own_user() noexcept {
    const uid_t noted = own_user_noted.load(std::memory_order_relaxed);
    return noted != static_cast<uid_t>(-1) ? noted : ::geteuid();
}

}  // namespace detail

/// The type of same_user.
struct SameUser : Composable {
    static constexpr Vouch needs = Vouch::user;
    bool operator()(const Credentials& who) const noexcept {
        return Credentials::names_somebody(who.uid) && who.uid == detail::own_user();
    }
    std::optional<uid_t> only_user() const noexcept { return ::geteuid(); }
};

/// The type of same_user_or_root, the default policy.
struct SameUserOrRoot : Composable {
    static constexpr Vouch needs = Vouch::user;
    bool operator()(const Credentials& who) const noexcept { return who.uid == 0 || SameUser{}(who); }
    std::optional<uid_t> only_user() const noexcept {
        const uid_t own = ::geteuid();
        return own == 0 ? std::optional<uid_t>(own) : std::nullopt;
    }
};

/// The type of anyone.
struct Anyone : Composable {
    static constexpr Vouch needs = Vouch::nothing;
    constexpr bool operator()(const Credentials&) const noexcept { return true; }
};

/// Admits these effective users.
template <uid_t... ids>
inline constexpr detail::Users<ids...> uids{};

/// Admits the effective user of this process, looked up at each connection; routes see what the last connection saw.
inline constexpr SameUser same_user{};

/// Admits root and the effective user of this process: the default on both sides.
inline constexpr SameUserOrRoot same_user_or_root{};

/// Admits everybody, even peers whose ids name nobody here (of a foreign user namespace).
inline constexpr Anyone anyone{};

}  // namespace qbipc
