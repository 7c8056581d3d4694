// SPDX-License-Identifier: BSL-1.0
// credentials_of.hpp: who is at the other end of a connected socket, as the kernel vouches for it.
#pragma once

#include <cerrno>
#include <cstddef>
#include <new>
#include <sys/socket.h>
#include <sys/types.h>
#include <system_error>
#include <utility>
#include <vector>

#include <qbipc/credentials.hpp>
#include <qbipc/error.hpp>
#include <qbipc/kernel.hpp>

namespace qbipc::detail {

/// The peer's credentials: of an accepted socket, whoever called connect(), as he was then; of a connecting one,
/// whoever called listen(). Ask it of these two only: both ends of a socketpair name its creator, whoever holds them
/// now.
///
/// Errors: what the kernel said; there are no half-filled credentials. protocol_violation: an answer of another shape.
template <class Kernel = LinuxKernel>
Result<Credentials> credentials_of(int socket) try {
    ucred user{};
    socklen_t size = sizeof user;
    if (const int error = Kernel::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &user, &size); error < 0)
        return fail_system(-error);
    // A socket without a peer says pid 0, uid and gid -1, and no error.
    if (size != sizeof user || user.uid == static_cast<uid_t>(-1) || user.gid == static_cast<gid_t>(-1))
        return fail(errc::protocol_violation);

    Credentials credentials{user.pid, user.uid, user.gid, std::vector<gid_t>(32)};
    auto& groups = credentials.groups;
    for (;;) {
        const auto offered = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
        size = offered;
        const int error = Kernel::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
        // Too small: the kernel says how many bytes it wants, and that number never changes. More than it allows for a
        // process (65,536 groups), or no more than it was offered, would be nonsense: don't go round for ever.
        if (error == -ERANGE && size > offered && size <= 65536 * sizeof(gid_t)) {
            groups.resize(size / sizeof(gid_t));
            continue;
        }
        if (error < 0) return fail_system(-error);
        if (size > offered || size % sizeof(gid_t) != 0) return fail(errc::protocol_violation);
        groups.resize(size / sizeof(gid_t));
        return credentials;
    }
} catch (const std::bad_alloc&) {
    return no_memory();
}

}  // namespace qbipc::detail
