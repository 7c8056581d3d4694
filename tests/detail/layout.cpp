// SPDX-License-Identifier: BSL-1.0
#include <algorithm>
#include <cstdint>
#include <vector>

#include <qbipc/detail/layout.hpp>

#include "support/catch.hpp"

using namespace qbipc::detail;

TEST_CASE("a lane's size is a power of two within its bounds", "[layout]") {
    CHECK(lane_size_for(0) == min_lane);
    CHECK(lane_size_for(min_lane) == min_lane);
    CHECK(lane_size_for(min_lane + 1) == 2 * min_lane);
    CHECK(lane_size_for(3'000'000) == 4'194'304);
    CHECK(lane_size_for(max_lane) == max_lane);
    CHECK(lane_size_for(max_lane + 1) == max_lane);
    CHECK(lane_size_for(~std::uint64_t{0}) == max_lane);
}

TEST_CASE("lanes of every size keep the rules that the protocol rests on", "[layout]") {
    for (std::uint64_t size = min_lane; size <= max_lane; size *= 2) {
        const LaneShape shape = LaneShape::of(size);
        CHECK(shape.largest == size / 4);
        CHECK(shape.step == std::min(size / 8, lane_window / 4));
        CHECK(shape.step % line == 0);
        CHECK(frame_span(shape.max_payload()) == shape.largest);
        CHECK(frame_span(shape.max_payload() + 1) > shape.largest);
        CHECK(shape.max_payload() <= qbipc::max_frame_size);
    }
}

TEST_CASE("no two words of an area share a pair of lines, and lanes begin on pages", "[layout]") {
    for (std::vector<std::uint64_t> words :
         {std::vector{ServiceArea::requests_credit, ServiceArea::requests_asleep, ServiceArea::responses_wants_room,
                      ServiceArea::events_wants_room},
          std::vector{ClientArea::responses_credit, ClientArea::events_credit, ClientArea::responses_asleep,
                      ClientArea::events_asleep, ClientArea::requests_wants_room}}) {
        std::sort(words.begin(), words.end());
        for (std::size_t i = 0; i < words.size(); ++i) {
            CHECK(words[i] % word_stride == 0);
            CHECK(words[i] + word_stride <= area_header);
            if (i > 0) CHECK(words[i] > words[i - 1]);
        }
    }
    const ServiceArea service{4 * min_lane, min_lane};
    CHECK(service.responses() == area_header);
    CHECK(service.events() == service.responses() + 4 * min_lane);
    CHECK(service.size() == service.events() + min_lane);
    CHECK(service.events() % area_header == 0);
    CHECK(ClientArea{min_lane}.size() == ClientArea::requests() + min_lane);
}
