// SPDX-License-Identifier: BSL-1.0
// layout.hpp: where everything lies in the two areas that a session over ShmRing shares, as numbers.
//
// Every shared byte has one writer. The service writes the service's area: its words, the responses lane, the events
// lane; the client can only read it. The client writes the client's area: its words, the requests lane. Nothing here
// depends on the compiler's opinion of a cache line: both sides may have been built by different ones.
#pragma once

#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>

#include <qbipc/frame.hpp>

namespace qbipc::detail {

/// The grain of a lane: frames begin on a line, credit is counted in whole lines. Bytes.
inline constexpr std::uint64_t line = 64;
/// Distance of two shared words: adjacent-line prefetch makes pairs of lines travel together.
inline constexpr std::uint64_t word_stride = 128;
/// An area begins with a page of words; its lanes follow.
inline constexpr std::uint64_t area_header = 4096;
/// A sender whose frames are taken in time stays within this much of its lane, so that small traffic stays small.
inline constexpr std::uint64_t lane_window = std::uint64_t{64} << 10;
/// The same for frames that are large beside lane_window.
inline constexpr std::uint64_t large_window = std::uint64_t{4} << 20;
/// A writer's memory is populated in steps of this much.
inline constexpr std::uint64_t populate_step = std::uint64_t{64} << 10;
inline constexpr std::uint64_t min_lane = std::uint64_t{64} << 10;
/// Beyond it a quarter of the lane would not fit the 24 bits of a frame's size.
inline constexpr std::uint64_t max_lane = std::uint64_t{64} << 20;

/// What a frame with this payload occupies: header and payload, in whole lines.
constexpr std::uint64_t frame_span(std::uint64_t payload) noexcept {
    return (payload + header_size + line - 1) & ~(line - 1);
}

/// The first word of a wrap marker: "the lane goes on at its start". All other bits are zero.
inline constexpr std::uint64_t wrap_marker = Header{.kind = Kind::wrap}.first_word();

/// A lane's numbers, all in bytes; the same on both sides. Only size travels in the handshake. Made by of(); tests make
/// smaller ones.
struct LaneShape {
    std::uint64_t size = 0;    ///< a power of two
    std::uint64_t window = 0;  ///< the sender returns to the start early once it is past this much
    std::uint64_t step = 0;    ///< the receiver shows its credit at least each time it has taken this much
    std::uint64_t largest =
        0;  ///< the largest span of one frame; more than a quarter of the lane could be refused for ever
    std::uint64_t wide = 0;  ///< as window, where frames are large; none if it is less

    static constexpr LaneShape of(std::uint64_t size) noexcept {
        assert(std::has_single_bit(size) && size >= min_lane && size <= max_lane);
        return {size, lane_window, size / 8 < lane_window / 4 ? size / 8 : lane_window / 4, size / 4, large_window};
    }
    /// The largest payload of one frame.
    constexpr std::uint64_t max_payload() const noexcept { return largest - header_size; }
    friend constexpr bool operator==(const LaneShape&, const LaneShape&) noexcept = default;
};

/// The wanted size, rounded up to what a lane may have: the nearest power of two between min_lane and max_lane.
constexpr std::uint64_t lane_size_for(std::uint64_t wanted) noexcept {
    if (wanted <= min_lane) return min_lane;
    return wanted >= max_lane ? max_lane : std::bit_ceil(wanted);
}

/// The service's area: written by the service, read by the client.
struct ServiceArea {
    // Words, each alone on its pair of lines: offset from the area's beginning, and who reads it.
    static constexpr std::uint64_t requests_credit = 0 * word_stride;       ///< the client, to find room for requests
    static constexpr std::uint64_t requests_asleep = 1 * word_stride;       ///< the client, after a request
    static constexpr std::uint64_t responses_wants_room = 2 * word_stride;  ///< the client, after showing credit
    static constexpr std::uint64_t events_wants_room = 3 * word_stride;     ///< the client, after showing credit

    std::uint64_t responses_size = 0;
    std::uint64_t events_size = 0;

    static constexpr std::uint64_t responses() noexcept { return area_header; }
    constexpr std::uint64_t events() const noexcept { return area_header + responses_size; }
    constexpr std::uint64_t size() const noexcept { return area_header + responses_size + events_size; }
};

/// The client's area: written by the client, read by the service.
struct ClientArea {
    static constexpr std::uint64_t responses_credit = 0 * word_stride;     ///< the service, to find room for responses
    static constexpr std::uint64_t events_credit = 1 * word_stride;        ///< the service, to find room for events
    static constexpr std::uint64_t responses_asleep = 2 * word_stride;     ///< the service, after a response
    static constexpr std::uint64_t events_asleep = 3 * word_stride;        ///< the service, after an event
    static constexpr std::uint64_t requests_wants_room = 4 * word_stride;  ///< the service, after showing credit

    std::uint64_t requests_size = 0;

    static constexpr std::uint64_t requests() noexcept { return area_header; }
    constexpr std::uint64_t size() const noexcept { return area_header + requests_size; }
};

static_assert(line == 64 && word_stride == 128 && area_header == 4096 && header_size == 16,
              "the shared layout is fixed: see docs/wire.md");
static_assert(wrap_marker == 0x8'0000'0000);
static_assert(ServiceArea::events_wants_room + word_stride <= area_header &&
              ClientArea::requests_wants_room + word_stride <= area_header);
static_assert(frame_span(0) == 64 && frame_span(48) == 64 && frame_span(49) == 128);
static_assert(LaneShape::of(min_lane) == LaneShape{65536, 65536, 8192, 16384, large_window});
static_assert(LaneShape::of(std::uint64_t{4} << 20) == LaneShape{4194304, 65536, 16384, 1048576, large_window});
static_assert(LaneShape::of(max_lane).max_payload() <= max_frame_size);
static_assert(ServiceArea{65536, 131072}.events() == 69632 && ServiceArea{65536, 131072}.size() == 200704);
static_assert(ClientArea{65536}.size() == 69632);

}  // namespace qbipc::detail
