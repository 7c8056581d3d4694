// SPDX-License-Identifier: BSL-1.0
// detail/lane_copy.hpp: how large payloads are copied into a lane: through the caches, or past them where that takes
// much less.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include <qbipc/detail/copy_out.hpp>
#include <qbipc/memory.hpp>
#include <qbipc/time.hpp>

namespace qbipc::detail {

template <class Memory>
concept CopiesPast = requires(void* to, const void* from, std::size_t size) {
    Memory::copy_past(to, from, size);
    Memory::zero_past(to, size);
};

/// Copies payloads into one lane. What was in a lane has been read, so its lines are in the reader's cache, and to
/// write them anew takes each one out of there. Where the two cores share a cache that costs little, and what is
/// written is read from that cache: through the caches is faster. Where they don't it takes ten times as long as the
/// copy itself, and past the caches is faster by far, though the reader then reads from memory (1 MiB there and back:
/// 600 us against 95 far from each other, 72 against 110 near). Which of the two it is isn't told to programs, and
/// changes when the kernel moves one of them; so a little of a large payload is copied either way, now and then, and
/// timed. One thread's.
template <MemoryPolicy Memory>
class LaneCopy : public CopyOut {
public:
    LaneCopy() noexcept : CopyOut(copy_many(), ready_many()) {}

private:
    static constexpr CopyMany copy_many() noexcept {
        if constexpr (CopiesPast<Memory>)
            return [](CopyOut& self, std::byte* to, const std::byte* from, std::size_t size) noexcept {
                static_cast<LaneCopy&>(self).copy(to, from, size);
            };
        else
            return nullptr;
    }
    static constexpr ReadyMany ready_many() noexcept {
        if constexpr (CopiesPast<Memory>)
            return [](CopyOut& self, std::byte* to, std::size_t size) noexcept {
                static_cast<LaneCopy&>(self).sweep(to, size);
            };
        else
            return nullptr;
    }

    /// What is timed, and what is copied at once through the caches: string moves of 8 KiB and more, which is what
    /// memcpy does there, are slower by a quarter on lines that the reader has (AMD, near; 1 MiB there and back: 90 us
    /// against 72).
    static constexpr std::size_t step = std::size_t{4} << 10;
    static constexpr int times_per_sample = 64;
    static_assert(2 * step <= many);

    void copy(std::byte* to, const std::byte* from, std::size_t size) noexcept {
        if (sampling()) {
            judge([&] { Memory::copy_out(to, from, step); }, [&] { Memory::copy_past(to + step, from + step, step); });
            to += 2 * step, from += 2 * step, size -= 2 * step;
        }
        if (past_) return Memory::copy_past(to, from, size);
        for (; size > step; to += step, from += step, size -= step) Memory::copy_out(to, from, step);
        Memory::copy_out(to, from, size);
    }

    /// What the user's function writes goes through the caches: lines that are in none are fetched from memory, which
    /// takes a quarter as long.
    void sweep(std::byte* to, std::size_t size) noexcept {
        if (sampling()) {
            judge([&] { std::memset(to, 0, step); }, [&] { Memory::zero_past(to + step, step); });
            to += 2 * step, size -= 2 * step;
        }
        if (past_) Memory::zero_past(to, size);
    }

    bool sampling() noexcept {
        if (--until_sample_ >= 0) return false;
        until_sample_ = times_per_sample;
        return true;
    }
    /// Past the caches has to be faster by half before it is taken, and by a quarter to stay, for it makes the reader
    /// slower.
    template <class Through, class Past>
    void judge(Through through, Past past) noexcept {
        const auto start = Clock::now();
        through();
        const auto between = Clock::now();
        past();
        const auto end = Clock::now();
        take_in(through_, between - start);
        take_in(past_them_, end - between);
        past_ = 4 * through_ > (past_ ? 5 : 6) * past_them_;
    }

    /// A sample may have been disturbed: it counts for a quarter, and for no more than four times what was usual.
    static void take_in(Clock::duration& usual, Clock::duration taken) noexcept {
        if (usual == Clock::duration{}) usual = taken;
        usual += (std::min(taken, 4 * usual) - usual) / 4;
    }

    bool past_ = false;
    int until_sample_ = 0;
    Clock::duration through_{}, past_them_{};
};

}  // namespace qbipc::detail
