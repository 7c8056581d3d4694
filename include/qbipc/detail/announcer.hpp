// SPDX-License-Identifier: BSL-1.0
// detail/announcer.hpp: what a client tells the event loop that watches it, once there is one.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <system_error>
#include <utility>

#include <qbipc/detail/calls.hpp>
#include <qbipc/detail/loop_descriptor.hpp>
#include <qbipc/time.hpp>
#include <qbipc/transport.hpp>

namespace qbipc::detail {

/// A client's loop descriptor, made when it is needed first, and what is rung there. The receiving thread's, but for
/// bring_forward().
template <class Kernel>
class Announcer {
public:
    /// For fd(), and for split(), which needs its timer, too. Errors: not_enough_memory, or what the kernel said.
    template <class Descriptors>
    std::error_code make(const Descriptors& watched) {
        if (loop_) return {};
        auto made = LoopDescriptor<Kernel>::make(watched);
        if (!made) return made.error();
        loop_ = std::move(*made);
        shown_.store(loop_.get());
        return {};
    }
    /// After make(): from now on a loop watches. False: it did before.
    bool begin() noexcept { return !std::exchange(begun_, true); }
    bool begun() const noexcept { return begun_; }
    int fd() const noexcept { return loop_->fd(); }

    /// When a wait is to be cut short: for the deadline of a function, where there are functions that may run; and
    /// every 50 ms for a receiving half that split() found no timer for, on which the other half would ring.
    Clock::time_point next_look(Party party, const Calls* functions) const {
        auto at = functions != nullptr && functions->has_functions() ? functions->nearest() : Clock::time_point::max();
        const bool deaf = party == Party::receiver && !loop_;
        return deaf ? std::min(at, Clock::now() + std::chrono::milliseconds(50)) : at;
    }
    /// For waits that a deadline of the other half's is to end; -1 where there is none.
    int timer() const noexcept { return loop_ ? loop_->timer() : -1; }
    void quiet() noexcept { loop_->quiet(); }
    /// The deadline of a call. Threads: any.
    void bring_forward(Clock::time_point at) noexcept {
        if (auto* const loop = shown_.load()) loop->bring_forward(at);
    }

    /// The sending half may bring a deadline forward meanwhile, and set the alarm itself: the nearer one must stay.
    void set_alarm(Clock::time_point at, const Calls& calls) noexcept {
        const bool wanted = at != Clock::time_point::max();
        if (!wanted && !alarm_set_) return;
        alarm_set_ = wanted;
        loop_->alarm(at);
        while (calls.has_functions() && calls.nearest() < at) loop_->alarm(at = calls.nearest());
    }
    void alarm_now() noexcept {
        alarm_set_ = true;
        loop_->bring_forward(Clock::time_point{});
    }

private:
    std::unique_ptr<LoopDescriptor<Kernel>> loop_;
    std::atomic<LoopDescriptor<Kernel>*> shown_{nullptr};  ///< to the sending half, which may be there first
    bool begun_ = false;
    bool alarm_set_ = false;
};

/// Announces again at the end of a scope in which the loop's flags may have been taken down, or something was taken
/// that came in one go with what is left: an exception of a user's function may leave it too.
template <class State>
class Announcing {
public:
    explicit Announcing(State& state) noexcept : state_(state) {}
    Announcing(const Announcing&) = delete;
    Announcing& operator=(const Announcing&) = delete;
    ~Announcing() { state_.announce_again(); }

private:
    State& state_;
};

}  // namespace qbipc::detail
