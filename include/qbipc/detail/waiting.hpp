// SPDX-License-Identifier: BSL-1.0
// waiting.hpp: waits that end at a Deadline, whatever signals come in between; and the pauses between attempts.
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <poll.h>
#include <utility>

#include <qbipc/kernel.hpp>
#include <qbipc/time.hpp>

namespace qbipc::detail {

/// A duration as the kernel takes it, never below zero.
inline timespec to_timespec(Clock::duration span) noexcept {
    const auto nanoseconds =
        std::max(std::chrono::duration_cast<std::chrono::nanoseconds>(span).count(), std::int64_t{0});
    return {static_cast<std::time_t>(nanoseconds / 1'000'000'000), static_cast<long>(nanoseconds % 1'000'000'000)};
}

/// Time left by Kernel's clock; zero when the deadline has passed.
template <class Kernel = LinuxKernel>
Clock::duration left(Deadline deadline) noexcept {
    if (deadline.is_forever()) return Clock::duration::max();
    const auto now = Kernel::now();
    return now >= deadline.at() ? Clock::duration::zero() : deadline.at() - now;
}

/// Polls until something is ready or the deadline has passed: how many are ready, 0 at the deadline, or -errno.
template <class Kernel = LinuxKernel>
int poll_until(pollfd* descriptors, std::size_t count, Deadline deadline) noexcept {
    for (;;) {
        timespec rest{};
        if (!deadline.is_forever()) rest = to_timespec(left<Kernel>(deadline));
        const int ready = Kernel::ppoll(descriptors, count, deadline.is_forever() ? nullptr : &rest);
        if (ready != -EINTR) return ready;
    }
}

/// Sleeps for `span`, or until the deadline if that is earlier. A signal may end it early: callers look again anyway.
template <class Kernel = LinuxKernel>
void pause_until(Deadline deadline, Clock::duration span) noexcept {
    Kernel::sleep(to_timespec(std::min(span, left<Kernel>(deadline))));
}

/// How long a client looks for a service that isn't there, unless it was told to wait.
inline constexpr auto patience_with_absence = std::chrono::milliseconds(50);

/// Pauses between attempts: 1, 2, 4 ... ms, up to the longest.
class Backoff {
public:
    explicit constexpr Backoff(Clock::duration longest = std::chrono::milliseconds(50)) noexcept : longest_(longest) {}

    Clock::duration next() noexcept { return std::exchange(pause_, std::min(pause_ * 2, longest_)); }
    void reset() noexcept { pause_ = shortest; }

    static constexpr Clock::duration shortest = std::chrono::milliseconds(1);

private:
    Clock::duration longest_;
    Clock::duration pause_ = shortest;
};

}  // namespace qbipc::detail
