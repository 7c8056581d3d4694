// SPDX-License-Identifier: BSL-1.0
// scheduled_memory.hpp: the World as lanes and bells see it, whole or with one of their operations weakened.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <qbipc/detail/layout.hpp>
#include <qbipc/memory.hpp>

#include "world.hpp"

namespace qbipc::testing {

/// What of it is broken. Each is a step that the protocol rests on, taken away from outside of the shipped code.
enum class Weakened : std::uint8_t {
    nothing,
    next_is_not_cleared,      ///< zero is never stored into a lane
    next_is_cleared_late,     ///< but only after the frame was published
    frames_are_not_released,  ///< the first word is stored relaxed
    frames_are_not_acquired,  ///< and loaded relaxed
    credit_is_not_released,   ///< the same of the credit
    credit_is_not_acquired,
    no_fence_after_frame,  ///< between a frame, or credit, and the look at the flag
    no_fence_after_credit,
    no_fence_before_sleep,  ///< between arming and the last look
    no_fence_before_waiting_for_room,
    flag_is_lost,             ///< arming stores nothing
    payload_is_written_late,  ///< after the frame was published
};

/// Which fence of the owner's comes next.
enum class Fence : std::uint8_t { after_frame, after_credit, before_sleep, before_waiting_for_room };

struct ScheduledMemory {
    static inline Weakened weakened = Weakened::nothing;
    static inline Fence next_fence = Fence::after_frame;
    static inline const std::byte* lane = nullptr;  ///< where it lies; what isn't in it is a word for credit or a flag
    static inline std::uint64_t lane_size = 0;
    static inline const std::uint64_t* credit = nullptr;

    static void reset(Weakened what) {
        weakened = what;
        late_ = nullptr;
        late_payloads_ = 0;
    }

    static std::uint64_t load_acquire(const std::uint64_t* word) noexcept {
        const bool weak = in_lane(word) ? weakened == Weakened::frames_are_not_acquired
                                        : word == credit && weakened == Weakened::credit_is_not_acquired;
        return World::current->load(word, weak ? Order::relaxed : Order::synchronizing);
    }
    static std::uint64_t load_relaxed(const std::uint64_t* word) noexcept {
        return World::current->load(word, Order::relaxed);
    }
    static void store_release(std::uint64_t* word, std::uint64_t value) noexcept {
        const bool weak = in_lane(word) ? weakened == Weakened::frames_are_not_released
                                        : word == credit && weakened == Weakened::credit_is_not_released;
        World::current->store(word, value, weak ? Order::relaxed : Order::synchronizing);
        if (in_lane(word)) store_late_ones();
    }
    static void store_relaxed(std::uint64_t* word, std::uint64_t value) noexcept {
        if (in_lane(word) && value == 0) {
            if (weakened == Weakened::next_is_not_cleared) return;
            if (weakened == Weakened::next_is_cleared_late) {
                if (late_ != nullptr) World::current->store(late_, 0, Order::relaxed);
                late_ = word;
                return;
            }
        }
        if (!in_lane(word) && value != 0 && weakened == Weakened::flag_is_lost) return;
        World::current->store(word, value, Order::relaxed);
    }
    static void fence() noexcept {
        const bool without =
            (weakened == Weakened::no_fence_after_frame && next_fence == Fence::after_frame) ||
            (weakened == Weakened::no_fence_after_credit && next_fence == Fence::after_credit) ||
            (weakened == Weakened::no_fence_before_sleep && next_fence == Fence::before_sleep) ||
            (weakened == Weakened::no_fence_before_waiting_for_room && next_fence == Fence::before_waiting_for_room);
        if (without)
            World::current->no_fence();
        else
            World::current->fence();
    }
    /// What a copy brings is looked at where it is copied: see World::copy().
    static void copy_in(void*, const void*, std::size_t) noexcept {}
    static void copy_out(void* to, const void* from, std::size_t size) noexcept {
        for (std::size_t i = 0; i < size; i += 8) {
            std::uint64_t value = 0;
            std::memcpy(&value, static_cast<const std::byte*>(from) + i, 8);
            auto* const word = reinterpret_cast<std::uint64_t*>(static_cast<std::byte*>(to) + i);
            if (weakened == Weakened::payload_is_written_late && late_payloads_ < payloads_.size())
                payloads_[late_payloads_++] = {word, value};
            else
                World::current->overwrite(word, value);
        }
    }

private:
    struct Late {
        std::uint64_t* word;
        std::uint64_t value;
    };

    static bool in_lane(const std::uint64_t* word) noexcept {
        const auto* const byte = reinterpret_cast<const std::byte*>(word);
        return byte >= lane && byte < lane + lane_size;
    }
    static void store_late_ones() noexcept {
        if (late_ != nullptr) World::current->store(std::exchange(late_, nullptr), 0, Order::relaxed);
        for (std::size_t i = 0; i < late_payloads_; ++i)
            World::current->overwrite(payloads_[i].word, payloads_[i].value);
        late_payloads_ = 0;
    }

    static inline std::uint64_t* late_ = nullptr;
    static inline std::array<Late, 16> payloads_{};
    static inline std::size_t late_payloads_ = 0;
};
static_assert(MemoryPolicy<ScheduledMemory>);

}  // namespace qbipc::testing
