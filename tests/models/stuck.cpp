// SPDX-License-Identifier: BSL-1.0
#include <cstdint>

#include "lane_states.hpp"
#include "support/catch.hpp"

using namespace qbipc::testing;
using namespace qbipc::testing::lane_states;

namespace {

/// The largest frame that is never refused for ever, in lines, up to `most`.
std::uint64_t largest_safe(Rules rules, std::uint64_t most) {
    for (rules.largest = 1; rules.largest <= most; ++rules.largest) {
        const Explored found = search(rules);
        if (!found.error.empty()) {
            CHECK(found.error == "stuck");
            break;
        }
    }
    return rules.largest - 1;
}

}  // namespace

TEST_CASE("no row of frames up to a quarter of the lane leaves both ends waiting", "[model]") {
    for (const std::uint64_t window : {8u, 4u, 2u}) {
        CAPTURE(window);
        const Explored found = search({.window = window});
        CHECK(found.error.empty());
        CHECK(found.complete);
        CHECK(found.states > 1000);
    }
}

TEST_CASE("each rule against a stuck lane is seen to matter", "[model]") {
    // In lines of eight. A quarter is safe, with a margin of as much again.
    CHECK(largest_safe({}, 8) == 4);
    CHECK(largest_safe({.step = 2}, 8) == 4);
    // Credit at its steps only: less, the larger the step.
    CHECK(largest_safe({.step = 2, .credit_between_steps = false}, 8) < 4);
    // Were frames to grow beyond a half, a lone marker would have to wake the reader, and it could not be left out.
    CHECK(largest_safe({.marker_wakes = true}, 8) == 7);
    CHECK(largest_safe({.lone_marker = false, .marker_wakes = true}, 8) == 4);
}
