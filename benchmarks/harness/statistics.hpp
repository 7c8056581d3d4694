// SPDX-License-Identifier: BSL-1.0
// statistics.hpp: medians and percentiles, and the time of something done over and over.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "clock.hpp"

namespace bench {

/// The value below which the share `q` of the sorted values lies.
template <class T>
T percentile(const std::vector<T>& sorted, double q) {
    return sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1))];
}

template <class T>
T median(std::vector<T> values) {
    std::sort(values.begin(), values.end());
    return percentile(values, 0.5);
}

/// Runs `once` for about a fifth of `seconds`, and gives how often it runs in a millisecond, or in a fiftieth of
/// `seconds` where that is shorter.
template <class Once>
std::uint64_t warm_up(Once& once, double seconds) {
    const double wanted = std::min(1e6, seconds * 1e9 / 50);
    const std::uint64_t end = now_ns() + ns_of(seconds / 5);
    for (std::uint64_t batch = 1;;) {
        const std::uint64_t started = now_ns();
        for (std::uint64_t i = 0; i < batch; ++i) once();
        const std::uint64_t ended = now_ns();
        const double each =
            static_cast<double>(std::max<std::uint64_t>(ended - started, 1)) / static_cast<double>(batch);
        const auto fits = std::max<std::uint64_t>(static_cast<std::uint64_t>(wanted / each), 1);
        if (ended >= end) return fits;
        batch = std::min(2 * batch, fits);
    }
}

/// The median over batches of the nanoseconds that one `once` takes.
template <class Once>
double median_ns(Once&& once, double seconds) {
    const std::uint64_t batch = warm_up(once, seconds);
    std::vector<double> each;
    std::uint64_t started = now_ns();
    for (const std::uint64_t end = started + ns_of(seconds); started < end;) {
        for (std::uint64_t i = 0; i < batch; ++i) once();
        const std::uint64_t ended = now_ns();
        each.push_back(static_cast<double>(ended - started) / static_cast<double>(batch));
        started = ended;
    }
    return median(std::move(each));
}

/// The sorted nanoseconds of every single `once`.
template <class Once>
std::vector<std::uint32_t> every_ns(Once&& once, double seconds) {
    (void)warm_up(once, seconds);
    constexpr std::size_t most = std::size_t{1} << 23;
    std::vector<std::uint32_t> all(most);  // touched before, so that no page is made while it is measured
    std::size_t count = 0;
    std::uint64_t started = now_ns();
    for (const std::uint64_t end = started + ns_of(seconds); started < end && count < most;) {
        once();
        const std::uint64_t ended = now_ns();
        all[count++] = static_cast<std::uint32_t>(std::min<std::uint64_t>(ended - started, UINT32_MAX));
        started = now_ns();
    }
    all.resize(count);
    std::sort(all.begin(), all.end());
    return all;
}

}  // namespace bench
