// SPDX-License-Identifier: BSL-1.0
// groups.hpp: policies over groups, supplementary ones included.
#pragma once

#include <qbipc/auth.hpp>

namespace qbipc {
namespace detail {

template <gid_t... ids>
struct Groups : Composable {
    static_assert(sizeof...(ids) > 0, "gids<> admits nobody: name at least one");
    static constexpr Vouch needs = Vouch::group;

    constexpr bool operator()(const Credentials& who) const noexcept {
        if (one_of(who.gid)) return true;
        for (const gid_t group : who.groups)
            if (one_of(group)) return true;
        return false;
    }

private:
    static constexpr bool one_of(gid_t group) noexcept {
        return Credentials::names_somebody(group) && ((group == ids) || ...);
    }
};

}  // namespace detail

/// Admits members of any of these groups: by effective or by supplementary group.
template <gid_t... ids>
inline constexpr detail::Groups<ids...> gids{};

}  // namespace qbipc
