// SPDX-License-Identifier: BSL-1.0
// Sessions: private data, hooks, references that outlive them, loops over all of them, counters.
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "conformance/messages.hpp"
#include "conformance/running.hpp"
#include "conformance/transports.hpp"

namespace {

using namespace conformance;
using qbipc::Credentials;
using qbipc::on;
using qbipc::on_accept;
using qbipc::on_connect;
using qbipc::on_disconnect;
using qbipc::Result;
using qbipc::routes;

/// Has no default: on_accept makes it. Counts how many of them live.
struct Member {
    explicit Member(uid_t who, std::atomic<int>& count) : uid(who), living(&count) { ++*living; }
    Member(Member&& other) noexcept : uid(other.uid), notes(std::move(other.notes)), living(other.living) { ++*living; }
    Member& operator=(Member&&) = delete;
    ~Member() { --*living; }
    uid_t uid;
    std::vector<std::uint64_t> notes;
    std::atomic<int>* living;
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("each session has private data of its own, by default or made from the credentials",
                        "[session]", Transports) {
    {
        auto service = run<TestType>(routes<std::uint64_t>(
            on<Double>([](auto& session, const Double& m) { return Number{*session += m.value}; })));
        auto a = connect<TestType>(service.name), b = connect<TestType>(service.name);
        CHECK(a.call(Double{5}, patience)->value == 5);
        CHECK(b.call(Double{7}, patience)->value == 7);
        CHECK(a.call(Double{1}, patience)->value == 6);
    }
    std::atomic<int> living = 0;
    {
        auto service = run<TestType>(
            routes<Member>(on_accept([&](const Credentials& who) { return Member(who.uid, living); }),
                           on<Note>([](auto& session, const Note& m) { session->notes.push_back(m.number); }),
                           on<Double>([](auto& session, const Double&) {
                               return Number{session->notes.size() * 100000 + session->uid};
                           })));
        auto a = connect<TestType>(service.name), b = connect<TestType>(service.name);
        REQUIRE(a.send(Note{1}));
        REQUIRE(a.send(Note{2}));
        CHECK(a.call(Double{0}, patience)->value == 200000 + ::geteuid());
        CHECK(b.call(Double{0}, patience)->value == ::geteuid());
        CHECK(living == 2);
        b.disconnect();
        CHECK(eventually([&] { return living == 1; }));
    }
    CHECK(living == 0);
}

TEMPLATE_LIST_TEST_CASE("hooks run in order around a session, each once", "[session]", Transports) {
    Log<std::string> log;
    auto service = run<TestType>(routes<int>(
        on_accept([&](const Credentials&) {
            log.add("accept");
            return 1;
        }),
        on_connect([&](auto& session) { log.add("first " + std::to_string(*session)); }),
        on_connect([&](auto&) { log.add("second"); }), on<Double>([&](const Double& m) {
            log.add("request");
            return Number{m.value};
        }),
        on_disconnect([&](auto&) { log.add("first gone"); }), on_disconnect([&](auto&) { log.add("second gone"); })));
    {
        auto client = connect<TestType>(service.name);
        REQUIRE(client.call(Double{1}, patience));
    }
    CHECK(log.wait_for(6) ==
          std::vector<std::string>{"accept", "first 1", "second", "request", "second gone", "first gone"});
}

TEMPLATE_LIST_TEST_CASE("a hook that throws harms nobody", "[session]", Transports) {
    std::atomic<int> ran = 0;
    auto service = run<TestType>(routes(on_connect([](auto&) { throw 1; }), on_disconnect([&](auto&) {
                                            ++ran;
                                            throw 2;
                                        }),
                                        on<Double>([](const Double& m) { return Number{m.value}; })));
    for (int i = 1; i <= 3; ++i) {
        {
            auto client = connect<TestType>(service.name);
            CHECK(client.call(Double{1}, patience));
        }
        REQUIRE(eventually([&] { return ran == i; }));
    }
}

TEMPLATE_LIST_TEST_CASE("a reference keeps a session's data past its connection, and knows that it is gone",
                        "[session]", Transports) {
    std::atomic<int> living = 0;
    using Data = Member;
    std::optional<qbipc::SessionRef<TestType, Data>> held;
    auto service =
        step<TestType>(routes<Data>(on_accept([&](const Credentials& who) { return Member(who.uid, living); }),
                                    on<Note>([&](auto& session, const Note& m) {
                                        session->notes.push_back(m.number);
                                        held.emplace(session.ref());
                                    })));
    {
        auto client = service.connect();
        REQUIRE(client.send(Note{7}));
        service.settle();
        REQUIRE(held);
        CHECK(held->connected());
        CHECK(held->send(Tick{1}));
        CHECK(*client.receive(no_events(), patience) == 1);
        auto copy = *held;
        CHECK(copy.id() == held->id());
    }
    REQUIRE(service.turn_until([&] { return service.service.statistics().ended == 1; }));
    CHECK(living == 1);
    CHECK_FALSE(held->connected());
    CHECK((*held)->notes == std::vector<std::uint64_t>{7});
    CHECK(why(held->send(Tick{1})) == errc::disconnected);
    held->disconnect();
    SECTION("let go of") {
        held.reset();
        CHECK(living == 0);
    }
    SECTION("past the service, too") {
        { const auto gone = std::move(service.service); }
        CHECK((*held)->notes.size() == 1);
        CHECK(why(held->send(Tick{1})) == errc::disconnected);
    }
}

TEMPLATE_LIST_TEST_CASE("a reference disconnects its session, from outside of any handler", "[session]", Transports) {
    std::optional<qbipc::SessionRef<TestType, int>> held;
    auto service = step<TestType>(routes<int>(on_connect([&](auto& session) { held.emplace(session.ref()); })));
    auto client = service.connect();
    REQUIRE(held);
    held->disconnect();
    CHECK_FALSE(held->connected());
    CHECK(why(held->send(Tick{1})) == errc::disconnected);
    service.settle();
    CHECK(why(client.receive(no_events(), patience)) == errc::disconnected);
    CHECK(service.service.statistics().sessions == 0);
}

TEMPLATE_LIST_TEST_CASE("sessions are iterated, and disconnected while they are", "[session]", Transports) {
    std::atomic<int> disconnected = 0;
    auto service = run<TestType>(routes<std::uint64_t>(
        on<Note>([](auto& session, const Note& m) { *session = m.number; }),
        on_disconnect([&](auto&) { ++disconnected; }), on<Double>([](auto& session, const Double& m) {
            // All but the one who asks, and him where he says so.
            std::uint64_t count = 0;
            for (auto& other : session.sessions()) {
                ++count;
                if (other.id() != session.id() || m.value == 1) other.disconnect();
            }
            std::uint64_t left = 0;
            for ([[maybe_unused]] auto& other : session.sessions()) ++left;
            return Number{100 * count + left};
        })));
    std::vector<qbipc::Client<TestType>> clients;
    for (std::uint64_t i = 0; i < 5; ++i) {
        clients.push_back(connect<TestType>(service.name));
        REQUIRE(clients.back().send(Note{i}));
    }
    REQUIRE(eventually([&] { return service.count_sessions() == 5; }));
    std::set<qbipc::SessionId> ids = service.ask([](auto& s) {
        std::set<qbipc::SessionId> all;
        for (auto& session : s.sessions()) all.insert(session.id());
        return all;
    });
    CHECK(ids.size() == 5);
    CHECK(clients[2].call(Double{0}, patience)->value == 501);
    REQUIRE(eventually([&] { return disconnected == 4; }));
    for (std::size_t i : {0u, 1u, 3u, 4u}) CHECK(why(clients[i].receive(no_events(), patience)) == errc::disconnected);
    CHECK(service.count_sessions() == 1);
    auto later = connect<TestType>(service.name);
    CHECK(later.call(Double{1}, patience)->value == 200);  // its own answer still comes
    CHECK(why(later.call(Double{1}, patience)) == errc::disconnected);
    REQUIRE(eventually([&] { return service.count_sessions() == 0; }));
    const auto another = connect<TestType>(service.name);
    REQUIRE(eventually([&] { return service.count_sessions() == 1; }));
    const auto id = service.ask([](auto& s) { return (*s.sessions().begin()).id(); });
    CHECK(ids.count(id) == 0);
}

TEMPLATE_LIST_TEST_CASE("a session and its service count what they do, and the counters are cleared", "[statistics]",
                        Transports) {
    std::vector<qbipc::Answer<Number>> held;
    auto service = step<TestType>(
        routes(on<Double>([](const Double& m) { return Number{m.value}; }), on<Note>([](const Note&) {}),
               on<Tell>([](auto& session, const Tell& m) {
                   for (std::uint64_t i = 0; i < m.count; ++i) (void)session.send(Tick{i});
               }),
               on<Later>([&](const Later&, qbipc::Answer<Number> answer) { held.push_back(std::move(answer)); })));
    const auto before = std::chrono::system_clock::now();
    auto client = service.connect();
    std::vector<qbipc::Pending<Double>> calls;
    for (std::uint64_t i = 0; i < 5; ++i) calls.push_back(must(client.start(Double{i})));
    for (std::uint64_t i = 0; i < 3; ++i) REQUIRE(client.send(Note{i}));
    REQUIRE(client.send(Tell{4}));
    REQUIRE(client.send(qbipc::with_tail(Parcel{1}, patterned(1, 92))));  // nobody takes it
    auto waiting = must(client.start(Later{1}));
    service.settle();
    const auto of_session = [&] { return (*service.service.sessions().begin()).statistics(); };
    for (const qbipc::Statistics& count :
         {of_session(), static_cast<qbipc::Statistics>(service.service.statistics())}) {
        CHECK(count.requests == 11);
        CHECK(count.responses == 5);
        CHECK(count.events == 4);
        CHECK(count.bytes_received == 10 * 8 + 100);
        CHECK(count.bytes_sent == 9 * 8);
        CHECK(count.lane_full == 0);
        CHECK(count.one_way_failures == 1);
        CHECK(count.calls_waiting == 1);
    }
    CHECK(of_session().connected_since >= before);
    CHECK(of_session().connected_since <= std::chrono::system_clock::now());
    CHECK(service.service.statistics().accepted == 1);
    CHECK(service.service.statistics().sessions == 1);
    CHECK(service.service.statistics().half_open == 0);
    (*service.service.sessions().begin()).clear_statistics();
    CHECK(of_session().requests == 0);
    CHECK(of_session().bytes_sent == 0);
    CHECK(of_session().calls_waiting == 1);  // a level
    CHECK(service.service.statistics().requests == 11);
    service.service.clear_statistics();
    CHECK(service.service.statistics().requests == 0);
    CHECK(service.service.statistics().accepted == 0);
    CHECK(service.service.statistics().sessions == 1);
    REQUIRE(client.send(Note{1}));
    service.settle();
    CHECK(service.service.statistics().requests == 1);
    CHECK(of_session().requests == 1);
    client.disconnect();
    REQUIRE(service.turn_until([&] { return service.service.statistics().ended == 1; }));
    CHECK(service.service.statistics().requests == 1);  // of a session that ended, too
    CHECK(service.service.statistics().sessions == 0);
    CHECK(service.service.statistics().calls_waiting == 0);
    CHECK(client.statistics().requests == 12);
}
