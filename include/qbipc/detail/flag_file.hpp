// SPDX-License-Identifier: BSL-1.0
// flag_file.hpp: the file whose existence switches new connections to filesystem sockets: there or not, and a watch on
// it.
#pragma once

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <new>
#include <string>
#include <string_view>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <utility>

#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/names.hpp>
#include <qbipc/kernel.hpp>
#include <qbipc/time.hpp>

namespace qbipc::detail {

/// Whether the flag is up. A path that can't be looked at counts as down, and so does an empty one.
template <class Kernel>
bool flag_is_up(const std::string& file) noexcept {
    struct stat status {};
    return Kernel::fstatat(AT_FDCWD, file.c_str(), status, 0) == 0;
}

/// The nearest directory above `path` that exists: where the first sign of it would appear.
template <class Kernel>
std::string nearest_directory(std::string_view path) {
    auto directory = split_path(path).directory;
    for (;;) {
        struct stat status {};
        if (directory == "/" || directory == ".") return directory;
        if (Kernel::fstatat(AT_FDCWD, directory.c_str(), status, 0) == 0 && S_ISDIR(status.st_mode)) return directory;
        directory = split_path(directory).directory;
    }
}

/// Whether the flag may have come or gone within `span`: either leaves its mark on the directory. Clocks may jump, so a
/// mark from the future counts by its distance.
template <class Kernel>
bool flag_changed_within(const std::string& file, std::chrono::seconds span) {
    struct stat status {};
    if (file.empty() || Kernel::fstatat(AT_FDCWD, nearest_directory<Kernel>(file).c_str(), status, 0) < 0) return false;
    const auto now = Kernel::wall_clock();
    const auto age = std::chrono::seconds(now.tv_sec - status.st_mtim.tv_sec) +
                     std::chrono::nanoseconds(now.tv_nsec - status.st_mtim.tv_nsec);
    return age < span && age > -span;
}

/// Tells a service that it is time to look at the flag again.
///
/// Watches the nearest existing directory by inotify. Where inotify is refused (its limits are per user and small, and
/// it wants to read the directory), `every()` says how often to look instead. What neither sees, a directory further up
/// being renamed, is seen by the look that each new connection brings with it.
template <class Kernel>
class FlagWatch {
public:
    explicit FlagWatch(std::string file) : file_(std::move(file)) {
        if (file_.empty()) return;
        if (const int fd = Kernel::inotify_init1(IN_CLOEXEC | IN_NONBLOCK); fd >= 0) inotify_.reset(fd);
        follow();
    }

    /// Readable when the flag may have changed; -1 where inotify is refused from the start.
    int fd() const noexcept { return inotify_.get(); }

    /// How often to look, or zero: fd() tells.
    Clock::duration every() const noexcept {
        return file_.empty() || watch_ >= 0 ? Clock::duration::zero() : Clock::duration(std::chrono::seconds(1));
    }

    bool is_up() const noexcept { return flag_is_up<Kernel>(file_); }

    /// Takes what inotify has to say, and sees to it that the nearest directory is the one watched. Whoever looks at
    /// the flag after this misses no change: the next one is announced.
    void refresh() {
        if (file_.empty()) return;
        bool news = watch_ < 0;
        alignas(inotify_event) std::array<std::byte, 4096> events;
        while (inotify_ && Kernel::read(inotify_.get(), events.data(), events.size()) > 0) news = true;
        if (!news) return;
        try {
            follow();
        } catch (const std::bad_alloc&) {
            watch_ = -1;  // looks again from time to time
        }
    }

private:
    static constexpr std::uint32_t interest =
        IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

    void follow() {
        if (!inotify_) return;
        // A directory may come or go between finding it and watching it: look again until both agree.
        for (int attempt = 0; attempt < 16; ++attempt) {
            const auto directory = nearest_directory<Kernel>(file_);
            const int watch = Kernel::inotify_add_watch(inotify_.get(), directory.c_str(), interest);
            if (watch < 0 && watch != -ENOENT && watch != -ENOTDIR) break;
            if (watch >= 0) {
                if (watch != watch_ && watch_ >= 0) Kernel::inotify_rm_watch(inotify_.get(), watch_);
                watch_ = watch;
                if (nearest_directory<Kernel>(file_) == directory) return;
            }
        }
        if (watch_ >= 0) Kernel::inotify_rm_watch(inotify_.get(), watch_);
        watch_ = -1;
    }

    std::string file_;
    Descriptor inotify_;
    int watch_ = -1;
};

}  // namespace qbipc::detail
