// SPDX-License-Identifier: BSL-1.0
// effort.hpp: how often a test does what it does: a short form for every day, a long one where QBIPC_TEST_FULL is set.
#pragma once

#include <cstdlib>

namespace qbipc::testing {

inline int effort(int daily, int full) { return std::getenv("QBIPC_TEST_FULL") != nullptr ? full : daily; }

}  // namespace qbipc::testing
