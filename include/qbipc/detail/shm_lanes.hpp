// SPDX-License-Identifier: BSL-1.0
// detail/shm_lanes.hpp: what belongs to one lane at either of its ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <system_error>

#include <qbipc/detail/bell.hpp>
#include <qbipc/detail/lane_copy.hpp>
#include <qbipc/detail/lane_reader.hpp>
#include <qbipc/detail/lane_writer.hpp>
#include <qbipc/memory.hpp>

namespace qbipc::detail {

/// An incoming lane: its frames, the flag that says "wake me for frames", and the sender's that says "wake me for
/// room". The two halves of a split client are two threads: aligned, so that they share no line.
template <MemoryPolicy Memory>
struct alignas(64) ReceivingLane {
    LaneReader<Memory> reader;
    std::uint64_t at = 0;  ///< where the lane begins in its area
    Sleeper<Memory> asleep;
    Ringer<Memory> wants_room;
};

/// An outgoing lane: its frames, the receiver's flag that says "wake me for frames", and the own that says "for room".
template <MemoryPolicy Memory>
struct alignas(64) SendingLane {
    LaneWriter<Memory> writer;
    Ringer<Memory> asleep;
    Sleeper<Memory> wants_room;
    LaneCopy<Memory> copy;
    std::uint64_t at = 0;     ///< the lane's place in its area
    std::size_t wanted = 0;   ///< what found no room last
    std::error_code refused;  ///< why
};

}  // namespace qbipc::detail
