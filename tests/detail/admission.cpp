// SPDX-License-Identifier: BSL-1.0
#include <vector>

#include <qbipc/detail/admission.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using qbipc::errc;
using qbipc::Limits;
using qbipc::detail::Admission;

Limits limits() {
    Limits limits;
    limits.sessions = 6;
    limits.sessions_per_user = 4;
    limits.half_open = 3;
    limits.half_open_per_user = 2;
    return limits;
}

}  // namespace

TEST_CASE("half-open connections are limited for each user and in all, and the limit passes", "[admission]") {
    Admission admission(limits());
    CHECK_FALSE(admission.enter(1));
    CHECK_FALSE(admission.enter(1));
    CHECK(admission.enter(1) == errc::busy);
    CHECK_FALSE(admission.enter(2));
    CHECK(admission.enter(3) == errc::busy);
    CHECK(admission.half_open() == 3);
    admission.establish(1);
    CHECK(admission.half_open() == 2);
    CHECK(admission.open() == 1);
    CHECK_FALSE(admission.enter(3));
    admission.leave(3, false);
    CHECK_FALSE(admission.enter(1));
    admission.leave(1, false);
    admission.leave(1, false);
    admission.leave(2, false);
    admission.leave(1, true);
    CHECK(admission.half_open() == 0);
    CHECK(admission.open() == 0);
}

TEST_CASE("sessions are limited for each user and in all, half-open ones counted", "[admission]") {
    Admission admission(limits());
    const auto session = [&](uid_t user) {
        const auto refusal = admission.enter(user);
        if (!refusal) admission.establish(user);
        return refusal;
    };
    for (int i = 0; i < 4; ++i) CHECK_FALSE(session(1));
    CHECK(session(1) == errc::too_many_sessions);
    CHECK_FALSE(session(2));
    CHECK_FALSE(admission.enter(3));
    CHECK(admission.enter(2) == errc::too_many_sessions);
    admission.leave(1, true);
    CHECK_FALSE(session(2));
    CHECK(session(1) == errc::too_many_sessions);
}

TEST_CASE("whoever comes and goes, the counts are those of who is there", "[admission]") {
    qbipc::testing::Random random(71);
    Admission admission(limits());
    struct Guest {
        uid_t uid;
        bool established;
    };
    std::vector<Guest> inside;
    for (int i = 0; i < 20'000; ++i) {
        const auto uid = static_cast<uid_t>(random.below(4));
        if (random.one_in(2)) {
            std::size_t open = 0, half = 0, his = 0, his_half = 0;
            for (const auto& guest : inside) {
                ++(guest.established ? open : half);
                his += guest.uid == uid;
                his_half += guest.uid == uid && !guest.established;
            }
            REQUIRE(admission.open() == open);
            REQUIRE(admission.half_open() == half);
            const auto refusal = admission.enter(uid);
            if (!refusal) inside.push_back({uid, false});
            const bool full = open + half >= 6 || his >= 4;
            const bool wait = half >= 3 || his_half >= 2;
            REQUIRE(bool(refusal) == (full || wait));
            if (full && !wait) REQUIRE(refusal == errc::too_many_sessions);
            if (wait && !full) REQUIRE(refusal == errc::busy);
        } else if (!inside.empty()) {
            auto& guest = inside[random.below(inside.size())];
            if (!guest.established && random.one_in(2)) {
                admission.establish(guest.uid);
                guest.established = true;
            } else {
                admission.leave(guest.uid, guest.established);
                guest = inside.back();
                inside.pop_back();
            }
        }
    }
}
