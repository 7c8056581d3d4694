// SPDX-License-Identifier: BSL-1.0
#include <cstdint>

#include "lane_states.hpp"
#include "support/catch.hpp"

using namespace qbipc::testing;
using namespace qbipc::testing::lane_states;

TEST_CASE("no row of frames leaves both ends of a lane of sixteen lines waiting", "[model]") {
    for (const std::uint64_t window : {16u, 8u, 4u}) {
        CAPTURE(window);
        const Explored found = search({.lines = 16, .largest = 4, .window = window, .step = 2});
        CHECK(found.error.empty());
        CHECK(found.complete);
        CHECK(found.states > 1'000'000);
    }
}
