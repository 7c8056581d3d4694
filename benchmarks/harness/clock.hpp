// SPDX-License-Identifier: BSL-1.0
// clock.hpp: the one clock of all measurements.
#pragma once

#include <chrono>
#include <cstdint>

namespace bench {

inline std::uint64_t now_ns() {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count());
}

inline constexpr std::uint64_t ns_of(double seconds) { return static_cast<std::uint64_t>(seconds * 1e9); }

}  // namespace bench
