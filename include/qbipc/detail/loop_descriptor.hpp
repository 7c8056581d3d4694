// SPDX-License-Identifier: BSL-1.0
// detail/loop_descriptor.hpp: a client's one descriptor for event loops: its sockets, and a timer that is its self-bell too.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>

#include <qbipc/detail/descriptor.hpp>
#include <qbipc/error.hpp>
#include <qbipc/kernel.hpp>
#include <qbipc/time.hpp>

namespace qbipc::detail {

/// An epoll descriptor over what announces frames and over one timerfd. Threads: alarm() and bring_forward() any.
class LoopDescriptor {
    using Kernel = LinuxKernel;

public:
    template <class Descriptors>
    static Result<std::unique_ptr<LoopDescriptor>> make(const Descriptors& watched) {
        auto epoll = BasicDescriptor<>::from(Kernel::epoll_create1(EPOLL_CLOEXEC));
        if (!epoll) return fail(epoll.error());
        auto timer = BasicDescriptor<>::from(Kernel::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
        if (!timer) return fail(timer.error());
        const auto add = [&](int fd) {
            epoll_event event{EPOLLIN, {.fd = fd}};
            return Kernel::epoll_ctl(epoll->get(), EPOLL_CTL_ADD, fd, &event);
        };
        if (const int error = add(timer->get()); error < 0) return fail_system(-error);
        for (const int fd : watched)
            if (const int error = add(fd); error < 0) return fail_system(-error);
        return std::unique_ptr<LoopDescriptor>(new LoopDescriptor(std::move(*epoll), std::move(*timer)));
    }

    int fd() const noexcept { return epoll_.get(); }
    int timer() const noexcept { return timer_.get(); }

    /// Readable from `at` on; a point that has passed: now. time_point::max(): not at all.
    void alarm(Clock::time_point at) noexcept {
        itimerspec when{};
        if (at != Clock::time_point::max()) {
            const auto since = std::max<std::chrono::nanoseconds>(at.time_since_epoch(), std::chrono::nanoseconds(1));
            when.it_value.tv_sec = since / std::chrono::seconds(1);
            when.it_value.tv_nsec = (since % std::chrono::seconds(1)).count();
        }
        (void)Kernel::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when);
    }
    /// Readable now: work was left behind that nobody else will announce.
    void alarm_now() noexcept { alarm(Clock::time_point{}); }

    /// The announcement was heard.
    void quiet() noexcept {
        std::uint64_t count = 0;
        (void)Kernel::read(timer_.get(), &count, sizeof count);
    }

private:
    LoopDescriptor(BasicDescriptor<> epoll, BasicDescriptor<> timer) noexcept : epoll_(std::move(epoll)), timer_(std::move(timer)) {}

    BasicDescriptor<> epoll_;
    BasicDescriptor<> timer_;
};

}  // namespace qbipc::detail
