// SPDX-License-Identifier: BSL-1.0
// wait.hpp: how a waiter passes the time while its lane is empty: it spins, sleeps, or learns which of them pays.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>

#include <qbipc/config.hpp>
#include <qbipc/time.hpp>

namespace qbipc {

/// A wait strategy: a private object of one waiting thread; nothing of it is shared, no word of the peer is trusted.
///
/// - `sleeps`: whether a fruitless spin() is followed by a sleep in the kernel, or only by a look at whether the peer
/// lives.
/// - `spin(ready, limit)`: true once ready() gave true; false when it is time to sleep (or to look), or `limit` has
/// passed.
///   A duration in `limit` becomes a point in time only after probes_per_look failed probes, and the clock is read only
///   once for that many: the waits that matter are shorter than a look at the clock.
/// - `slept(time)`: how long the sleep took that followed.
template <class W>
concept WaitStrategy = std::default_initializable<W> && std::copyable<W> &&
                       requires(W wait, bool (&ready)(), TimeLimit& limit, Clock::duration time) {
                           { W::sleeps } -> std::convertible_to<bool>;
                           { wait.spin(ready, limit) } -> std::same_as<bool>;
                           wait.slept(time);
                       };

namespace detail {

inline constexpr int probes_per_look = 64;

/// Tells the core that it is spinning: it then leaves more of itself to its other hardware thread, and less power is
/// used.
inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();  // <immintrin.h> would double the time of including this header
#elif defined(__aarch64__) || defined(__arm__)
    asm volatile("yield" ::: "memory");
#endif
}

/// Probes until ready(): true; or until `longest` has passed since the first look at the clock, or `limit`: false.
/// The first probes go without a pause: it would be felt in the shortest round trips, 25 of 240 ns.
template <class Ready>
bool spin_for(Ready& ready, TimeLimit& limit, Clock::duration longest) {
    Clock::time_point end{};
    for (bool first = true;; first = false) {
        for (int probe = 0; probe < probes_per_look; ++probe) {
            if (ready()) return true;
            if (!first) pause();
        }
        const auto now = Clock::now();
        if (first) end = std::min(Deadline::after(now, longest), limit.deadline().at());
        if (now >= end) return false;
    }
}

}  // namespace detail

/// Never sleeps: the shortest latency, and a core of its own. Each millisecond without success it lets the transport
/// look whether the peer still lives. A thread that spins at a real-time priority on the peer's only core waits for its
/// deadline.
struct Spin {
    static constexpr bool sleeps = false;

    template <class Ready>
    bool spin(Ready&& ready, TimeLimit& limit) {
        return detail::spin_for(ready, limit, std::chrono::milliseconds(1));
    }
    void slept(Clock::duration) noexcept {}
};

/// Always sleeps: the least processor time, at the price of a wake-up per wait.
struct Block {
    static constexpr bool sleeps = true;

    template <class Ready>
    bool spin(Ready&& ready, TimeLimit&) {
        return ready();
    }
    void slept(Clock::duration) noexcept {}
};

/// Spins for about as long as a sleep costs, and learns: after a spin that brought nothing it sleeps the next time
/// without one, then 3 times, 7 times, up to 255; the first success forgets all that. So it spins while traffic flows,
/// and a peer on the same core, one that was stopped, a slow handler or a processor quota costs it next to nothing.
class Adaptive {
public:
    static constexpr bool sleeps = true;

    template <class Ready>
    bool spin(Ready&& ready, TimeLimit& limit) {
        if (to_skip_ != 0) {
            --to_skip_;
            return ready();
        }
        if (detail::spin_for(ready, limit, cost_)) {
            skipped_ = 0;
            return true;
        }
        skipped_ = std::min(2 * skipped_ + 1, most_skipped);
        to_skip_ = skipped_;
        return false;
    }

    /// The shortest of the recent sleeps is taken for what one costs: the others waited for something besides. The
    /// estimate creeps up by an eighth per longer sleep, so that a machine that became slower is noticed too; and falls
    /// by half at most, for a sleep may have been none: its bell had rung before.
    void slept(Clock::duration time) noexcept {
        cost_ = std::clamp(std::clamp(time, cost_ / 2, cost_ + cost_ / 8), shortest, longest);
    }

    /// How long the next spin may last; for tests and curiosity.
    Clock::duration cost() const noexcept { return cost_; }

private:
    static constexpr unsigned most_skipped = 255;
    static constexpr Clock::duration shortest = std::chrono::microseconds(2);
    static constexpr Clock::duration longest = std::chrono::microseconds(150);

    Clock::duration cost_ = longest;
    unsigned skipped_ = 0;  // how many spins the last failure cost: 0, 1, 3, 7 .. 255
    unsigned to_skip_ = 0;  // of these, still to come
};

static_assert(WaitStrategy<Spin> && WaitStrategy<Block> && WaitStrategy<Adaptive>);

}  // namespace qbipc
