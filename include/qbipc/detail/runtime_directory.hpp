// SPDX-License-Identifier: BSL-1.0
// runtime_directory.hpp: finds, makes and locks the directories in which filesystem sockets are.
#pragma once

#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <string>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <utility>

#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/names.hpp>
#include <qbipc/detail/waiting.hpp>
#include <qbipc/error.hpp>
#include <qbipc/kernel.hpp>
#include <qbipc/time.hpp>

namespace qbipc::detail {

/// Others must reach the sockets inside but not open the directory: who can open it can lock it, and keep every service
/// of this user from starting.
inline constexpr mode_t library_directory_mode = 0711;

/// Whether a directory is the user's own, and nobody else can rename what is in it.
template <class Kernel>
bool is_private_directory(const std::string& path, uid_t user) noexcept {
    struct stat status {};
    return Kernel::fstatat(AT_FDCWD, path.c_str(), status, 0) == 0 && S_ISDIR(status.st_mode) &&
           status.st_uid == user && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/// The directory for this user's sockets, which need not exist yet: root's is the system's; others have one inside
/// $XDG_RUNTIME_DIR, or else inside the runtime directory that the system keeps for them, where it is theirs.
/// Errors: no_runtime_directory.
template <class Kernel>
Result<std::string> own_library_directory() {
    const uid_t user = Kernel::geteuid();
    if (user == 0) return std::string(Kernel::system_directory());
    const char* const variable = Kernel::runtime_directory_variable();
    // A relative path means something else in each process: the specification says to ignore it.
    if (variable != nullptr && variable[0] == '/' && is_private_directory<Kernel>(variable, user))
        return library_directory(variable);
    const auto kept = runtime_directory_of(Kernel::user_directories(), user);
    if (is_private_directory<Kernel>(kept, user)) return library_directory(kept);
    return fail(errc::no_runtime_directory);
}

/// Where a client whose policy admits only `wanted` (or several users: absent) looks for socket files.
template <class Kernel>
Directories client_directories(std::optional<uid_t> wanted) {
    Directories directories;
    if (auto own = own_library_directory<Kernel>()) directories.own = *std::move(own);
    directories.system = Kernel::system_directory();
    if (wanted) {
        directories.wanted = *wanted == 0
                                 ? directories.system
                                 : library_directory(runtime_directory_of(Kernel::user_directories(), *wanted));
    }
    return directories;
}

/// Makes the library's directory if need be, checks that it is this user's own and no link to elsewhere, gives it the
/// right mode whatever the umask, and opens it. Errors: no_runtime_directory (somebody else's, or nowhere to make it),
/// or what the kernel said.
template <class Kernel>
Result<Descriptor> open_library_directory(const std::string& path) {
    const int made = Kernel::mkdirat(AT_FDCWD, path.c_str(), library_directory_mode);
    if (made == -ENOENT) return fail(errc::no_runtime_directory);
    if (made < 0 && made != -EEXIST) return fail_system(-made);
    // O_PATH needs no permission on the directory itself, which an odd umask may have left without any.
    auto place =
        Descriptor::from(Kernel::openat(AT_FDCWD, path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!place) return fail(place.error());
    struct stat status {};
    if (const int error = Kernel::fstat(place->get(), status); error < 0) return fail_system(-error);
    if (status.st_uid != Kernel::geteuid()) return fail(errc::no_runtime_directory);
    if ((status.st_mode & 07777) != library_directory_mode) {
        // Its parent is ours or root's and nobody else's to write in: the path still means the directory just checked.
        const int error = Kernel::fchmodat(AT_FDCWD, path.c_str(), library_directory_mode);
        if (error < 0) return fail_system(-error);
    }
    return Descriptor::from(Kernel::openat(place->get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

/// The lock of a directory: under it, and only under it, a socket file changes hands. The kernel gives it back when its
/// holder dies; no lock file stays behind.
template <class Kernel>
class DirectoryLock {
public:
    /// Takes the lock, trying again until the deadline, and at least once. Never blocks in the kernel: a holder who was
    /// stopped must not stop us for good. Errors: timed_out, or what the kernel said.
    static Result<DirectoryLock> take(int directory, Deadline deadline) {
        for (Backoff backoff;;) {
            const int error = Kernel::flock(directory, LOCK_EX | LOCK_NB);
            if (error == 0) return DirectoryLock(directory);
            if (error != -EWOULDBLOCK) return fail_system(-error);
            if (left<Kernel>(deadline) == Clock::duration::zero()) return fail(errc::timed_out);
            pause_until<Kernel>(deadline, backoff.next());
        }
    }

    DirectoryLock(DirectoryLock&& other) noexcept : directory_(std::exchange(other.directory_, -1)) {}
    DirectoryLock& operator=(DirectoryLock&&) = delete;
    /// Unlocks by name: closing alone would leave the lock with a child that was forked meanwhile.
    ~DirectoryLock() {
        if (directory_ >= 0) Kernel::flock(directory_, LOCK_UN);
    }

private:
    explicit DirectoryLock(int directory) noexcept : directory_(directory) {}

    int directory_;
};

}  // namespace qbipc::detail
