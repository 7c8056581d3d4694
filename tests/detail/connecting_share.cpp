// SPDX-License-Identifier: BSL-1.0
#include <qbipc/detail/connecting_share.hpp>

#include "support/catch.hpp"

using qbipc::Clock;
using qbipc::detail::ConnectingShare;
using namespace std::chrono_literals;

namespace {

constexpr Clock::time_point start = Clock::time_point(1h);

}  // namespace

TEST_CASE("who connects has all the time while no session has anything", "[connecting_share]") {
    ConnectingShare share;
    auto now = start;
    for (int look = 0; look < 5; ++look) {
        for (int one = 0; one < 100; ++one) CHECK(share.has_time(now += 40us));
        share.done(now);
    }
}

TEST_CASE("beside sessions that have something, who connects has a quarter of the time", "[connecting_share]") {
    ConnectingShare share;
    Clock::duration spent{};
    auto now = start;
    while (now < start + 100ms) {
        share.took(1);
        const auto began = now;
        while (share.has_time(now)) now += 7us;
        share.done(now);
        spent += now - began;
        now += 3us;  // a session's
    }
    CHECK(spent > 20ms);
    CHECK(spent < 26ms);
}

TEST_CASE("he waits only for sessions that come up, and never for long", "[connecting_share]") {
    ConnectingShare share;
    share.took(1);
    CHECK(share.has_time(start));
    share.done(start + 1ms);
    CHECK(share.has_time(start + 1ms));  // nothing came up
    share.done(start + 2ms);
    share.took(1);
    CHECK_FALSE(share.has_time(start + 2ms));
    share.done(start + 2ms);
    share.took(1);
    CHECK_FALSE(share.has_time(start + 4ms));
    CHECK(share.has_time(start + 5ms));
    CHECK_FALSE(share.has_time(start + 5ms + ConnectingShare::at_once));
    // A look that saw to nobody costs nothing.
    share.done(start + 6ms);
    share.took(0);
    CHECK(share.has_time(start + 6ms));
}
