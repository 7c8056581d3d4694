// SPDX-License-Identifier: BSL-1.0
#include <stdexcept>
#include <unistd.h>

#include <qbipc/auth.hpp>

#include "support/catch.hpp"

using qbipc::anyone;
using qbipc::check;
using qbipc::Credentials;
using qbipc::errc;
using qbipc::gids;
using qbipc::same_user;
using qbipc::same_user_or_root;
using qbipc::uids;
using qbipc::Vouch;

namespace {

Credentials who(uid_t uid, gid_t gid = 100, std::vector<gid_t> groups = {}) { return {1, uid, gid, std::move(groups)}; }

template <class P>
bool admits(const P& policy, const Credentials& peer) {
    return !check(policy, peer);
}

constexpr auto night = [](const Credentials&) -> std::error_code {
    return make_error_code(std::errc::resource_unavailable_try_again);
};
constexpr auto odd = [](const Credentials& peer) { return peer.uid % 2 == 1; };

}  // namespace

TEST_CASE("uids and gids admit whom they name, and nobody else", "[auth]") {
    CHECK(admits(uids<0, 7>, who(7)));
    CHECK_FALSE(admits(uids<0, 7>, who(8)));
    CHECK(admits(gids<50, 51>, who(1, 51)));
    CHECK_FALSE(admits(gids<50>, who(50, 51)));
    CHECK(check(uids<0>, who(1)) == errc::not_permitted);
    CHECK(check(uids<0>, who(1)) == std::errc::permission_denied);
}

TEST_CASE("supplementary groups count", "[auth]") {
    CHECK(admits(gids<50>, who(1, 100, {4, 50})));
    CHECK_FALSE(admits(gids<50>, who(1, 100, {4, 51})));
}

TEST_CASE("same_user and same_user_or_root follow the effective user", "[auth]") {
    CHECK(admits(same_user, who(::geteuid())));
    CHECK_FALSE(admits(same_user, who(::geteuid() + 1)));
    CHECK(admits(same_user_or_root, who(::geteuid())));
    CHECK(admits(same_user_or_root, who(0)));
    CHECK_FALSE(admits(same_user_or_root, who(::geteuid() + 1)));
}

TEST_CASE("a change of the effective user is seen at the next connection", "[auth]") {
    if (::geteuid() != 0) return;  // only root can change and change back
    REQUIRE(admits(same_user, who(0)));
    REQUIRE(::seteuid(4321) == 0);
    const bool new_user = admits(same_user, who(4321)), old_user = admits(same_user, who(0));
    REQUIRE(::seteuid(0) == 0);
    CHECK(new_user);
    CHECK_FALSE(old_user);
}

TEST_CASE("ids that name nobody match nothing, not even a negation", "[auth]") {
    const Credentials none;
    for (const auto& peer : {none, who(65534, 65534), who(static_cast<uid_t>(-1), static_cast<gid_t>(-1), {65534})}) {
        CHECK_FALSE(admits(uids<65534>, peer));
        CHECK_FALSE(admits(uids<static_cast<uid_t>(-1)>, peer));
        CHECK_FALSE(admits(gids<65534>, peer));
        CHECK_FALSE(admits(same_user, peer));
        CHECK_FALSE(admits(same_user_or_root, peer));
        CHECK_FALSE(admits(!uids<1>, peer));
        CHECK_FALSE(admits(!gids<1>, peer));
        CHECK_FALSE(admits(!(uids<1> && gids<1>), peer));
        CHECK_FALSE(admits(!!uids<65534>, peer));
        CHECK_FALSE(admits(!qbipc::policy([](const Credentials&) { return false; }), peer));
        CHECK(admits(anyone, peer));
    }
}

TEST_CASE("policies compose", "[auth]") {
    CHECK(admits(uids<1> || gids<5>, who(1)));
    CHECK(admits(uids<1> || gids<5>, who(2, 5)));
    CHECK_FALSE(admits(uids<1> || gids<5>, who(2, 6)));
    CHECK(admits(uids<1> && gids<5>, who(1, 5)));
    CHECK_FALSE(admits(uids<1> && gids<5>, who(1, 6)));
    CHECK(admits(!uids<1>, who(2)));
    CHECK_FALSE(admits(!uids<1>, who(1)));
    CHECK(admits(uids<1, 2> && odd, who(1)));
    CHECK_FALSE(admits(uids<1, 2> && odd, who(2)));
    CHECK(admits(odd || uids<2>, who(2)));
    CHECK(admits(qbipc::policy(odd) && odd, who(3)));
    CHECK(admits(!qbipc::policy(odd), who(2)));
    static_assert(noexcept(check(uids<1>, Credentials{})));
}

TEST_CASE("a refusal keeps its reason", "[auth]") {
    const auto again = std::errc::resource_unavailable_try_again;
    CHECK(check(night, who(1)) == again);
    CHECK(check(anyone && night, who(1)) == again);
    CHECK(check(uids<1> && night, who(2)) == errc::not_permitted);
    CHECK(check(uids<1> || night, who(2)) == again);
    CHECK(check(night || uids<1>, who(2)) == again);
    CHECK_FALSE(check(night || uids<2>, who(2)));
}

TEST_CASE("a policy that throws refuses, negated too", "[auth]") {
    const auto broken = qbipc::policy([](const Credentials&) -> bool { throw std::runtime_error("no directory"); });
    CHECK(check(broken, who(1)) == errc::not_permitted);
    CHECK(check(!broken, who(1)) == errc::not_permitted);
    CHECK(check(broken || anyone, who(1)) == errc::not_permitted);
    CHECK_FALSE(check(anyone || broken, who(1)));
}

TEST_CASE("an error code enum is a reason too", "[auth]") {
    const auto busy = [](const Credentials&) { return errc::busy; };
    CHECK(check(busy, who(1)) == errc::busy);
    CHECK(check(busy && anyone, who(1)) == errc::busy);
}

TEST_CASE("a composed policy needs what its parts need", "[auth]") {
    using qbipc::detail::needs_of;
    STATIC_REQUIRE(needs_of<decltype(uids<1> && gids<1>)>() == (Vouch::user | Vouch::group));
    STATIC_REQUIRE(needs_of<decltype(uids<1> || same_user)>() == Vouch::user);
    STATIC_REQUIRE(needs_of<decltype(anyone)>() == Vouch::nothing);
    STATIC_REQUIRE(needs_of<decltype(!(anyone && gids<1>))>() == Vouch::group);
    STATIC_REQUIRE(needs_of<decltype(odd)>() == (Vouch::pid | Vouch::user | Vouch::group));
    STATIC_REQUIRE(needs_of<decltype(qbipc::policy<Vouch::user>(odd))>() == Vouch::user);
}

TEST_CASE("a policy that can admit but one user says which", "[auth]") {
    using qbipc::only_user;
    CHECK(only_user(uids<7>) == uid_t{7});
    CHECK(only_user(uids<7, 7>) == uid_t{7});
    CHECK_FALSE(only_user(uids<7, 8>));
    CHECK(only_user(same_user) == ::geteuid());
    CHECK(only_user(uids<7> && night) == uid_t{7});
    CHECK(only_user(gids<1> && uids<7>) == uid_t{7});
    CHECK(only_user(uids<7> || uids<7>) == uid_t{7});
    CHECK_FALSE(only_user(uids<7> || uids<8>));
    CHECK_FALSE(only_user(uids<7> || gids<8>));
    CHECK_FALSE(only_user(!uids<7>));
    CHECK_FALSE(only_user(anyone));
    CHECK_FALSE(only_user(odd));
}

TEST_CASE("only bool and error codes are verdicts", "[auth]") {
    enum class Answer { yes };
    const auto as = [](auto value) { return [value](const Credentials&) { return value; }; };
    STATIC_REQUIRE(qbipc::AuthPolicy<decltype(as(true))>);
    STATIC_REQUIRE(qbipc::AuthPolicy<decltype(as(errc::busy))>);
    STATIC_REQUIRE(qbipc::AuthPolicy<bool (*)(const Credentials&)>);
    STATIC_REQUIRE_FALSE(qbipc::AuthPolicy<decltype(as(1))>);
    STATIC_REQUIRE_FALSE(qbipc::AuthPolicy<decltype(as("yes"))>);
    STATIC_REQUIRE_FALSE(qbipc::AuthPolicy<decltype(as(Answer::yes))>);
    STATIC_REQUIRE_FALSE(qbipc::AuthPolicy<decltype(as(std::true_type{}))>);
    STATIC_REQUIRE_FALSE(qbipc::AuthPolicy<bool>);
}
