// SPDX-License-Identifier: BSL-1.0
#include "lane_model.hpp"
#include "support/catch.hpp"

using namespace qbipc::testing;

TEST_CASE("a lane and its two sleepers hold on a weak memory: three frames", "[model]") {
    const Explored found = lane_model::search(3, lane_model::Fault::none);
    CHECK(found.error.empty());
    CHECK(found.complete);
    CHECK(found.states > 1'000'000);
}
