// SPDX-License-Identifier: BSL-1.0
// socket_file.hpp: a listening socket with a file for a name: taken over from the dead, never from the living.
#pragma once

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <fcntl.h>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <utility>

#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/listening_socket.hpp>
#include <qbipc/detail/names.hpp>
#include <qbipc/detail/runtime_directory.hpp>
#include <qbipc/error.hpp>
#include <qbipc/kernel.hpp>
#include <qbipc/options.hpp>
#include <qbipc/time.hpp>

namespace qbipc::detail {

/// Who keeps the directory of a socket file in order.
enum class DirectoryOwner { library, user };

/// A listening socket and its file. Dropped, it removes the file if it is still this one's.
///
/// The steps between finding a stale file and listening on a new one are one step for everybody who keeps to the lock
/// of the directory: without it, of two that find the file stale, the second unlinks what the first has just made. A
/// process killed on the way leaves a stale file, or none, and no lock.
template <class Kernel = LinuxKernel>
class SocketFile {
public:
    /// Listens at `path`, with exactly the mode and owner of the options, whatever the umask.
    ///
    /// Blocking: until the deadline, while others hold the directory's lock.
    /// Errors: address_in_use (a live socket stands there), bad_name, name_too_long, no_runtime_directory, timed_out
    /// (the lock), or what the kernel said; std::errc::file_exists: something that is no socket, which is left alone.
    static Result<SocketFile> claim(const std::string& path, DirectoryOwner keeper, const ServiceOptions& options,
                                    Deadline deadline) {
        auto address = SocketAddress::file(path);
        if (!address) return fail(address.error());
        auto [directory_path, name] = split_path(path);
        auto directory = keeper == DirectoryOwner::library
                             ? open_library_directory<Kernel>(directory_path)
                             : Descriptor::from(Kernel::openat(AT_FDCWD, directory_path.c_str(),
                                                               O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!directory) return fail(directory.error());
        SocketFile file(*std::move(directory), std::move(name));

        auto lock = DirectoryLock<Kernel>::take(file.directory_.get(), deadline);
        if (!lock) return fail(lock.error());
        if (const auto error = file.bind(*address)) return fail(error);
        refuse_descriptors<Kernel>(file.socket_.get());
        auto error = file.set_permissions(options);
        if (!error) error = to_error(Kernel::listen(file.socket_.get(), backlog));
        if (error) {
            file.unlink_if_ours();
            file.owner_ = 0;
            return fail(error);
        }
        return file;
    }

    SocketFile(SocketFile&& other) noexcept
        : directory_(std::move(other.directory_)),
          name_(std::move(other.name_)),
          socket_(std::move(other.socket_)),
          device_(other.device_),
          inode_(other.inode_),
          owner_(std::exchange(other.owner_, 0)) {}
    SocketFile& operator=(SocketFile&& other) noexcept {
        if (this == &other) return *this;
        const SocketFile dropped(std::move(*this));  // removes what this one had
        directory_ = std::move(other.directory_);
        name_ = std::move(other.name_);
        socket_ = std::move(other.socket_);
        device_ = other.device_;
        inode_ = other.inode_;
        owner_ = std::exchange(other.owner_, 0);
        return *this;
    }

    /// Removes the file before it closes the socket: while the socket is open, no other file gets its inode number.
    /// Blocking: up to a second, should somebody else hold the lock; then a stale file stays, which harms nobody.
    ~SocketFile() {
        if (owner_ == 0 || owner_ != Kernel::getpid()) return;  // a forked child closes, and no more
        if (!in_place()) return;                                // nothing to wait for
        const Deadline deadline(Kernel::now() + std::chrono::seconds(1));
        if (auto lock = DirectoryLock<Kernel>::take(directory_.get(), deadline)) unlink_if_ours();
    }

    int socket() const noexcept { return socket_.get(); }

    /// Whether the name still leads to this socket.
    bool in_place() const noexcept {
        struct stat status {};
        return look(status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
    }

private:
    SocketFile(Descriptor directory, std::string name) noexcept
        : directory_(std::move(directory)), name_(std::move(name)) {}

    static std::error_code to_error(int result) noexcept {
        return result < 0 ? std::error_code(-result, std::system_category()) : std::error_code();
    }

    int look(struct stat& status) const noexcept {
        return Kernel::fstatat(directory_.get(), name_.c_str(), status, AT_SYMLINK_NOFOLLOW);
    }

    void unlink_if_ours() noexcept {
        if (in_place()) Kernel::unlinkat(directory_.get(), name_.c_str(), 0);
    }

    std::error_code bind(const SocketAddress& address) {
        const int fd = Kernel::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) return to_error(fd);
        socket_.reset(fd);
        // The file is born with the socket's mode less the umask, so with none: it is given its own afterwards.
        if (const int error = Kernel::fchmod(fd, 0); error < 0) return to_error(error);
        // Somebody who doesn't keep to the lock can get in between; not for ever.
        for (int attempt = 0; attempt < 16; ++attempt) {
            const int error = Kernel::bind(fd, address.get(), address.size());
            if (error == 0) return remember();
            if (error != -EADDRINUSE) return to_error(error);
            if (const auto in_use = clear(address)) return in_use;
        }
        return make_error_code(errc::address_in_use);
    }

    /// What is there was just made by bind: in this very directory, unless its path changed its meaning meanwhile.
    std::error_code remember() noexcept {
        struct stat status {};
        if (const int error = look(status); error < 0) return to_error(error);
        if (!S_ISSOCK(status.st_mode) || status.st_uid != Kernel::geteuid()) return to_error(-ESTALE);
        device_ = status.st_dev;
        inode_ = status.st_ino;
        owner_ = Kernel::getpid();
        return {};
    }

    /// Removes a stale socket file; address_in_use where it isn't stale.
    std::error_code clear(const SocketAddress& address) noexcept {
        struct stat status {};
        const int error = look(status);
        if (error == -ENOENT) return {};
        if (error < 0) return to_error(error);
        if (!S_ISSOCK(status.st_mode)) return to_error(-EEXIST);

        int answer = probe(address);
        // Our own predecessor may have been killed before he gave the file its mode.
        if (answer == -EACCES && status.st_uid == Kernel::geteuid() && (status.st_mode & S_IWUSR) == 0) {
            set_mode((status.st_mode & 07777) | S_IWUSR);
            answer = probe(address);
            if (answer != -ECONNREFUSED) set_mode(status.st_mode & 07777);
        }
        switch (-answer) {
            case 0:
            case EAGAIN:      // lives, with a full backlog
            case EPROTOTYPE:  // lives, and is another kind of socket
                return make_error_code(errc::address_in_use);
            case ENOENT:
                return {};
            case ECONNREFUSED: {
                const int gone = Kernel::unlinkat(directory_.get(), name_.c_str(), 0);
                return gone == -ENOENT ? std::error_code() : to_error(gone);
            }
            default:
                return to_error(answer);
        }
    }

    /// 0 or EAGAIN: somebody listens; ECONNREFUSED: nobody does any more.
    static int probe(const SocketAddress& address) noexcept {
        const int fd = Kernel::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) return fd;
        const Descriptor socket(fd);
        int answer = 0;
        do answer = Kernel::connect(fd, address.get(), address.size());
        while (answer == -EINTR);
        return answer;
    }

    /// Before listen(): nobody gets in while the permissions are not yet the right ones.
    std::error_code set_permissions(const ServiceOptions& options) noexcept {
        if (const int error = set_mode(options.mode.value_or(0666) & 07777); error < 0) return to_error(error);
        if (!options.owner && !options.group) return {};
        constexpr auto unchanged = static_cast<uid_t>(-1);
        return to_error(Kernel::fchownat(directory_.get(), name_.c_str(), options.owner.value_or(unchanged),
                                         options.group.value_or(unchanged), AT_SYMLINK_NOFOLLOW));
    }

    /// chmod follows links, and a directory that others may write in can change under our hands: so the file is pinned
    /// first and then named through /proc. Where that isn't mounted, the plain name must do.
    int set_mode(mode_t mode) noexcept {
        const int fd = Kernel::openat(directory_.get(), name_.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) return fd;
        const Descriptor pinned(fd);
        struct stat status {};
        if (const int error = Kernel::fstat(fd, status); error < 0) return error;
        if (!S_ISSOCK(status.st_mode)) return -ESTALE;
        std::array<char, 32> path{};
        std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", fd);
        const int error = Kernel::fchmodat(AT_FDCWD, path.data(), mode);
        return error == -ENOENT ? Kernel::fchmodat(directory_.get(), name_.c_str(), mode) : error;
    }

    Descriptor directory_;
    std::string name_;
    Descriptor socket_;
    dev_t device_ = 0;
    ino_t inode_ = 0;
    pid_t owner_ = 0;  // the process whose file it is; 0: nobody's
};

}  // namespace qbipc::detail
