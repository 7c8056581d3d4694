// SPDX-License-Identifier: BSL-1.0
// Who is who across namespaces; numbers of processes that come back; impostors, and services that start at once.
#include <atomic>
#include <iostream>
#include <sys/stat.h>

#include "process/peers.hpp"
#include "support/effort.hpp"

using namespace qbipc;
using namespace qbipc::testing;

namespace {

/// Where a program runs, as the helper "apart" takes it; "-": as this test does, as root.
struct Meeting {
    const char* service;
    const char* client;
    const char* policy;  ///< the client's; empty: the default
    std::optional<errc> refusal;
};

const Meeting meetings[] = {
    {"-", "-", "", {}},
    // Root is the same root in a namespace that maps it; the names of the network's namespace are all there is to it.
    {"-", "user", "", {}},
    {"user", "-", "", {}},
    {"user", "user", "", {}},
    {"-", "pid", "", {}},  // as which process it can't be told: 0
    {"pid", "-", "", {}},
    {"pid", "pid", "", {}},
    {"-", "mount", "", {}},
    {"mount", "-", "", {}},
    {"-", "net", "", errc::no_service},
    {"net", "-", "", errc::no_service},
    {"net", "net", "", errc::no_service},
    // Nobody is anybody where nobody is mapped: 65534 on both sides is not the same user.
    {"-", "unmapped", "", errc::wrong_service},
    {"-", "unmapped", "anyone", {}},  // the service knows who he is
    {"unmapped", "-", "", errc::not_permitted},
    {"unmapped", "-", "anyone", errc::not_permitted},
    {"unmapped", "unmapped", "", errc::wrong_service},
    {"unmapped", "unmapped", "anyone", errc::not_permitted},
    // Who calls himself root in a namespace of his own is still who he is.
    {"2001", "2001,user", "", {}},
    {"2001,user", "2001", "", {}},
    {"2001,user", "2001,user", "", {}},
    {"-", "2001,user", "", errc::wrong_service},
    {"-", "2001,user", "anyone", errc::not_permitted},
    {"2001,user", "-", "", errc::wrong_service},
    {"2001,user", "-", "anyone", errc::not_permitted},
    {"2001,user", "2002", "anyone", errc::not_permitted},
    {"2001,user", "2002,user", "anyone", errc::not_permitted},
    {"2001,unmapped", "2001,unmapped", "anyone", errc::not_permitted},
};

/// A helper, in its place.
Child in(const std::string& place, std::vector<std::string> words) {
    if (place == "-") {
        const std::string helper = words[0];
        words.erase(words.begin());
        return Child(helper, words);
    }
    words.insert(words.begin(), place);
    return Child("apart", words);
}

bool namespaces_can_be_made() {
    if (in("user,pid,net,mount", {"peer", "descriptors"}).line().starts_with("descriptors")) return true;
    WARN("not tested: namespaces, for this place has none");
    return false;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("who meets across namespaces is taken for whom he is, or for nobody",
                        "[process][identity][root]", Transports) {
    if (!is_root() || !namespaces_can_be_made()) return;
    for (const auto& meeting : meetings) {
        INFO("service " << meeting.service << ", client " << meeting.client << ' ' << meeting.policy);
        const auto name = unique_name();
        auto service = in(meeting.service, {"peer", "serve", word_for<TestType>(), name});
        REQUIRE(service.line() == "ready");
        std::vector<std::string> words{"peer", "client", word_for<TestType>(), name};
        if (*meeting.policy != '\0') words.push_back(std::string("auth=") + meeting.policy);
        auto client = in(meeting.client, words);
        CHECK(client.line() == (meeting.refusal ? "failed: " + text_of(*meeting.refusal) : "connected"));
        if (!meeting.refusal) CHECK(client.ask("add") == "sum 1");
    }
}

TEMPLATE_LIST_TEST_CASE("a process that gets the number of one that died is neither taken for it nor keeps it alive",
                        "[process][identity][root]", Transports) {
    if (!is_root() || !namespaces_can_be_made()) return;
    const int rounds = effort(100, 1000);
    auto reborn = in("pid", {"reborn", word_for<TestType>(), unique_name(), std::to_string(rounds)});
    CHECK(reborn.line(10 * Child::patience) == "reused=" + std::to_string(rounds) + " wrong=0");
}

TEMPLATE_LIST_TEST_CASE("an impostor who takes the name when its service was killed gets no client of it",
                        "[process][identity][root]", Transports) {
    if (!is_root()) return;
    const auto name = unique_name();
    const auto refused = "failed: " + text_of(errc::wrong_service);
    for (int round = 0; round < 5; ++round) {
        ServicePeer<TestType> service({}, name);
        REQUIRE(service.ready());
        CHECK(ClientPeer<TestType>(name).connected());
        CHECK(was_killed(service.kill()));
        ServicePeer<TestType> impostor({"user=2002", "auth=anyone"}, name);
        REQUIRE(impostor.ready());
        CHECK(ClientPeer<TestType>(name).said == refused);
        CHECK(impostor.status()["accepted"] == 0);
        CHECK(ServicePeer<TestType>({}, name).said == "failed: " + text_of(errc::address_in_use));
    }
}

TEMPLATE_LIST_TEST_CASE("restarts that race with an impostor give clients the service or an error, never him",
                        "[process][identity][root]", Transports) {
    if (!is_root()) return;
    const auto name = unique_name();
    const auto is_ours = [](const Credentials& who) { return who.uid == 2001; };
    Child impostor("squatter", {name, "user=2002"});
    REQUIRE(impostor.line() == "ready");
    int connected = 0, started = 0;
    for (int round = 0; round < effort(60, 2000); ++round) {
        ServicePeer<TestType> service({"user=2001", "auth=anyone"}, name);
        started += service.ready();
        for (int i = 0; i < 5; ++i) {
            auto client = Client<TestType>::connect(name, 2s, is_ours);
            if (!client) continue;
            ++connected;
            REQUIRE(client->service_credentials().uid == 2001);
            REQUIRE(client->call(Who{}, patience));
        }
        service.kill();
    }
    const auto said = impostor.ask("how often");
    std::cout << word_for<TestType>() << ": started " << started << " times, " << connected
              << " clients; the impostor: " << said << std::endl;
    CHECK(started > 0);
    CHECK(connected > 0);
    CHECK(said.find("bytes=0") != said.npos);  // not a byte was ever said to him
}

TEMPLATE_LIST_TEST_CASE("of services that start at once at one file exactly one stands, over whatever was left there",
                        "[process][identity]", Transports) {
    TemporaryDirectory directory;
    const auto address = "path:" + (directory / "socket");
    for (int round = 0; round < effort(25, 1000); ++round) {
        INFO("round " << round);
        std::vector<Peer<TestType>> starters;
        for (int i = 0; i < 3; ++i) starters.emplace_back("serve", address);
        int ready = 0, in_use = 0;
        for (auto& one : starters) {
            const auto said = one.line();
            ready += said == "ready";
            in_use += said == "failed: " + text_of(errc::address_in_use);
        }
        REQUIRE(ready == 1);
        REQUIRE(in_use == 2);
        REQUIRE(Client<TestType>::connect(Address::path(directory / "socket"), patience));
        for (auto& one : starters) one.kill();  // which leaves the file
    }
}
