// SPDX-License-Identifier: BSL-1.0
// time.hpp: how long a wait may last: a duration, a point in time, or for ever, spelled out.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>

#include <qbipc/config.hpp>

namespace qbipc {

using Clock = std::chrono::steady_clock;

/// Asks for a wait without an end. The peer's death still ends it.
struct Forever {};
inline constexpr Forever forever{};

/// A point on the steady clock until which waits may last; one Deadline covers several waits.
/// Made from a duration it lies that far after now; durations too long for the clock mean for ever.
class Deadline {
public:
    constexpr Deadline(Forever) noexcept : at_(Clock::time_point::max()) {}
    constexpr Deadline(Clock::time_point at) noexcept : at_(at) {}
    template <class Rep, class Period>
    Deadline(std::chrono::duration<Rep, Period> from_now) : at_(after(Clock::now(), from_now)) {}

    constexpr Clock::time_point at() const noexcept { return at_; }
    constexpr bool is_forever() const noexcept { return at_ == Clock::time_point::max(); }
    bool passed() const noexcept { return !is_forever() && Clock::now() >= at_; }

    /// Time left, never below zero; nanoseconds::max() for ever.
    Clock::duration left() const noexcept {
        if (is_forever()) return Clock::duration::max();
        const auto now = Clock::now();
        return now >= at_ ? Clock::duration::zero() : at_ - now;
    }

    friend constexpr bool operator==(const Deadline&, const Deadline&) = default;
    friend constexpr auto operator<=>(const Deadline&, const Deadline&) = default;

    /// start + span, saturating in both directions.
    template <class Rep, class Period>
    static constexpr Clock::time_point after(Clock::time_point start,
                                             std::chrono::duration<Rep, Period> span) noexcept {
        using Seconds = std::chrono::duration<double>;
        const auto room = Clock::time_point::max() - start;
        if (std::chrono::duration_cast<Seconds>(span) >= std::chrono::duration_cast<Seconds>(room))
            return Clock::time_point::max();
        if (span <= std::chrono::duration<Rep, Period>::zero()) return start;
        return start + std::chrono::duration_cast<Clock::duration>(span);
    }

private:
    Clock::time_point at_;
};

/// What functions that wait take: a duration, a Deadline or `forever`. A duration becomes a point in time only when
/// a wait first asks for it, because a look at the clock costs as much as a short wait lasts.
class TimeLimit {
public:
    constexpr TimeLimit(Forever) noexcept : at_(Clock::time_point::max()) {}
    constexpr TimeLimit(Deadline deadline) noexcept : at_(deadline.at()) {}
    constexpr TimeLimit(Clock::time_point at) noexcept : at_(at) {}
    template <class Rep, class Period>
    constexpr TimeLimit(std::chrono::duration<Rep, Period> span) noexcept
        : span_(Deadline::after(Clock::time_point{}, span).time_since_epoch()), relative_(true) {}

    /// Never right.
    template <std::integral Number>
    constexpr TimeLimit(Number) noexcept {
        static_assert(!std::integral<Number>,
                      "a time limit is a duration: 100ms, not 100 (using namespace std::chrono_literals)");
    }

    /// The point in time; the first call fixes it.
    Deadline deadline() noexcept {
        if (relative_) {
            at_ = Deadline::after(Clock::now(), span_);
            relative_ = false;
        }
        return at_;
    }

    /// Whether no waiting at all is allowed; doesn't look at the clock.
    constexpr bool is_zero() const noexcept { return relative_ && span_ == Clock::duration::zero(); }

private:
    Clock::time_point at_{};
    Clock::duration span_{};
    bool relative_ = false;
};

}  // namespace qbipc
