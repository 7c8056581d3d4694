// SPDX-License-Identifier: BSL-1.0
// patience.hpp: how long a test waits for what must come. Where the library is broken on purpose much doesn't come, and
// nobody wants to wait for it as long as on a busy day: ./dev seeded-faults says QBIPC_TEST_PATIENCE, in seconds.
#pragma once

#include <algorithm>
#include <chrono>

namespace qbipc::testing {

constexpr std::chrono::seconds patience_of(std::chrono::seconds usual) noexcept {
#ifdef QBIPC_TEST_PATIENCE
    return std::min(usual, std::chrono::seconds(QBIPC_TEST_PATIENCE));
#else
    return usual;
#endif
}

}  // namespace qbipc::testing
