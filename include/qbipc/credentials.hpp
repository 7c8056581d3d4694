// SPDX-License-Identifier: BSL-1.0
// credentials.hpp: who the peer is, as the kernel vouches for it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <sys/types.h>
#include <system_error>
#include <type_traits>
#include <vector>

#include <qbipc/config.hpp>

namespace qbipc {

/// The identity of a peer at the moment of its connect() (for a client's peer: of the service's listen()). Later
/// changes of user or group, or passing the descriptor on, change nothing. Starts invalid: matches no policy until it
/// is filled.
struct Credentials {
    pid_t pid = 0;                       ///< for logs only; a number may be used again. 0: in a foreign namespace
    uid_t uid = static_cast<uid_t>(-1);  ///< effective user
    gid_t gid = static_cast<gid_t>(-1);  ///< effective group
    std::vector<gid_t> groups = {};      ///< supplementary groups

    /// Ids that name nobody: unset, or the overflow id that the kernel shows for users outside this namespace.
    static constexpr bool names_somebody(std::uint32_t id) noexcept {
        return id != static_cast<std::uint32_t>(-1) && id != 65534;
    }
};

/// Which parts of Credentials a transport vouches for, and which a policy needs. A set of bits.
enum class Vouch : unsigned { nothing = 0, pid = 1, user = 2, group = 4 };
constexpr Vouch operator|(Vouch a, Vouch b) noexcept {
    return static_cast<Vouch>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr bool covers(Vouch given, Vouch needed) noexcept {
    return (static_cast<unsigned>(needed) & ~static_cast<unsigned>(given)) == 0;
}

/// A reference to what decides about a peer's credentials: no error, or why it is refused. Doesn't own what it refers
/// to. Transports take it in connect(), so that they need not know the policy's type.
class CredentialCheck {
public:
    template <class F>
        requires(!std::is_same_v<std::remove_cvref_t<F>, CredentialCheck>)
    CredentialCheck(const F& f, std::optional<uid_t> only_user = std::nullopt) noexcept
        : object_(std::addressof(f)),
          call_([](const void* object, const Credentials& who) -> std::error_code {
              return (*static_cast<const F*>(object))(who);
          }),
          only_user_(only_user) {}

    std::error_code operator()(const Credentials& who) const { return call_(object_, who); }

    /// The one user that the policy can admit, where it is but one: his runtime directory is worth looking into.
    std::optional<uid_t> only_user() const noexcept { return only_user_; }

private:
    const void* object_;
    std::error_code (*call_)(const void*, const Credentials&);
    std::optional<uid_t> only_user_;
};

}  // namespace qbipc
