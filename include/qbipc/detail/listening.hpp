// SPDX-License-Identifier: BSL-1.0
// listening.hpp: stands at an address for as long as a service lives, and lets those in who connect.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <new>
#include <optional>
#include <string>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <system_error>
#include <utility>

#include <qbipc/address.hpp>
#include <qbipc/credentials.hpp>
#include <qbipc/detail/credentials_of.hpp>
#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/flag_file.hpp>
#include <qbipc/detail/listening_socket.hpp>
#include <qbipc/detail/names.hpp>
#include <qbipc/detail/runtime_directory.hpp>
#include <qbipc/detail/socket_file.hpp>
#include <qbipc/detail/waiting.hpp>
#include <qbipc/error.hpp>
#include <qbipc/kernel.hpp>
#include <qbipc/options.hpp>
#include <qbipc/time.hpp>

namespace qbipc::detail {

/// One who has connected: the socket is non-blocking, and who he is was asked already.
struct Accepted {
    Descriptor socket;
    Credentials credentials;
    bool moved = false;       ///< came by the address that the flag has retired: tell him, and let him go
    std::error_code refusal;  ///< tell him this, and let him go at once: `busy` has the last descriptor
};

/// A service's place. At a name it has up to two doors: the abstract socket, and the socket file. The flag file says
/// which one counts; it is looked at for each connection, and watched. When it changes, the other door opens first, and
/// the one it retired stays open for those who were on their way: they hear `moved`, look at the flag again and come by
/// the other. Once open, doors stay open for life: nobody can slip into a name that this service has left.
///
/// Blocking: never, but that open() waits up to five seconds for the lock of a socket file's directory.
/// Threads: one.
template <class Kernel = LinuxKernel>
class Listening {
public:
    /// Errors: address_in_use, bad_name, name_too_long, no_runtime_directory, timed_out (the lock), those of
    /// adopt_listening(), or what the kernel said.
    static Result<Listening> open(const Address& address, const ServiceOptions& options) {
        Listening listening(address, options);
        auto ready = listening.prepare();
        if (!ready) return fail(ready.error());
        return listening;
    }

    /// Readable when accept() has something to do; the same for life.
    int fd() const noexcept { return epoll_.get(); }

    /// The next who has connected; none, when nobody waits (or descriptors ran out: it looks again by itself, and fd()
    /// stays quiet meanwhile). An error concerns one connection, which is closed.
    Result<std::optional<Accepted>> accept() {
        const unsigned ready = attend();
        // A flood at one door must not close the other.
        first_ = other(first_);
        for (const Door door : {first_, other(first_)}) {
            if (resting() || !is_open(door) || (ready >> door & 1u) == 0) continue;
            const int fd = accept_at(door);
            if (fd == -EAGAIN) continue;
            if (is_scarcity(fd)) {
                rest();
                continue;
            }
            if (fd < 0) {
                // What doesn't belong to a connection would come again at once.
                if (fd != -ECONNABORTED && fd != -EPERM && fd != -EACCES && fd != -EPROTO) rest();
                return fail_system(-fd);
            }
            // Who connected before this service stood there is let in by the rules of who stood there then.
            if (address_.form() == Address::Form::descriptor) refuse_descriptors<Kernel>(fd);
            Accepted visitor{Descriptor(fd), {}, door != wanted_, {}};
            if (short_of_descriptors_ > 0) visitor.refusal = errc::busy;
            auto credentials = credentials_of<Kernel>(fd);
            if (credentials)
                visitor.credentials = *std::move(credentials);
            else
                visitor.refusal = credentials.error();
            return visitor;
        }
        return std::nullopt;
    }

    /// The socket that new connections come to now, once more: for Address::listening_descriptor(), and the caller's
    /// until somebody listens there. Errors: what the kernel said.
    Result<Descriptor> share() const {
        const Door door = is_open(wanted_) ? wanted_ : other(wanted_);
        return Descriptor::from(Kernel::fcntl(socket_of(door), F_DUPFD_CLOEXEC, 0));
    }

    /// Why the door that the flag wants isn't open, if it isn't. It is tried again from time to time.
    std::error_code trouble() const noexcept { return trouble_; }

private:
    enum Door : unsigned { abstract_door, file_door, flag_watch, timer };
    static constexpr auto never = Clock::time_point::max();
    static constexpr auto longest_take_over = std::chrono::seconds(5);
    static constexpr int visitors_per_shortage = 16;

    Listening(const Address& address, const ServiceOptions& options) : address_(address), options_(options) {}

    static Door other(Door door) noexcept { return door == abstract_door ? file_door : abstract_door; }
    static bool is_scarcity(int error) noexcept {
        return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS;
    }

    // ---- opening

    Result<void> prepare() {
        auto epoll = Descriptor::from(Kernel::epoll_create1(EPOLL_CLOEXEC));
        if (!epoll) return fail(epoll.error());
        epoll_ = *std::move(epoll);
        auto timer_fd = Descriptor::from(Kernel::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
        if (!timer_fd) return fail(timer_fd.error());
        timer_ = *std::move(timer_fd);
        if (auto added = watch(timer_.get(), timer); !added) return added;
        if (const int error = refill_reserve(); error < 0) return fail_system(-error);

        switch (address_.form()) {
            case Address::Form::descriptor: {
                // Before the descriptor is ours, nothing that can fail may be left.
                epoll_event event{EPOLLIN, {.u64 = abstract_door}};
                auto adopted = adopt_listening<Kernel>(address_.descriptor());
                if (!adopted) return fail(adopted.error());
                const int error = Kernel::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, adopted->get(), &event);
                if (error < 0) {
                    adopted->release();
                    return fail_system(-error);
                }
                abstract_ = *std::move(adopted);
                return {};
            }
            case Address::Form::path:
                wanted_ = file_door;
                return open_file(address_.text(), DirectoryOwner::user, Kernel::now() + longest_take_over);
            case Address::Form::name:
                break;
        }
        if (const auto error = check_name(address_.text())) return fail(error);
        flag_.emplace(options_.flag_file);
        if (flag_->fd() >= 0) {
            if (auto added = watch(flag_->fd(), flag_watch); !added) return added;
        }
        wanted_ = flag_->is_up() ? file_door : abstract_door;
        if (auto opened = open_wanted(Kernel::now() + longest_take_over); !opened) return opened;
        const auto now = Kernel::now();
        if (flag_->every() != Clock::duration::zero()) next_look_ = now + flag_->every();
        set_timer(now);
        return {};
    }

    Result<void> open_wanted(Deadline deadline) try {
        if (wanted_ == abstract_door) {
            const auto address = SocketAddress::abstract(address_.text());
            if (!address) return fail(address.error());
            auto socket = listen_abstract<Kernel>(*address);
            if (!socket) return fail(socket.error());
            if (auto added = watch(socket->get(), abstract_door); !added) return added;
            abstract_ = *std::move(socket);
            return {};
        }
        const auto directory = own_library_directory<Kernel>();
        if (!directory) return fail(directory.error());
        return open_file(*directory + '/' + address_.text(), DirectoryOwner::library, deadline);
    } catch (const std::bad_alloc&) {
        return no_memory();
    }

    Result<void> open_file(const std::string& path, DirectoryOwner keeper, Deadline deadline) {
        auto file = SocketFile<Kernel>::claim(path, keeper, options_, deadline);
        if (!file) return fail(file.error());
        if (auto added = watch(file->socket(), file_door); !added) return added;
        file_.emplace(*std::move(file));
        return {};
    }

    bool is_open(Door door) const noexcept { return door == abstract_door ? bool(abstract_) : file_.has_value(); }
    int socket_of(Door door) const noexcept { return door == abstract_door ? abstract_.get() : file_->socket(); }

    Result<void> watch(int fd, Door door) {
        epoll_event event{interest(), {.u64 = door}};
        const int error = Kernel::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
        if (error < 0) return fail_system(-error);
        return {};
    }

    // ---- the flag, and the clock

    /// Looks after everything but the visitors; says which doors have some (bits).
    unsigned attend() {
        std::array<epoll_event, 4> events;
        const int count = Kernel::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
        unsigned ready = 0;
        for (int i = 0; i < count; ++i) ready |= 1u << events[static_cast<std::size_t>(i)].data.u64;

        const bool alarm = (ready >> timer & 1u) != 0;
        if (alarm) {
            std::uint64_t expirations = 0;
            Kernel::read(timer_.get(), &expirations, sizeof expirations);
            timer_at_ = never;
        }
        const auto now = Kernel::now();
        if (resting() && now >= rest_until_) ready |= resume();
        if (flag_) follow_flag(now, alarm || (ready >> flag_watch & 1u) != 0);
        set_timer(now);
        return ready;
    }

    void follow_flag(Clock::time_point now, bool news) {
        if (news || now >= next_look_) {
            flag_->refresh();
            next_look_ = flag_->every() == Clock::duration::zero() ? never : now + flag_->every();
        }
        const Door wanted = flag_->is_up() ? file_door : abstract_door;
        if (wanted != wanted_) {
            wanted_ = wanted;
            next_try_ = now;
            tries_.reset();
        }
        // Somebody may have cleaned the directory while the flag was down.
        if (news && wanted_ == file_door && file_ && !file_->in_place()) file_.reset();
        if (is_open(wanted_)) {
            trouble_ = {};
            next_try_ = never;
            return;
        }
        if (next_try_ != never && now < next_try_) return;
        // At once or not at all: a service mustn't stand still for a lock.
        if (auto opened = open_wanted(Deadline(now)); opened) {
            trouble_ = {};
            next_try_ = never;
        } else {
            trouble_ = opened.error();
            next_try_ = now + tries_.next();
        }
    }

    /// One timer for all that is due some time: it is touched only when the earliest of them changes.
    void set_timer(Clock::time_point now) noexcept {
        const auto at = std::min({rest_until_, next_try_, next_look_});
        if (at == timer_at_) return;
        timer_at_ = at;
        itimerspec setting{};
        if (at != never) setting.it_value = to_timespec(std::max(at - now, Clock::duration(1)));
        Kernel::timerfd_settime(timer_.get(), 0, &setting);
    }

    // ---- visitors, and the lack of descriptors for them

    /// Keeps one descriptor in hand, so that even the visitor for whom there is none can be told so.
    /// 0, or -errno.
    int refill_reserve() noexcept {
        if (reserve_) return 0;
        const int fd = Kernel::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd >= 0) reserve_.reset(fd);
        return std::min(fd, 0);
    }

    int accept_at(Door door) noexcept {
        if (refill_reserve() < 0) return -EMFILE;
        const auto take = [&] {
            return Kernel::accept4(socket_of(door), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
        };
        int fd = take();
        if (fd >= 0) {
            short_of_descriptors_ = 0;
            rests_.reset();
        } else if (fd == -EMFILE || fd == -ENFILE) {
            // A few get their answer at once; a crowd must not keep the service busy with refusals.
            if (short_of_descriptors_ >= visitors_per_shortage) {
                short_of_descriptors_ = 0;
                return fd;
            }
            reserve_.reset();
            fd = take();
            if (fd >= 0)
                ++short_of_descriptors_;
            else
                refill_reserve();
        }
        return fd;
    }

    bool resting() const noexcept { return rest_until_ != never; }
    std::uint32_t interest() const noexcept { return resting() ? 0u : std::uint32_t{EPOLLIN}; }

    /// Doors stay shut for a while, so that those who wait there don't wake the loop again and again.
    void rest() noexcept {
        if (resting()) return;
        const auto now = Kernel::now();
        rest_until_ = now + rests_.next();
        watch_doors();
        set_timer(now);
    }

    unsigned resume() noexcept {
        rest_until_ = never;
        watch_doors();
        return 1u << abstract_door | 1u << file_door;
    }

    void watch_doors() noexcept {
        for (const Door door : {abstract_door, file_door}) {
            if (!is_open(door)) continue;
            epoll_event event{interest(), {.u64 = door}};
            Kernel::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, socket_of(door), &event);
        }
    }

    Address address_;
    ServiceOptions options_;
    Descriptor epoll_;
    Descriptor timer_;
    Descriptor reserve_;
    std::optional<FlagWatch<Kernel>> flag_;  // names only
    Descriptor abstract_;                    // also what a manager handed over
    std::optional<SocketFile<Kernel>> file_;
    Door wanted_ = abstract_door;
    Door first_ = abstract_door;
    int short_of_descriptors_ = 0;  // visitors in a row for whom there was none left
    Backoff rests_;
    Clock::time_point rest_until_ = never;
    Backoff tries_{std::chrono::seconds(1)};
    Clock::time_point next_try_ = never;   // to open the wanted door
    Clock::time_point next_look_ = never;  // at the flag, where it can't be watched
    Clock::time_point timer_at_ = never;
    std::error_code trouble_;
};

}  // namespace qbipc::detail
