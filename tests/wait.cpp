// SPDX-License-Identifier: BSL-1.0
#include <chrono>

#include <qbipc/wait.hpp>

#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace qbipc;

namespace {

/// Ready at the n-th probe; counts them.
struct ReadyAt {
    long at;
    long probes = 0;
    bool operator()() { return ++probes == at; }
};
constexpr long never = -1;

/// Whether spin() probed more than once: it did spin.
bool spins(Adaptive& wait) {
    ReadyAt ready{never};
    TimeLimit limit = forever;
    CHECK_FALSE(wait.spin(ready, limit));
    return ready.probes > 1;
}

}  // namespace

TEMPLATE_TEST_CASE("a spin ends at the first probe that finds something", "[wait]", Spin, Block, Adaptive) {
    TestType wait;
    ReadyAt ready{1};
    TimeLimit limit = 1h;
    CHECK(wait.spin(ready, limit));
    CHECK(ready.probes == 1);
}

TEMPLATE_TEST_CASE("a duration isn't looked at during the first 64 probes", "[wait]", Spin, Adaptive) {
    TestType wait;
    TimeLimit limit = 1ns;  // over before the first probe, if anybody looked
    ReadyAt late{64};
    CHECK(wait.spin(late, limit));
    // It is then fixed, and over at the next look.
    ReadyAt too_late{129};
    CHECK_FALSE(wait.spin(too_late, limit));
    CHECK(too_late.probes == 128);
}

TEMPLATE_TEST_CASE("a spin ends at the limit", "[wait]", Spin, Adaptive) {
    TestType wait;
    TimeLimit limit = Clock::now() - 1s;
    ReadyAt ready{never};
    CHECK_FALSE(wait.spin(ready, limit));
    CHECK(ready.probes == 64);
}

TEST_CASE("Spin lets its caller look after the peer, and goes on", "[wait]") {
    Spin wait;
    TimeLimit limit = forever;
    ReadyAt ready{never};
    for (int i = 0; i < 3; ++i) CHECK_FALSE(wait.spin(ready, limit));
    CHECK(ready.probes >= 3 * 64);
}

TEST_CASE("Block looks once", "[wait]") {
    Block wait;
    TimeLimit limit = forever;
    ReadyAt ready{never};
    CHECK_FALSE(wait.spin(ready, limit));
    CHECK(ready.probes == 1);
}

TEST_CASE("Adaptive skips 1, 3, 7 .. 255 spins after failures, and none after a success", "[wait]") {
    Adaptive wait;
    for (int skipped : {1, 3, 7, 15, 31, 63, 127, 255, 255}) {
        CAPTURE(skipped);
        CHECK(spins(wait));
        for (int i = 0; i < skipped; ++i) {
            CAPTURE(i);
            REQUIRE_FALSE(spins(wait));
        }
    }
    ReadyAt ready{3};
    TimeLimit limit = forever;
    CHECK(wait.spin(ready, limit));
    CHECK(spins(wait));
    CHECK_FALSE(spins(wait));
    CHECK(spins(wait));
}

TEST_CASE("Adaptive takes the shortest of recent sleeps for what one costs, within bounds", "[wait]") {
    Adaptive wait;
    CHECK(wait.cost() == 150us);
    wait.slept(1s);
    CHECK(wait.cost() == 150us);
    wait.slept(8us);
    CHECK(wait.cost() == 75us);
    for (int i = 0; i < 10; ++i) wait.slept(8us);
    CHECK(wait.cost() == 8us);
    wait.slept(1s);
    CHECK(wait.cost() == 9us);
    for (int i = 0; i < 10; ++i) wait.slept(1ns);
    CHECK(wait.cost() == 2us);
    for (int i = 0; i < 100; ++i) wait.slept(1s);
    CHECK(wait.cost() == 150us);
}
