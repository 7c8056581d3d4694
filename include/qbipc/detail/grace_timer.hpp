// SPDX-License-Identifier: BSL-1.0
// detail/grace_timer.hpp: one timer for all that may last only so long: handshakes, and what lingers.
#pragma once

#include <utility>

#include <qbipc/detail/timer.hpp>
#include <qbipc/error.hpp>
#include <qbipc/time.hpp>

namespace qbipc::detail {

/// Rings when the oldest of those that were told to watch() has had its time.
template <class Kernel>
class GraceTimer {
public:
    static Result<GraceTimer> make(Clock::duration grace) {
        auto timer = Timer<Kernel>::make();
        if (!timer) return fail(timer.error());
        return GraceTimer(std::move(*timer), grace);
    }

    int fd() const noexcept { return timer_.fd(); }

    /// For what began at `since`. A system call only where it is older than all others.
    void watch(Clock::time_point since) noexcept {
        if (oldest_ <= since) return;
        oldest_ = since;
        timer_.alarm(Deadline::after(since, grace_));
    }
    /// It rang: whoever still has time is to be watched anew.
    void rang() noexcept {
        timer_.quiet();
        oldest_ = Clock::time_point::max();
    }
    bool is_over(Clock::time_point since, Clock::time_point now) const noexcept {
        return Deadline::after(since, grace_) <= now;
    }

private:
    GraceTimer(Timer<Kernel> timer, Clock::duration grace) noexcept : timer_(std::move(timer)), grace_(grace) {}

    Timer<Kernel> timer_;
    Clock::duration grace_;
    Clock::time_point oldest_ = Clock::time_point::max();
};

}  // namespace qbipc::detail
