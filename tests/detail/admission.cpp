// SPDX-License-Identifier: BSL-1.0
#include <set>
#include <vector>

#include <qbipc/detail/admission.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using qbipc::errc;
using qbipc::Limits;
using qbipc::detail::Admission;
using qbipc::detail::Places;

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
    admission.leave(1, true);
    CHECK(admission.enter(1) == errc::busy);  // the last is for whoever has none
    admission.leave(2, false);
    CHECK_FALSE(admission.enter(1));
    admission.leave(1, false);
    admission.leave(1, false);
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
    CHECK(admission.enter(4) == errc::too_many_sessions);
    admission.leave(1, true);
    CHECK_FALSE(session(4));
    CHECK(session(1) == errc::too_many_sessions);
}

TEST_CASE("whoever comes late finds a place, however many users took all they could get", "[admission]") {
    // Of n users each has 1/n^2 of the places or more, whichever came first.
    for (const std::size_t in_all : {64u, 1000u, 4096u}) {
        for (const std::size_t users : {2u, 3u, 5u, 8u}) {
            Places places(in_all, in_all / 2);
            std::vector<std::size_t> taken(users, 0);
            for (auto& his : taken)
                while (places.has_one_for(his)) places.take(his);
            for (const auto his : taken) CHECK(his >= in_all / (users * users + users));
            CHECK(places.taken() < in_all);  // one is left for the next
            std::size_t newcomer = 0;
            CHECK(places.has_one_for(newcomer));
        }
    }
}

TEST_CASE("a user who is alone may have all that one may", "[admission]") {
    Places places(10, 10);
    std::size_t his = 0;
    while (places.has_one_for(his)) places.take(his);
    CHECK(his == 10);
    // Another waits until one is free; then it's his, and not again the first one's.
    std::size_t other = 0;
    CHECK_FALSE(places.has_one_for(other));
    places.give_back(his);
    REQUIRE(places.has_one_for(other));
    places.take(other);
    places.give_back(his);
    CHECK_FALSE(places.has_one_for(his));
    places.give_back(other);
    CHECK(places.has_one_for(his));
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
            std::set<uid_t> users, half_users;
            for (const auto& guest : inside) {
                ++(guest.established ? open : half);
                his += guest.uid == uid;
                his_half += guest.uid == uid && !guest.established;
                users.insert(guest.uid);
                if (!guest.established) half_users.insert(guest.uid);
            }
            REQUIRE(admission.open() == open);
            REQUIRE(admission.half_open() == half);
            const auto refusal = admission.enter(uid);
            if (!refusal) inside.push_back({uid, false});
            const auto too_much = [](std::size_t in_all, std::size_t taken, std::size_t mine, std::size_t several) {
                return mine > 0 && several > 1 && 2 * taken >= in_all &&
                       mine >= (in_all - (taken - mine)) / (several + 1);
            };
            const bool full = open + half >= 6 || his >= 4 || too_much(6, open + half, his, users.size());
            const bool wait = half >= 3 || his_half >= 2 || too_much(3, half, his_half, half_users.size());
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
