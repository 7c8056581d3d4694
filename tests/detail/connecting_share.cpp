// SPDX-License-Identifier: BSL-1.0
#include "qbipc/detail/connecting_share.hpp"

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
        CHECK(share.begin(now));
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
        if (share.begin(now)) {
            while (share.has_time(now)) now += 7us;
            share.done(now);
        }
        spent += now - began;
        now += 3us;  // a session's
    }
    CHECK(spent > 20ms);
    CHECK(spent < 26ms);
}

TEST_CASE("he waits only for sessions that come up, and never for long", "[connecting_share]") {
    ConnectingShare share;
    share.took(1);
    REQUIRE(share.begin(start));
    CHECK(share.has_time(start + ConnectingShare::at_once / 2));
    CHECK_FALSE(share.has_time(start + ConnectingShare::at_once));
    share.done(start + 100us);
    CHECK_FALSE(share.begin(start + 100us));
    CHECK_FALSE(share.begin(start + 350us));
    CHECK(share.due() == start + 400us);
    share.took(0);
    CHECK(share.begin(start + 400us));
    // Preempted, perhaps: what took long isn't held against those who come later.
    share.done(start + 300ms);
    share.took(1);
    CHECK_FALSE(share.begin(start + 300ms));
    CHECK(share.begin(start + 301ms));
}

TEST_CASE("sessions are expected to have more: their clients may still wait for the core", "[connecting_share]") {
    ConnectingShare share;
    share.took(1);
    REQUIRE(share.begin(start));
    share.done(start + 100us);
    CHECK_FALSE(share.begin(start + 200us));
    REQUIRE(share.begin(start + 400us));
    share.done(start + 500us);
    CHECK_FALSE(share.begin(start + 600us));
    REQUIRE(share.begin(start + ConnectingShare::memory));
    CHECK(share.has_time(start + 2 * ConnectingShare::memory));
    share.done(start + 2 * ConnectingShare::memory);
    CHECK(share.begin(start + 2 * ConnectingShare::memory));
}
