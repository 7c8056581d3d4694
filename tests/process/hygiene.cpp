// SPDX-License-Identifier: BSL-1.0
// What a well-behaved library does to the process it lives in: nothing. fork, exec, signals, sleep.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <future>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "process/peers.hpp"
#include "support/effort.hpp"

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

TEMPLATE_LIST_TEST_CASE("a program executed at any moment of connecting and disconnecting inherits nothing",
                        "[process]", Transports) {
    const auto given = Child("peer", {"descriptors"}).line();
    const auto name = unique_name();
    auto service = listen<TestType>(name, routes(on<Add>([](const Add& add) { return Sum{add.a + add.b}; })));
    REQUIRE(service);
    std::atomic<std::uint64_t> connections = 0, failures = 0;
    std::jthread serving([&](std::stop_token stop) { (void)service->run(stop); });
    std::jthread connecting([&](std::stop_token stop) {
        while (!stop.stop_requested()) {
            auto client = Client<TestType>::connect(name, patience);
            ++(client && client->fd() >= 0 && client->call(Add{1, 2}, patience) ? connections : failures);
        }
    });
    std::uint64_t wrong = 0;
    for (int i = 0; i < 300; ++i) wrong += Child("peer", {"descriptors"}).line() != given;
    REQUIRE(eventually([&] { return connections > 100 || failures > 0; }));
    CHECK(wrong == 0);
    CHECK(failures == 0);
}

namespace {

/// What a process has that isn't the library's.
struct ProcessState {
    std::vector<struct sigaction> handlers{65};
    sigset_t mask{};
    mode_t umask = 0;
    std::string folder;
    std::vector<rlimit> limits;
    std::vector<std::string> environment;
    int nice = 0, policy = 0, dumpable = 0, parent_death = 0;
    long slack = 0;

    static ProcessState now() {
        ProcessState state;
        for (int number = 1; number <= 64; ++number)
            ::sigaction(number, nullptr, &state.handlers[static_cast<std::size_t>(number)]);
        ::pthread_sigmask(SIG_SETMASK, nullptr, &state.mask);
        state.umask = ::umask(0);
        ::umask(state.umask);
        state.folder = std::filesystem::current_path().string();
        for (int resource = 0; resource < RLIM_NLIMITS; ++resource)
            ::getrlimit(static_cast<__rlimit_resource_t>(resource), &state.limits.emplace_back());
        for (char** variable = environ; *variable != nullptr; ++variable) state.environment.emplace_back(*variable);
        state.nice = ::getpriority(PRIO_PROCESS, 0);
        state.policy = ::sched_getscheduler(0);
        state.dumpable = ::prctl(PR_GET_DUMPABLE);
        ::prctl(PR_GET_PDEATHSIG, &state.parent_death);
        state.slack = ::prctl(PR_GET_TIMERSLACK);
        return state;
    }

    static bool same(const sigset_t& a, const sigset_t& b) {
        for (int number = 1; number <= 64; ++number)
            if (::sigismember(&a, number) != ::sigismember(&b, number)) return false;
        return true;
    }
    static bool same(const struct sigaction& a, const struct sigaction& b) {
        return a.sa_handler == b.sa_handler && a.sa_flags == b.sa_flags && same(a.sa_mask, b.sa_mask);
    }
    friend bool operator==(const ProcessState& a, const ProcessState& b) {
        const auto same_limit = [](const rlimit& one, const rlimit& other) {
            return one.rlim_cur == other.rlim_cur && one.rlim_max == other.rlim_max;
        };
        const auto same_handler = [](const auto& one, const auto& other) { return same(one, other); };
        return std::equal(a.handlers.begin(), a.handlers.end(), b.handlers.begin(), b.handlers.end(), same_handler) &&
               same(a.mask, b.mask) && a.umask == b.umask && a.folder == b.folder &&
               std::equal(a.limits.begin(), a.limits.end(), b.limits.begin(), b.limits.end(), same_limit) &&
               a.environment == b.environment && a.nice == b.nice && a.policy == b.policy && a.dumpable == b.dumpable &&
               a.parent_death == b.parent_death && a.slack == b.slack;
    }
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("neither side changes a handler, a mask, a limit or anything else of its process", "[process]",
                        Transports) {
    const auto before = ProcessState::now();
    TemporaryDirectory directory;
    for (const auto& address : {Address(unique_name()), Address::path(directory / "socket")}) {
        auto service = listen<TestType>(address, routes(on<Add>([](auto& session, const Add& add) {
                                            (void)session.send(with_tail(Tick{1}, std::string_view("x")));
                                            return Sum{add.a + add.b};
                                        })));
        REQUIRE(service);
        std::promise<ProcessState> state;
        std::jthread serving([&](std::stop_token stop) {
            (void)service->run(stop);
            state.set_value(ProcessState::now());
        });
        for (int i = 0; i < 10; ++i) {
            auto client = Client<TestType>::connect(address, patience);
            REQUIRE(client);
            REQUIRE(client->fd() >= 0);
            CHECK(client->call(Add{1, 2}, patience));
            Events events;
            CHECK(client->receive(events.selector(), patience));
            if (i == 5) {
                auto halves = std::move(*client).split();
                CHECK(halves.second.fd() >= 0);
            }
        }
        CHECK(ProcessState::now() == before);
        serving.request_stop();
        CHECK(state.get_future().get() == before);
    }
    CHECK(ProcessState::now() == before);
}

TEST_CASE("a limit on file sizes is an error and not the signal that it stands for", "[process]") {
    // Memory to share is a file to the kernel: SIGXFSZ would end the service [THREATS F7].
    ServicePeer<ShmRing> service({"file_size=65536"});
    REQUIRE(service.ready());
    for (int i = 0; i < 3; ++i)
        CHECK(error_of(Client<ShmRing>::connect(service.name, patience)) == std::errc::file_too_large);
    CHECK(service.status()["refused"] == 3);
    CHECK(service.stop());

    // A client makes none, and a service of sockets neither.
    ServicePeer<ShmRing> other;
    REQUIRE(other.ready());
    CHECK(ClientPeer<ShmRing>(other.name, {"file_size=0"}).ask("add") == "sum 1");
    ServicePeer<UnixSocket> sockets({"file_size=0"});
    REQUIRE(sockets.ready());
    CHECK(ClientPeer<UnixSocket>(sockets.name, {"file_size=0"}).ask("add") == "sum 1");
}

TEMPLATE_LIST_TEST_CASE("signals at 1,000 a second disturb neither calls nor connects nor deadlines", "[process]",
                        Transports) {
    ServicePeer<TestType> service({"storm"});
    REQUIRE(service.ready());
    ClientPeer<TestType> client(service.name);
    REQUIRE(client.connected());
    const int rounds = effort(1, 100);
    for (int i = 0; i < rounds; ++i) {
        client.tell("storm 10000");
        REQUIRE(client.line(10 * Child::patience) == "ok");
    }
    const auto status = service.status();
    CHECK(status.at("connects") == 1 + 100 * rounds);
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
