// SPDX-License-Identifier: BSL-1.0
#include <cstdint>
#include <limits>
#include <ratio>

#include <qbipc/time.hpp>

#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using qbipc::Clock;
using qbipc::Deadline;
using qbipc::forever;
using qbipc::TimeLimit;

constexpr auto never = Clock::time_point::max();

}  // namespace

TEST_CASE("a deadline lies its duration after now", "[time]") {
    const auto before = Clock::now();
    const Deadline deadline = 1h;
    const auto after = Clock::now();
    CHECK(deadline.at() >= before + 1h);
    CHECK(deadline.at() <= after + 1h);
    CHECK_FALSE(deadline.passed());
    CHECK_FALSE(deadline.is_forever());
    CHECK(deadline.left() <= 1h);
    CHECK(deadline.left() > 50min);
    CHECK(Deadline(before) == Deadline(before));
    CHECK(Deadline(before) < deadline);
}

TEST_CASE("a deadline that has passed has nothing left, never less", "[time]") {
    const Deadline past = Clock::now() - 1h;
    CHECK(past.passed());
    CHECK(past.left() == 0ns);
    CHECK(Deadline(0s).passed());
    CHECK(Deadline(-5s).passed());
    CHECK(Deadline(std::chrono::nanoseconds::min()).passed());
    CHECK(Deadline(std::chrono::hours::min()).passed());
}

TEST_CASE("durations too long for the clock mean for ever, in every unit", "[time]") {
    CHECK(Deadline(forever).is_forever());
    CHECK(Deadline(std::chrono::nanoseconds::max()).is_forever());
    CHECK(Deadline(std::chrono::milliseconds::max()).is_forever());
    CHECK(Deadline(std::chrono::hours::max()).is_forever());
    CHECK(Deadline(std::chrono::duration<double>(1e300)).is_forever());
    CHECK(Deadline(std::chrono::duration<double>(std::numeric_limits<double>::infinity())).is_forever());
    CHECK(Deadline(std::chrono::duration<std::int64_t, std::ratio<31556952>>(1'000'000)).is_forever());
    CHECK_FALSE(Deadline(forever).passed());
    CHECK(Deadline(forever).left() == Clock::duration::max());
    CHECK_FALSE(Deadline(std::chrono::hours(24 * 365 * 100)).is_forever());
    CHECK(Deadline::after(never - 1s, 2s) == never);
    CHECK(Deadline::after(never - 10s, 1s) < never);
    CHECK(Deadline::after(Clock::time_point{}, 5s) == Clock::time_point{} + 5s);
    CHECK(Deadline::after(Clock::time_point{}, -5s) == Clock::time_point{});
    CHECK(Deadline::after(Clock::time_point{}, std::chrono::duration<double>(0.5)) == Clock::time_point{} + 500ms);
}

TEST_CASE("a limit becomes a point in time once, when it is first asked for", "[time]") {
    TimeLimit limit = 1h;
    const auto before = Clock::now();
    const auto deadline = limit.deadline();
    CHECK(deadline.at() >= before + 1h);
    CHECK(limit.deadline() == deadline);
    TimeLimit copy = limit;
    CHECK(copy.deadline() == deadline);
    const Deadline point = Clock::now() + 5s;
    CHECK(TimeLimit(point).deadline() == point);
    CHECK(TimeLimit(point.at()).deadline() == point);
    CHECK(TimeLimit(forever).deadline().is_forever());
    CHECK(TimeLimit(std::chrono::hours::max()).deadline().is_forever());
}

TEST_CASE("a limit of nothing is known without a look at the clock", "[time]") {
    CHECK(TimeLimit(0ms).is_zero());
    CHECK(TimeLimit(-1h).is_zero());
    CHECK_FALSE(TimeLimit(1ns).is_zero());
    CHECK_FALSE(TimeLimit(forever).is_zero());
    CHECK_FALSE(TimeLimit(Clock::now()).is_zero());
}
