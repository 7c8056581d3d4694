// SPDX-License-Identifier: BSL-1.0
// detail/timer.hpp: a descriptor that becomes readable at a point in time.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include <qbipc/detail/descriptor.hpp>
#include <qbipc/error.hpp>
#include <qbipc/kernel.hpp>
#include <qbipc/time.hpp>

namespace qbipc::detail {

/// A timerfd on the steady clock. Threads: any.
template <class Kernel>
class Timer {
public:
    static Result<Timer> make() {
        auto fd = BasicDescriptor<>::from(Kernel::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
        if (!fd) return fail(fd.error());
        return Timer(std::move(*fd));
    }

    int fd() const noexcept { return fd_.get(); }

    /// Readable from `at` on; a point that has passed: now. time_point::max(): not at all.
    void alarm(Clock::time_point at) const noexcept {
        itimerspec when{};
        if (at != Clock::time_point::max()) {
            const auto since = std::max<std::chrono::nanoseconds>(at.time_since_epoch(), std::chrono::nanoseconds(1));
            when.it_value.tv_sec = since / std::chrono::seconds(1);
            when.it_value.tv_nsec = (since % std::chrono::seconds(1)).count();
        }
        (void)Kernel::timerfd_settime(fd_.get(), TFD_TIMER_ABSTIME, &when);
    }

    /// The alarm was heard: not readable until the next. False: it hadn't rung.
    bool quiet() const noexcept {
        std::uint64_t count = 0;
        return Kernel::read(fd_.get(), &count, sizeof count) > 0;
    }

private:
    explicit Timer(BasicDescriptor<> fd) noexcept : fd_(std::move(fd)) {}
    BasicDescriptor<> fd_;
};

}  // namespace qbipc::detail
