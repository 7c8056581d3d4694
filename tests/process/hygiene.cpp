// SPDX-License-Identifier: BSL-1.0
// What a well-behaved library does to the process it lives in: nothing. fork, exec, signals, sleep.
#include <csignal>
#include <spawn.h>
#include <sys/wait.h>

#include "process/peers.hpp"

using namespace qbipc;
using namespace qbipc::testing;

TEMPLATE_LIST_TEST_CASE("a forked child can't use its parent's client, and the parent doesn't notice it", "[process]",
                        Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    ClientPeer<TestType> client(service.name);
    REQUIRE(client.connected());
    REQUIRE(client.ask("add") == "sum 1");
    for (int i = 0; i < 20; ++i) CHECK(client.ask("fork") == "child 0 ok");
    CHECK(client.ask("add") == "sum 2");
    CHECK(service.status()["sessions"] == 1);
    client.close_input();
    CHECK(exited_well(client.wait()));
    CHECK(service.comes_to("bye", 1));
}

TEMPLATE_LIST_TEST_CASE("a forked child can't use its parent's service, and the parent doesn't notice it", "[process]",
                        Transports) {
    ServicePeer<TestType> service({"poll"});
    REQUIRE(service.ready());
    ClientPeer<TestType> client(service.name);
    REQUIRE(client.connected());
    REQUIRE(client.ask("add") == "sum 1");
    for (int i = 0; i < 20; ++i) CHECK(service.ask("fork") == "child 0");
    CHECK(client.ask("add") == "sum 2");
    CHECK(service.status()["disconnects"] == 0);
    ClientPeer<TestType> another(service.name);
    CHECK(another.ask("add") == "sum 1");
    CHECK(service.status()["sessions"] == 2);
}

TEMPLATE_LIST_TEST_CASE("the service sees the end of a client whose forked child lives on", "[process]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    ClientPeer<TestType> client(service.name);
    REQUIRE(client.connected());
    // The child holds copies of all its descriptors until its own input, which is this test's other end, is closed.
    REQUIRE(client.ask("leave a child") == "left");
    client.tell("disconnect");
    CHECK(client.line() == "ok");
    CHECK(service.comes_to("bye", 1));
}

TEMPLATE_LIST_TEST_CASE("a program that is executed inherits no descriptor of a client or a service", "[process]",
                        Transports) {
    // What the tests themselves were given is everybody's.
    const auto given = Child("peer", {"descriptors"}).line();
    REQUIRE(given.starts_with("descriptors 0 1 2"));
    ServicePeer<TestType> service({"poll"});
    REQUIRE(service.ready());
    ClientPeer<TestType> client(service.name);
    REQUIRE(client.connected());
    REQUIRE(client.ask("add") == "sum 1");
    CHECK(client.ask("exec") == given);
    CHECK(service.ask("exec") == given);
}

TEMPLATE_LIST_TEST_CASE("signals at 1,000 a second disturb neither calls nor connects nor deadlines", "[process]",
                        Transports) {
    ServicePeer<TestType> service({"storm"});
    REQUIRE(service.ready());
    ClientPeer<TestType> client(service.name);
    REQUIRE(client.connected());
    CHECK(client.ask("storm 10000") == "ok");
    const auto status = service.status();
    CHECK(status.at("connects") == 101);
    CHECK(status.at("lost") == 0);
    CHECK(status.at("refused") == 0);
    CHECK(service.stop());
}

TEMPLATE_LIST_TEST_CASE("a signal handler stops run(), and clients are told", "[process]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    std::vector<ClientPeer<TestType>> clients;
    for (int i = 0; i < 3; ++i) {
        clients.emplace_back(service.name);
        REQUIRE(clients.back().connected());
        REQUIRE(clients.back().ask("wait call") == "waiting");
    }
    REQUIRE(service.comes_to("waiting", 3));
    CHECK(service.stop());
    for (auto& client : clients) {
        // Its answer was dropped a moment before the service ended.
        const auto heard = client.line();
        CHECK((heard == text_of(errc::disconnected) + " alive=0" || heard.starts_with(text_of(errc::unanswered))));
    }
}

TEMPLATE_LIST_TEST_CASE("sending to a peer that has died is an error and never a signal", "[process]", Transports) {
    // Children have SIGPIPE as it is by default: one would end them.
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    ClientPeer<TestType> client(service.name);
    REQUIRE(client.connected());
    CHECK(client.ask("die") == text_of(errc::disconnected));
    CHECK(client.ask("add") == text_of(errc::disconnected));
    CHECK(client.ask("wish 1 1 1") == text_of(errc::disconnected));
    CHECK(client.ask("jots 10") == "jotted");
    client.close_input();
    CHECK(exited_well(client.wait()));

    ServicePeer<TestType> other;
    REQUIRE(other.ready());
    for (int i = 0; i < 20; ++i) {
        ClientPeer<TestType> dying(other.name);
        REQUIRE(dying.connected());
        dying.tell("wish 100000 1000 1");
        REQUIRE(dying.line() == "ok");
        CHECK(was_killed(dying.kill()));  // while events are being sent to it
    }
    CHECK(other.comes_to("lost", 20));
    CHECK(other.stop());
}

TEMPLATE_LIST_TEST_CASE("a service with 100 idle sessions sleeps", "[process]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    std::vector<Client<TestType>> clients;
    for (int i = 0; i < 100; ++i) {
        auto client = Client<TestType>::connect(service.name, patience);
        REQUIRE(client);
        REQUIRE(client->call(Add{1, 0}, patience));
        clients.push_back(*std::move(client));
    }
    REQUIRE(service.comes_to("sessions", 100));
    // The handshakes' limit may come due once; else what wakes it is this test's question.
    const auto before = service.status()["sleeps"];
    std::this_thread::sleep_for(500ms);
    CHECK(service.status()["sleeps"] - before <= 5);
    for (auto& client : clients) CHECK(client.call(Add{1, 0}, patience)->value == 2);
}
