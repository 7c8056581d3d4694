// SPDX-License-Identifier: BSL-1.0
// names.hpp: what an address means: which names are good, and the socket addresses that they stand for. No I/O.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <system_error>
#include <vector>

#include <qbipc/address.hpp>
#include <qbipc/error.hpp>

namespace qbipc::detail {

inline constexpr std::size_t longest_name = 90;
inline constexpr std::size_t longest_path = sizeof(sockaddr_un::sun_path) - 1;  // 107: the kernel wants the final NUL
inline constexpr std::string_view abstract_prefix{"\0qbipc/", 7};

/// No error, bad_name or name_too_long. No '/' and no leading dot, so that a name stays inside its directory; the
/// prefix keeps abstract names out of other programs' way.
inline std::error_code check_name(std::string_view name) noexcept {
    if (name.empty() || name.front() == '.') return make_error_code(errc::bad_name);
    if (name.find('/') != name.npos || name.find('\0') != name.npos) return make_error_code(errc::bad_name);
    if (name.size() > longest_name) return make_error_code(errc::name_too_long);
    return {};
}

/// A Unix socket's address, as the kernel takes it.
class SocketAddress {
public:
    /// The abstract socket of a service name. Errors: bad_name, name_too_long.
    static Result<SocketAddress> abstract(std::string_view name) {
        if (const auto error = check_name(name)) return fail(error);
        SocketAddress address;
        const auto end = std::copy(abstract_prefix.begin(), abstract_prefix.end(), address.raw_.sun_path);
        std::copy(name.begin(), name.end(), end);
        // Every byte of an abstract name counts: no NUL at its end.
        address.size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + abstract_prefix.size() + name.size());
        return address;
    }

    /// The socket file at a path. Errors: bad_name (empty, has a NUL, ends in '/'), name_too_long.
    static Result<SocketAddress> file(std::string_view path) {
        if (path.empty() || path.back() == '/' || path.find('\0') != path.npos) return fail(errc::bad_name);
        if (path.size() > longest_path) return fail(errc::name_too_long);
        SocketAddress address;
        std::copy(path.begin(), path.end(), address.raw_.sun_path);
        address.size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
        return address;
    }

    const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&raw_); }
    socklen_t size() const noexcept { return size_; }
    bool is_file() const noexcept { return raw_.sun_path[0] != '\0'; }
    const char* path() const noexcept { return raw_.sun_path; }  ///< of a file

private:
    SocketAddress() noexcept { raw_.sun_family = AF_UNIX; }

    sockaddr_un raw_{};
    socklen_t size_ = 0;
};

/// The last component of a path, and what stands before it ("." where nothing does).
struct SplitPath {
    std::string directory;
    std::string name;
};

inline SplitPath split_path(std::string_view path) {
    const auto slash = path.rfind('/');
    if (slash == path.npos) return {".", std::string(path)};
    return {std::string(path.substr(0, slash == 0 ? 1 : slash)), std::string(path.substr(slash + 1))};
}

/// The library's directory in a user's runtime directory.
inline std::string library_directory(std::string_view runtime_directory) {
    return std::string(runtime_directory) + "/qbipc";
}

/// The runtime directory that the system keeps for a user, whether it exists or not.
inline std::string runtime_directory_of(std::string_view user_directories, uid_t user) {
    return std::string(user_directories) + '/' + std::to_string(user);
}

/// Where socket files may be, as one client sees it.
struct Directories {
    std::optional<std::string> own;     ///< this user's; absent where he has none
    std::string system;                 ///< root's
    std::optional<std::string> wanted;  ///< that of the one user whom the client's policy admits
};

/// Where a client looks for a service, in this order. A path is itself. A name is, while the flag is up, its socket
/// file and never the abstract socket, which anybody may have taken; while it is down, the abstract socket, then its
/// file: a service that hasn't seen the flag go yet is there. Errors: bad_name, name_too_long (no place is short
/// enough).
inline Result<std::vector<SocketAddress>> places(const Address& address, bool flag, const Directories& directories) {
    std::vector<SocketAddress> found;
    if (address.form() == Address::Form::path) {
        const auto file = SocketAddress::file(address.text());
        if (!file) return fail(file.error());
        found.push_back(*file);
        return found;
    }
    // A descriptor is something to listen on, not to connect to.
    if (address.form() == Address::Form::descriptor) return fail(errc::bad_name);

    if (const auto error = check_name(address.text())) return fail(error);
    if (!flag) {
        const auto abstract = SocketAddress::abstract(address.text());
        if (!abstract) return fail(abstract.error());
        found.push_back(*abstract);
    }
    const std::array<std::optional<std::string>, 3> in_order{directories.own, directories.system, directories.wanted};
    for (auto directory = in_order.begin(); directory != in_order.end(); ++directory) {
        if (!*directory || std::find(in_order.begin(), directory, *directory) != directory) continue;
        const auto file = SocketAddress::file(**directory + '/' + address.text());
        if (file) found.push_back(*file);
    }
    if (found.empty()) return fail(errc::name_too_long);
    return found;
}

}  // namespace qbipc::detail
