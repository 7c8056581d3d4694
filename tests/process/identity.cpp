// SPDX-License-Identifier: BSL-1.0
// Who may: processes of several users, which takes root to start.
#include <sys/stat.h>

#include "process/peers.hpp"

using namespace qbipc;
using namespace qbipc::testing;

namespace {

std::string refusal(errc code) { return "failed: " + text_of(code); }

}  // namespace

TEMPLATE_LIST_TEST_CASE("a client of another user is refused unless he was spelled out [server perms]",
                        "[process][libqb][root]", Transports) {
    if (!is_root()) return;
    SECTION("closed by default") {
        ServicePeer<TestType> service({"user=2001"});
        REQUIRE(service.ready());
        CHECK(ClientPeer<TestType>(service.name, {"user=2002", "auth=anyone"}).said == refusal(errc::not_permitted));
        CHECK(ClientPeer<TestType>(service.name, {"user=2001"}).connected());
        CHECK(ClientPeer<TestType>(service.name, {"auth=anyone"}).connected());  // root
        CHECK(service.comes_to("sessions", 0));
        CHECK(service.status()["refused"] == 1);
    }
    SECTION("by user") {
        ServicePeer<TestType> service({"auth=uids"});
        REQUIRE(service.ready());
        CHECK(ClientPeer<TestType>(service.name, {"user=2001"}).connected());
        CHECK(ClientPeer<TestType>(service.name, {"user=2002"}).connected());
        CHECK(ClientPeer<TestType>(service.name, {"user=2003"}).said == refusal(errc::not_permitted));
        CHECK(ClientPeer<TestType>(service.name).said == refusal(errc::not_permitted));  // root isn't in the list
    }
    SECTION("by group, supplementary ones included") {
        ServicePeer<TestType> service({"auth=gids"});
        REQUIRE(service.ready());
        CHECK(ClientPeer<TestType>(service.name, {"user=2001", "group=3001"}).connected());
        CHECK(ClientPeer<TestType>(service.name, {"user=2001", "groups=3000,3001,3002"}).connected());
        CHECK(ClientPeer<TestType>(service.name, {"user=2001", "groups=3000,3002"}).said ==
              refusal(errc::not_permitted));
        CHECK(ClientPeer<TestType>(service.name, {"user=2001"}).said == refusal(errc::not_permitted));
    }
    SECTION("everybody but one") {
        ServicePeer<TestType> service({"auth=not2001"});
        REQUIRE(service.ready());
        CHECK(ClientPeer<TestType>(service.name, {"user=2001"}).said == refusal(errc::not_permitted));
        CHECK(ClientPeer<TestType>(service.name, {"user=2002"}).connected());
    }
}

TEMPLATE_LIST_TEST_CASE("a service that another user runs is refused before a byte is sent to it", "[process][root]",
                        Transports) {
    if (!is_root()) return;
    // He has taken the name first, and lets everybody in.
    ServicePeer<TestType> impostor({"user=2002", "auth=anyone"});
    REQUIRE(impostor.ready());
    CHECK(ClientPeer<TestType>(impostor.name).said == refusal(errc::wrong_service));
    CHECK(ClientPeer<TestType>(impostor.name, {"user=2001"}).said == refusal(errc::wrong_service));
    CHECK(error_of(Client<TestType>::connect(impostor.name, patience)) == errc::wrong_service);
    CHECK(impostor.status()["accepted"] == 0);
    CHECK(ClientPeer<TestType>(impostor.name, {"user=2001", "auth=anyone"}).connected());
    CHECK(ClientPeer<TestType>(impostor.name, {"user=2001", "auth=uids"}).connected());
    CHECK(ClientPeer<TestType>(impostor.name, {"user=2002"}).connected());
    CHECK(ClientPeer<TestType>(impostor.name, {"user=2003", "auth=gids"}).said.starts_with("failed"));

    // Its owner can't have the name back from him, but nobody takes him for the owner.
    ServicePeer<TestType> owner({}, impostor.name);
    CHECK(owner.said == refusal(errc::address_in_use));
}

TEMPLATE_LIST_TEST_CASE("a route may be closed to users whom the service has let in", "[process][root]", Transports) {
    if (!is_root()) return;
    ServicePeer<TestType> service({"auth=anyone"});
    REQUIRE(service.ready());
    ClientPeer<TestType> other(service.name, {"user=2001"}), allowed(service.name, {"user=2002"}), root(service.name);
    REQUIRE(other.connected());
    REQUIRE(allowed.connected());
    REQUIRE(root.connected());
    CHECK(other.ask("secret") == text_of(errc::not_permitted));
    CHECK(allowed.ask("secret") == "ok");
    CHECK(root.ask("secret") == "ok");
    CHECK(other.ask("add") == "sum 1");  // everything else is open to him
}

TEMPLATE_LIST_TEST_CASE("services of different users have their own names at once, and know whose clients they have",
                        "[process][root]", Transports) {
    if (!is_root()) return;
    ServicePeer<TestType> first({"user=2001", "auth=anyone"}), second({"user=2002", "auth=anyone"});
    REQUIRE(first.ready());
    REQUIRE(second.ready());
    for (const auto* const service : {&first, &second}) {
        const uid_t user = service == &first ? 2001 : 2002;
        const auto mine = [user](const Credentials& who) { return who.uid == user; };
        auto client = Client<TestType>::connect(service->name, patience, mine);
        REQUIRE(client);
        CHECK(client->service_credentials().uid == user);
        CHECK(client->service_credentials().gid == user);
        CHECK(client->service_credentials().pid == service->pid());
        CHECK(client->call(Who{}, patience)->uid == 0);
        const auto not_mine = [user](const Credentials& who) { return who.uid != user; };
        CHECK(error_of(Client<TestType>::connect(service->name, patience, not_mine)) == errc::wrong_service);
    }
}

TEMPLATE_LIST_TEST_CASE(
    "a socket file has the mode and the owner that were asked for, and its mode counts [server perms]",
    "[process][libqb][root]", Transports) {
    if (!is_root()) return;
    TemporaryDirectory directory;
    REQUIRE(::chmod(directory.path().c_str(), 0755) == 0);
    const auto file = directory / "socket";
    ServicePeer<TestType> service({"auth=anyone", "mode=0660", "owner=2001", "owner_group=3001"}, "path:" + file);
    REQUIRE(service.ready());
    struct stat status {};
    REQUIRE(::stat(file.c_str(), &status) == 0);
    CHECK(S_ISSOCK(status.st_mode));
    CHECK((status.st_mode & 07777) == 0660);
    CHECK(status.st_uid == 2001);
    CHECK(status.st_gid == 3001);
    CHECK(ClientPeer<TestType>(service.name, {"user=2001"}).connected());
    CHECK(ClientPeer<TestType>(service.name, {"user=2002", "groups=3001"}).connected());
    const auto refused = ClientPeer<TestType>(service.name, {"user=2003"}).said;
    CHECK(refused == "failed: " + std::error_code(EACCES, std::system_category()).message());
    CHECK(service.stop());
    CHECK(::stat(file.c_str(), &status) != 0);
}
