// SPDX-License-Identifier: BSL-1.0
// boundaries.hpp: the numbers at which checks of lengths, offsets and counters go wrong.
#pragma once

#include <array>
#include <cstdint>

#include <qbipc/detail/layout.hpp>

namespace qbipc::fuzz {

/// Of the smallest lane, which the fuzz targets use.
inline constexpr std::uint64_t lane_size = detail::min_lane;
inline constexpr std::uint64_t largest_payload = detail::LaneShape::of(lane_size).max_payload();

constexpr std::uint64_t power(unsigned exponent) noexcept { return std::uint64_t{1} << exponent; }

inline constexpr std::array boundary_values = std::to_array<std::uint64_t>({
    0,
    1,
    2,
    7,
    8,
    15,
    16,
    17,
    47,
    48,
    49,
    63,
    64,
    65,
    128,
    255,
    256,
    largest_payload - 1,
    largest_payload,
    largest_payload + 1,
    lane_size / 4,
    lane_size - 64,
    lane_size - 1,
    lane_size,
    lane_size + 1,
    lane_size + 64,
    power(20) + 1,
    power(24) - 1,
    power(24),
    power(24) + 1,
    power(31) - 1,
    power(31),
    power(31) + 1,
    power(32) - 1,
    power(32),
    power(32) + 1,
    detail::wrap_marker,
    detail::wrap_marker + 1,
    power(63) - 1,
    power(63),
    power(63) + 1,
    ~std::uint64_t{0} - 63,
    ~std::uint64_t{0} - 1,
    ~std::uint64_t{0},
});
static_assert(boundary_values.size() >= 40);

}  // namespace qbipc::fuzz
