// SPDX-License-Identifier: BSL-1.0
// detail/stream_rest.hpp: who takes a stream of messages faster than it comes rests now and then, and takes it in
// batches.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <utility>

#include <qbipc/time.hpp>
#include <qbipc/wait.hpp>

namespace qbipc::detail {

/// Whether a transport's waits are such that a rest is of use: they spin, on lanes, but not for the last of latency.
template <class T>
inline constexpr bool may_rest = requires {
    requires T::looks_are_cheap;
    requires T::Wait::sleeps;
    requires !std::same_as<typename T::Wait, Block>;
};

/// Whether to rest before the next look at an empty lane, and how long.
///
/// A reader right behind its writer fetches each line while the writer still needs it: both miss it, and a stream of
/// small messages goes at 20 M/s where 60 are possible. A reader that stays away for a moment finds many, which both
/// sides then have for less than a miss each. So after many messages that nobody waits for an answer to, a rest of 2 us
/// is tried. While rests bring what such a stream would (4 messages a microsecond), they grow to 16 us; one that
/// doesn't ends them until as many messages have come again. One thread's.
class StreamRest {
public:
    static constexpr std::size_t try_after = 256;  ///< messages
    static constexpr Clock::duration shortest = std::chrono::microseconds(2), longest = std::chrono::microseconds(16);
    static constexpr std::size_t per_shortest = 8;  ///< messages that a rest must bring for each `shortest` of it

    /// So many messages were taken, and nobody waits for an answer to any of them.
    void took(std::size_t messages) noexcept { found_ += messages; }
    /// Their lane is empty now.
    void emptied() noexcept {
        const std::size_t found = std::exchange(found_, 0);
        if (!std::exchange(rested_, false))
            streak_ = std::min(streak_ + found, try_after);
        else if (found >= per_shortest * static_cast<std::size_t>(length_ / shortest))
            length_ = std::min(2 * length_, longest);
        else
            answered();
    }
    /// Somebody waits for an answer: no rest.
    void answered() noexcept {
        found_ = streak_ = 0;
        length_ = shortest;
        rested_ = false;
    }

    bool due() const noexcept { return streak_ == try_after && !rested_; }
    Clock::duration length() const noexcept { return length_; }
    void rest() noexcept {
        for (const auto end = Clock::now() + length_; Clock::now() < end;)
            for (int i = 0; i < 16; ++i) pause();
        rested_ = true;
    }

private:
    std::size_t found_ = 0;              ///< messages taken since the lane was empty
    std::size_t streak_ = 0;             ///< messages taken since a rest was of no use, up to try_after
    Clock::duration length_ = shortest;  ///< of the next rest
    bool rested_ = false;                ///< since something was taken last
};

}  // namespace qbipc::detail
