// SPDX-License-Identifier: BSL-1.0
#include "weak_memory.hpp"

#include "lane_model.hpp"
#include "split_model.hpp"
#include "support/catch.hpp"

using namespace qbipc::testing;

TEST_CASE("a lane and its two sleepers hold on a weak memory: two frames", "[model]") {
    const Explored found = lane_model::search(2, lane_model::Fault::none);
    CHECK(found.error.empty());
    CHECK(found.complete);
    CHECK(found.states > 10000);
}

TEST_CASE("each ordering that a lane rests on is seen to matter", "[model]") {
    using lane_model::Fault;
    const auto found = [](Fault fault, unsigned first_row = 0) {
        return lane_model::search(3, fault, first_row).error;
    };
    CHECK(found(Fault::next_not_cleared) == "a stale or foreign word was taken for a frame");
    CHECK(found(Fault::cleared_after_commit) == "a stale or foreign word was taken for a frame");
    CHECK(found(Fault::cleared_ahead_is_trusted, 6) == "the payload of another frame was read");
    CHECK(found(Fault::commit_is_relaxed) == "the payload of another frame was read");
    CHECK(found(Fault::no_fence_after_commit) == "receiver asleep for ever");
    CHECK(found(Fault::no_fence_before_sleep) == "receiver asleep for ever");
    CHECK(found(Fault::no_second_look) == "receiver asleep for ever");
    CHECK(found(Fault::credit_wakes_nobody) == "both asleep");
    CHECK(found(Fault::credit_after_fence) == "both asleep");
}

TEST_CASE("the two halves of a split client sleep side by side", "[model]") {
    const Explored found = split_model::search(split_model::Fault::none);
    CHECK(found.error.empty());
    CHECK(found.complete);
    CHECK(found.states > 1000);
}

TEST_CASE("each rule of the two sleepers of a split client is seen to matter", "[model]") {
    using split_model::Fault;
    const auto found = [](Fault fault) { return split_model::search(fault).error; };
    CHECK(found(Fault::one_bell) == "asleep for ever");
    CHECK(found(Fault::no_fence_after_credit) == "asleep for ever");
    CHECK(found(Fault::no_fence_after_answer) == "asleep for ever");
    CHECK(found(Fault::no_fence_before_sleep) == "asleep for ever");
    CHECK(found(Fault::generation_stands_still) == "asleep for ever");
}
