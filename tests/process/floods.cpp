// SPDX-License-Identifier: BSL-1.0
// Quotas and fairness: what one user takes, others still have. Other users take root to be.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <sched.h>

#include "process/peers.hpp"
#include "support/effort.hpp"

using namespace qbipc;
using namespace qbipc::testing;

namespace {

long long number_in(const std::string& line, const std::string& what) {
    const auto at = line.find(what + "=");
    return at == line.npos ? -1 : std::atoll(line.c_str() + at + what.size() + 1);
}

/// One user's program that wants more than its share.
template <class T>
class Crowd : public Child {
public:
    Crowd(const std::string& name, int user) : Child("crowd", {word_for<T>(), name, "user=" + std::to_string(user)}) {
        REQUIRE(line() == "ready");
    }
    long long asks(const std::string& question, const std::string& what) { return number_in(ask(question), what); }
};

/// Has all threads of a process, and those that it will start, run on one of the cores that are ours. False: there is
/// no such core.
bool stay_on_core(int index, const Child& child) {
    cpu_set_t ours;
    if (::sched_getaffinity(0, sizeof ours, &ours) != 0 || CPU_COUNT(&ours) <= index) return false;
    std::size_t core = 0;
    for (int seen = -1; seen < index; ++core) seen += CPU_ISSET(core, &ours) ? 1 : 0;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core - 1, &one);
    for (const auto& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(child.pid()) + "/task"))
        if (::sched_setaffinity(std::stoi(thread.path().filename()), sizeof one, &one) != 0) return false;
    return true;
}

constexpr long long too_many_sessions = static_cast<long long>(errc::too_many_sessions);

}  // namespace

TEMPLATE_LIST_TEST_CASE("one user opens sessions until his quota is full, exactly, and has each back when it ends",
                        "[process][floods][root]", Transports) {
    if (!is_root()) return;
    ServicePeer<TestType> service({"auth=anyone", "sessions_per_user=40"});
    REQUIRE(service.ready());
    const auto before = service.status();
    Crowd<TestType> greedy(service.name, 2001);
    const auto said = greedy.ask("open 100");
    CHECK(number_in(said, "opened") == 40);
    CHECK(number_in(said, "why") == too_many_sessions);
    CHECK(service.comes_to("sessions", 40));
    const auto full = service.status();
    if (std::is_same_v<TestType, ShmRing>) {
        // What the service pays for a session that says nothing: its page of words and the lanes' first ones.
        CHECK(full.at("maps") - before.at("maps") == 80);
        CHECK((full.at("memory") - before.at("memory")) / 40 <= 10 * 4096);
    }
    for (int round = 1; round <= 5; ++round) {
        REQUIRE(greedy.ask("drop 7") == "dropped");
        REQUIRE(service.comes_to("sessions", 33));
        CHECK(greedy.asks("open 100", "opened") == 7);
        REQUIRE(service.comes_to("sessions", 40));
    }
    greedy.close_input();
    CHECK(exited_well(greedy.wait()));
    CHECK(service.comes_to("sessions", 0));
    CHECK(service.comes_to("fds", before.at("fds")));
    CHECK(service.comes_to("maps", before.at("maps")));
}

TEST_CASE("what one user's sessions hold of unfinished messages is bounded, and is his alone",
          "[process][floods][root]") {
    if (!is_root()) return;
    // Each wants 1 MiB in the end, and has sent most of it.
    ServicePeer<UnixSocket> service({"auth=anyone", "user_bytes=4194304"});
    REQUIRE(service.ready());
    Crowd<UnixSocket> greedy(service.name, 2001);
    REQUIRE(greedy.asks("open 12", "opened") == 12);
    CHECK(greedy.asks("halves 900000", "alive") == 4);
    CHECK(service.comes_to("sessions", 4));
    // Another has his own.
    Crowd<UnixSocket> other(service.name, 2002);
    REQUIRE(other.asks("open 3", "opened") == 3);
    CHECK(other.asks("halves 900000", "alive") == 3);
    // What was given up comes back.
    REQUIRE(greedy.ask("drop 12") == "dropped");
    REQUIRE(service.comes_to("sessions", 3));
    REQUIRE(greedy.asks("open 4", "opened") == 4);
    CHECK(greedy.asks("halves 900000", "alive") == 4);
}

TEMPLATE_LIST_TEST_CASE("half-open places are few for each user and in all, and come back at the limit",
                        "[process][floods][root]", Transports) {
    if (!is_root()) return;
    ServicePeer<TestType> service({"auth=anyone", "handshake=5000"});
    REQUIRE(service.ready());
    const auto before = service.status();
    std::vector<Crowd<TestType>> crowds;
    for (int user = 2001; user <= 2006; ++user) crowds.emplace_back(service.name, user);
    for (int round = 0; round < 2; ++round) {
        REQUIRE(crowds[0].ask("silent 20") == "silent");
        CHECK(service.comes_to("half_open", 16));
        for (std::size_t i = 1; i < crowds.size(); ++i) REQUIRE(crowds[i].ask("silent 20") == "silent");
        // connect() has succeeded where the kernel queued it; the service takes them in turns.
        long long most = 0;
        CHECK(eventually([&] {
            most = std::max(most, service.status().at("half_open"));
            return most >= 32;
        }));
        CHECK(most <= 64);
        for (auto& crowd : crowds) CHECK(crowd.asks("told", "told") == 20);
        CHECK(service.comes_to("half_open", 0));
        CHECK(service.comes_to("fds", before.at("fds")));
    }
}

TEMPLATE_LIST_TEST_CASE("while one user floods the door, each connect of another's succeeds", "[process][floods][root]",
                        Transports) {
    if (!is_root()) return;
    ServicePeer<TestType> service({"auth=anyone", "handshake=10000"});
    REQUIRE(service.ready());
    const auto before = service.status();
    Crowd<TestType> flood(service.name, 2001);
    // Who waits in connect() for a place has others come in between, who don't wait.
    const std::string verb = GENERATE("flood", "jostle");
    REQUIRE(flood.ask(verb) == "begun");
    Child honest("victim",
                 {"connects", word_for<TestType>(), service.name, std::to_string(effort(100, 1000)), "user=2002"});
    const auto said = honest.line(10 * Child::patience);
    CHECK(number_in(said, "connected") == effort(100, 1000));
    CHECK(number_in(said, "failed") == 0);
    // It had begun before, and goes on after.
    const auto so_far = flood.asks("made", "made");
    CHECK(eventually([&] { return flood.asks("made", "made") > so_far + 100; }));
    const auto made = flood.asks("enough", "made");
    std::cout << word_for<TestType>() << ": beside a " << verb << " of " << made << " connects: " << said << std::endl;
    flood.close_input();
    flood.wait();
    CHECK(service.comes_to("half_open", 0));
    CHECK(service.comes_to("sessions", 0));
    CHECK(service.comes_to("fds", before.at("fds")));
}

TEMPLATE_LIST_TEST_CASE("beside a busy session all are let in who say at once what they want",
                        "[process][floods][root]", Transports) {
    if (!is_root()) return;
    ServicePeer<TestType> service({"auth=anyone"});
    REQUIRE(service.ready());
    Child busy("victim", {"friends", word_for<TestType>(), service.name, "1", "pause=0", "user=2002"});
    REQUIRE(busy.line() == "ready");
    Crowd<TestType> crowd(service.name, 2001);
    for (int round = 0; round < 5; ++round) {
        REQUIRE(crowd.ask("silent 16") == "silent");
        REQUIRE(service.comes_to("half_open", 16));
        // To make sixteen sessions takes longer than those who connect have at a time.
        CHECK(crowd.asks("greet", "let_in") == 16);
        REQUIRE(crowd.ask("drop 16") == "dropped");
        REQUIRE(service.comes_to("disconnects", 16 * (round + 1)));
        REQUIRE(service.comes_to("sessions", 1));
    }
    CHECK(number_in(busy.ask("count"), "failed") == 0);
}

TEMPLATE_LIST_TEST_CASE("an honest client keeps its part of the service beside an attacker", "[process][floods][root]",
                        Transports) {
    if (!is_root()) return;
    ServicePeer<TestType> service({"auth=anyone", "handshake=10000"});
    REQUIRE(service.ready());
    Child honest("victim", {"friends", word_for<TestType>(), service.name, "1", "pause=0", "user=2002"});
    REQUIRE(honest.line() == "ready");
    Crowd<TestType> attacker(service.name, 2001);
    // The attacker has a core of his own: what he costs others is then what he costs the service.
    const bool apart = stay_on_core(0, service) && stay_on_core(0, honest) && stay_on_core(1, attacker);
    const auto calls_in = [&](std::chrono::milliseconds time) {
        const auto before = number_in(honest.ask("count"), "calls");
        const auto start = std::chrono::steady_clock::now();
        std::this_thread::sleep_for(time);
        const auto after = number_in(honest.ask("count"), "calls");
        return static_cast<double>(after - before) /
               std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    for (const std::string attack : {"flood", "noise"}) {
        // It is one of two users. What else runs on this machine goes where the attacker isn't: should that be so,
        // again.
        const double least = apart ? 0.25 : 0;
        double median = 0;
        for (int tries = 0; tries < 10 && median <= least; ++tries) {
            // One after the other, again and again: whatever else this machine does, both have their part of it.
            std::vector<double> kept;
            for (int i = 0; i < effort(5, 30); ++i) {
                double alone = 0;
                REQUIRE(eventually([&] { return (alone = calls_in(100ms)) > 0; }));
                REQUIRE(attacker.ask(attack) == "begun");
                kept.push_back(calls_in(100ms) / alone);
                REQUIRE(attacker.asks("enough", "made") > 0);
                // Behind all that still wait at the door.
                REQUIRE(Client<TestType>::connect(service.name, patience));
            }
            std::sort(kept.begin(), kept.end());
            median = kept[kept.size() / 2];
            std::cout << word_for<TestType>() << ": throughput beside " << attack << ": " << median
                      << " of what it is alone" << (apart ? "" : ", all on whatever core") << std::endl;
        }
        CHECK(median > least);
    }
    const auto books = honest.ask("count");
    CHECK(number_in(books, "failed") == 0);
    CHECK(number_in(books, "wrong") == 0);
}
