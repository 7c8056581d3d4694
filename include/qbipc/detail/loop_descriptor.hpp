// SPDX-License-Identifier: BSL-1.0
// detail/loop_descriptor.hpp: a client's one descriptor for event loops: its sockets, and a timer that is its
// self-bell.
#pragma once

#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/fork_guard.hpp>
#include <qbipc/detail/timer.hpp>
#include <qbipc/error.hpp>
#include <qbipc/kernel.hpp>
#include <qbipc/time.hpp>

namespace qbipc::detail {

/// An epoll descriptor over what announces frames and over one timer. Threads: any.
template <class Kernel>
class LoopDescriptor {
public:
    template <class Descriptors>
    static Result<std::unique_ptr<LoopDescriptor>> make(const Descriptors& watched) try {
        auto epoll = BasicDescriptor<>::from(Kernel::epoll_create1(EPOLL_CLOEXEC));
        if (!epoll) return fail(epoll.error());
        auto timer = Timer<Kernel>::make();
        if (!timer) return fail(timer.error());
        // A child shares the timer with its parent, whose loop it must leave alone.
        const auto guard = ForkGuard::here<Kernel>();
        if (!guard) return fail(guard.error());
        const auto add = [&](int fd) {
            if (fd < 0) return fd;  // -errno
            epoll_event event{EPOLLIN, {.fd = fd}};
            return Kernel::epoll_ctl(epoll->get(), EPOLL_CTL_ADD, fd, &event);
        };
        if (const int error = add(timer->fd()); error < 0) return fail_system(-error);
        for (const int fd : watched)
            if (const int error = add(fd); error < 0) return fail_system(-error);
        return std::unique_ptr<LoopDescriptor>(new LoopDescriptor(std::move(*epoll), std::move(*timer), *guard));
    } catch (const std::bad_alloc&) {
        return no_memory();
    }

    int fd() const noexcept { return epoll_.get(); }
    int timer() const noexcept { return timer_.fd(); }

    /// As Timer::alarm(): the deadline of a call, or now for work that was left behind and nobody else announces.
    void alarm(Clock::time_point at) noexcept {
        if (guard_.forked()) return;
        const std::lock_guard lock(mutex_);
        timer_.alarm(at_ = at);
    }
    /// As alarm(), unless it rings before that anyway: setting it anew would silence what is announced already.
    void bring_forward(Clock::time_point at) noexcept {
        if (guard_.forked()) return;
        const std::lock_guard lock(mutex_);
        if (at < at_) timer_.alarm(at_ = at);
    }
    /// What was due is taken: not readable until the next. A system call only where something was.
    void quiet() noexcept {
        if (guard_.forked()) return;
        const std::lock_guard lock(mutex_);
        if (at_ == Clock::time_point::max() || at_ > Clock::now()) return;
        if (!timer_.quiet()) timer_.alarm(Clock::time_point::max());  // due, and not rung yet
        at_ = Clock::time_point::max();
    }

private:
    LoopDescriptor(BasicDescriptor<> epoll, Timer<Kernel> timer, ForkGuard guard) noexcept
        : epoll_(std::move(epoll)), timer_(std::move(timer)), guard_(guard) {}

    BasicDescriptor<> epoll_;
    Timer<Kernel> timer_;
    ForkGuard guard_;
    std::mutex mutex_;  ///< over the timer: a sending half sets it too
    Clock::time_point at_ = Clock::time_point::max();
};

}  // namespace qbipc::detail
