// SPDX-License-Identifier: BSL-1.0
// How connections end: in order, by either side, in the middle of a wait; and that nothing sent before is lost.
#include <memory>
#include <optional>
#include <utility>

#include "conformance/messages.hpp"
#include "conformance/running.hpp"
#include "conformance/transports.hpp"

namespace {

using namespace conformance;
using qbipc::Answer;
using qbipc::Copy;
using qbipc::forever;
using qbipc::on;
using qbipc::Result;
using qbipc::routes;
using qbipc::TailView;
using qbipc::with_tail;

/// Counts the calls that it takes and doesn't answer.
auto silent_selector(std::atomic<int>& entered) {
    return routes(on<Later>([&, held = std::vector<Answer<Number>>()](const Later&, Answer<Number> answer) mutable {
                      held.push_back(std::move(answer));
                      ++entered;
                  }),
                  on<Double>([](const Double& m) { return Number{2 * m.value}; }));
}

/// A service that can be ended while a client waits.
template <class T>
struct Silent {
    using Service = Running<T, decltype(silent_selector(std::declval<std::atomic<int>&>()))>;

    std::atomic<int> entered = 0;
    std::unique_ptr<Service> service = std::make_unique<Service>(silent_selector(entered));

    /// Ends the service once it has taken so many calls.
    std::jthread end_after(int calls) {
        return std::jthread([this, calls] {
            eventually([&] { return entered >= calls; });
            std::this_thread::sleep_for(shortly);  // most likely the client sleeps by now
            service.reset();
        });
    }
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("a service's end ends every wait, whatever its deadline", "[end]", Transports) {
    Silent<TestType> silent;
    auto client = connect<TestType>(silent.service->name);
    SECTION("a call") {
        const auto ending = silent.end_after(1);
        CHECK(why(client.call(Later{1}, forever)) == errc::disconnected);
    }
    SECTION("a call, with calls of tokens and functions outstanding") {
        int ran = 0;
        auto pending = must(client.start(Later{1}));
        REQUIRE(
            client.start(Later{1}, forever, [&](Result<Number> answer) { ran += why(answer) == errc::disconnected; }));
        const auto ending = silent.end_after(3);
        CHECK(why(client.call(Later{1}, forever)) == errc::disconnected);
        CHECK(why(client.wait(pending, forever)) == errc::disconnected);
        CHECK(why(client.dispatch(no_events())) == errc::disconnected);
        CHECK(ran == 1);
    }
    SECTION("the wait for a token") {
        auto pending = must(client.start(Later{1}));
        const auto ending = silent.end_after(1);
        CHECK(why(client.wait(pending, forever)) == errc::disconnected);
        CHECK(why(client.wait(pending, forever)) == errc::disconnected);
    }
    SECTION("the wait for an event") {
        REQUIRE(client.send(Note{1}));
        const auto ending = silent.end_after(0);
        CHECK(why(client.receive(no_events(), forever)) == errc::disconnected);
    }
    SECTION("a loop's") {
        auto pending = must(client.start(Later{1}));
        const auto ending = silent.end_after(1);
        const int fd = client.fd();
        Result<std::size_t> taken = 0;
        while (taken) {
            REQUIRE(readable(fd, patience));
            taken = client.dispatch(no_events());
        }
        CHECK(why(taken) == errc::disconnected);
        CHECK(readable(fd));  // and stays so: whoever asks again learns it again
        CHECK(why(client.dispatch(no_events())) == errc::disconnected);
    }
    CHECK_FALSE(client.alive());
    CHECK(why(client.send(Note{1})) == errc::disconnected);
    CHECK(why(client.send(Note{1}, forever)) == errc::disconnected);
    CHECK(why(client.start(Later{1})) == errc::disconnected);
    CHECK(why(client.call(Double{1}, forever)) == errc::disconnected);
}

TEMPLATE_LIST_TEST_CASE("a wait for room ends with the service, too", "[end]", Transports) {
    auto service = step_owned<TestType>(routes(on<Parcel>([](const Parcel&) {})));
    auto client = service->connect();
    const auto large = patterned(1, 1'000'000);
    std::jthread ending([&] {
        std::this_thread::sleep_for(2 * shortly);
        service.reset();
    });
    Result<void> sent;
    for (int i = 0; sent && i < 1000; ++i) sent = client.send(with_tail(Parcel{1}, large), forever);
    CHECK(why(sent) == errc::disconnected);
}

TEMPLATE_LIST_TEST_CASE("what a service sent before its end is delivered, then the end is told", "[end]", Transports) {
    std::vector<std::uint64_t> got;
    auto service =
        step_owned<TestType>(routes(on<Tell>([&](auto& session, const Tell&) { (void)session.send(Tick{1}); }),
                                    on<Double>([](const Double& m) { return Number{m.value}; })));
    auto client = service->connect();
    for (int i = 0; i < 20; ++i) REQUIRE(client.send(Tell{1}));
    auto pending = must(client.start(Double{5}));
    auto never_read = must(client.start(Double{6}));
    service->settle();
    service.reset();
    const auto ticks = routes(on<Tick>([&](const Tick& tick) { got.push_back(tick.number); }));
    SECTION("events first") {
        while (client.receive(ticks, patience)) {
        }
        CHECK(got.size() == 20);
        CHECK(must(client.wait(pending, patience)).value == 5);
    }
    SECTION("answers first") {
        CHECK(must(client.wait(pending, patience)).value == 5);
        CHECK(must(client.wait(never_read, patience)).value == 6);
        CHECK(why(client.call(Double{1}, patience)) == errc::disconnected);
        while (client.receive(ticks, patience)) {
        }
        CHECK(got.size() == 20);
    }
    SECTION("one by one, from a loop") {
        const int fd = client.fd();
        while (readable(fd, patience) && client.dispatch(ticks, {1})) {
        }
        CHECK(got.size() == 20);
    }
    CHECK(why(client.receive(ticks, patience)) == errc::disconnected);
}

TEMPLATE_LIST_TEST_CASE("send, then disconnect, loses nothing", "[end]", Transports) {
    std::atomic<std::uint64_t> sum = 0, good = 0;
    auto service = run<TestType>(routes(
        on<Note>([&](const Note& note) { sum += note.number; }),
        on<Parcel>([&](const Parcel& m, TailView<std::byte> tail) { good += is_patterned(tail, m.number, 300'000); })));
    const std::uint64_t rounds = times(50);
    const auto large = patterned(9, 300'000);
    std::uint64_t slow = 0;
    for (std::uint64_t i = 0; i < rounds; ++i) {
        auto client = std::optional(connect<TestType>(service.name));
        for (std::uint64_t k = 1; k <= 20; ++k) REQUIRE(client->send(Note{k}));
        REQUIRE(client->send(with_tail(Parcel{9}, large)));
        slow += takes_a_second([&] {
            if (i % 2 == 0) client->disconnect();
            client.reset();
        });
    }
    REQUIRE(eventually([&] { return good + slow >= rounds && sum == rounds * 210; }));
    CHECK(slow < rounds / 2);
    REQUIRE(eventually([&] { return service.count_sessions() == 0; }));
}

TEMPLATE_LIST_TEST_CASE("a client that disconnected gets disconnected from everything, and may be destroyed", "[end]",
                        Transports) {
    auto service = run<TestType>(routes(on<Double>([](const Double& m) { return Number{m.value}; })));
    auto client = connect<TestType>(service.name);
    CHECK(client.call(Double{1}, patience));
    client.disconnect();
    client.disconnect();
    CHECK(why(client.call(Double{1}, patience)) == errc::disconnected);
    CHECK(why(client.send(Note{1})) == errc::disconnected);
    CHECK(why(client.receive(no_events(), patience)) == errc::disconnected);
    CHECK(why(client.dispatch(no_events())) == errc::disconnected);
    CHECK_FALSE(client.alive());
    REQUIRE(eventually([&] { return service.count_sessions() == 0; }));
}

TEMPLATE_LIST_TEST_CASE("a session knows why it ended", "[end]", Transports) {
    Log<qbipc::EndReason> reasons;
    std::optional<qbipc::Client<TestType>> other;
    {
        auto service = run<TestType>(routes(qbipc::on_disconnect([&](auto& session) {
                                                reasons.add(session.reason());
                                                if (session.send(Tick{1})) reasons.add(qbipc::EndReason::none);
                                            }),
                                            on<Note>([](auto& session, const Note&) { session.disconnect(); })));
        { auto client = connect<TestType>(service.name); }
        CHECK(reasons.wait_for(1).back() == qbipc::EndReason::bye);
        auto client = connect<TestType>(service.name);
        REQUIRE(client.send(Note{1}));
        CHECK(reasons.wait_for(2).back() == qbipc::EndReason::disconnected);
        CHECK(why(client.receive(no_events(), patience)) == errc::disconnected);
        other.emplace(connect<TestType>(service.name));
        REQUIRE(eventually([&] { return service.count_sessions() == 1; }));
    }
    CHECK(reasons.wait_for(3).back() == qbipc::EndReason::stopped);
    CHECK(reasons.size() == 3);
}

TEMPLATE_LIST_TEST_CASE(
    "a handler disconnects its own session: the answer and events before are delivered, no more requests taken",
    "[end]", Transports) {
    std::atomic<int> handled = 0, disconnected = 0;
    auto service = step<TestType>(
        routes(qbipc::on_disconnect([&](auto&) { ++disconnected; }), on<Double>([&](auto& session, const Double& m) {
                   ++handled;
                   (void)session.send(Tick{m.value});
                   session.disconnect();
                   session.disconnect();
                   return Number{m.value};
               })));
    auto client = service.connect();
    auto first = must(client.start(Double{1}));
    auto second = must(client.start(Double{2}));
    service.settle();
    CHECK(handled == 1);
    CHECK(disconnected == 1);
    int ticks = 0;
    CHECK(must(client.wait(first, patience)).value == 1);
    CHECK(why(client.wait(second, patience)) == errc::disconnected);
    CHECK(client.receive(routes(on<Tick>([&](const Tick&) { ++ticks; })), patience));
    CHECK(ticks == 1);
    CHECK(why(client.receive(no_events(), patience)) == errc::disconnected);
}

TEMPLATE_LIST_TEST_CASE("on_connect may send events, and disconnect at once", "[end]", Transports) {
    std::atomic<int> count = 0, disconnected = 0;
    auto service = run<TestType>(routes(qbipc::on_connect([&](auto& session) {
                                            for (std::uint64_t i = 0; i < 10; ++i) (void)session.send(Tick{i});
                                            if (++count == 2) session.disconnect();
                                        }),
                                        qbipc::on_disconnect([&](auto&) { ++disconnected; }),
                                        on<Double>([](const Double& m) { return Number{m.value}; })));
    const auto expect_ten = [](auto& client) {
        std::uint64_t next = 0;
        const auto ticks = routes(on<Tick>([&](const Tick& tick) { CHECK(tick.number == next++); }));
        while (next < 10) REQUIRE(client.receive(ticks, patience));
    };
    auto first = connect<TestType>(service.name);
    expect_ten(first);
    CHECK(first.call(Double{1}, patience));
    auto second = connect<TestType>(service.name);
    expect_ten(second);
    CHECK(why(second.call(Double{1}, patience)) == errc::disconnected);
    CHECK(why(second.receive(no_events(), patience)) == errc::disconnected);
    REQUIRE(eventually([&] { return disconnected == 1; }));
    CHECK(first.alive());
}

TEMPLATE_LIST_TEST_CASE("a client that leaves before anything happens is greeted and seen off, once", "[end]",
                        Transports) {
    std::atomic<std::uint64_t> connected = 0, disconnected = 0;
    auto service = run<TestType>(
        routes(qbipc::on_connect([&](auto&) { ++connected; }), qbipc::on_disconnect([&](auto&) { ++disconnected; })));
    const std::uint64_t rounds = times(200);
    for (std::uint64_t i = 0; i < rounds; ++i) {
        auto client = connect<TestType>(service.name);
        if (i % 2 == 0) client.disconnect();
    }
    REQUIRE(eventually([&] {
        return service.statistics().sessions == 0 && service.statistics().half_open == 0 && connected == disconnected;
    }));
    CHECK(connected <= rounds);
    CHECK(service.statistics().accepted == connected);
}

TEMPLATE_LIST_TEST_CASE("a session that its service disconnects doesn't stay for ever where its client reads nothing",
                        "[end]", Transports) {
    qbipc::ServiceOptions options;
    options.limits.handshake = 2s;
    std::atomic<int> disconnected = 0;
    auto service = step<TestType>(
        routes(qbipc::on_disconnect([&](auto&) { ++disconnected; }), on<Echo>([](const Echo& m, TailView<std::byte>) {
                   return Copy<Echoed>(Echoed{m.number}, std::vector<std::byte>(900'000));
               })),
        qbipc::same_user_or_root, options);
    qbipc::Options wishes;
    wishes.lane_size = 64 << 10;
    auto client = service.connect(wishes);
    auto pending = must(client.start(with_tail(Echo{1})));  // its answer finds no room
    REQUIRE(service.turn_until([&] { return service.service.statistics().requests == 1; }));
    for (auto& session : service.service.sessions()) session.disconnect();
    REQUIRE(service.turn_until([&] { return service.service.statistics().ended == 1; }));
    CHECK(disconnected == 1);  // at once, and not again at the limit
    CHECK(service.service.statistics().sessions == 0);
    CHECK(why(client.wait(pending, patience)) == errc::disconnected);
}

TEMPLATE_LIST_TEST_CASE("what waits in the outbox goes out before a disconnect of the service", "[end]", Transports) {
    auto service = run<TestType>(routes(on<Echo>([](auto& session, const Echo& m, TailView<std::byte>) {
        session.disconnect();
        return Copy<Echoed>(Echoed{m.number}, patterned(m.number, 900'000));
    })));
    qbipc::Options wishes;
    wishes.lane_size = 64 << 10;
    auto client = connect<TestType>(service.name, wishes);
    const auto answer = client.call(with_tail(Echo{7}), patience);
    REQUIRE(answer);
    CHECK(is_patterned(answer->tail(), 7, 900'000));
    CHECK(why(client.call(with_tail(Echo{7}), patience)) == errc::disconnected);
}

TEMPLATE_LIST_TEST_CASE("a client that dies with answers unread leaves nothing behind", "[end]", Transports) {
    std::vector<Answer<Echoed>> owed;
    std::atomic<int> disconnected = 0;
    qbipc::ServiceOptions options;
    options.limits.unanswered = 3;
    auto service = step<TestType>(routes(qbipc::on_disconnect([&](auto&) { ++disconnected; }),
                                         on<Echo>([&](const Echo& m, TailView<std::byte>, Answer<Echoed> answer) {
                                             if (m.number == 0)
                                                 (void)answer.send(with_tail(Echoed{1}, patterned(1, 900'000)));
                                             else
                                                 owed.push_back(std::move(answer));
                                         })),
                                  qbipc::same_user_or_root, options);
    qbipc::Options wishes;
    wishes.lane_size = 64 << 10;
    {
        auto client = service.connect(wishes);
        std::uint64_t number = 0;
        SECTION("an answer waits for room") {}
        SECTION("it is owed more answers than it may") { number = 1; }
        for (int i = 0; i < 10; ++i) (void)must(client.start(with_tail(Echo{number})));
        service.settle();
        CHECK(service.service.statistics().requests < 10);
    }
    REQUIRE(service.turn_until([&] { return service.service.statistics().ended == 1; }));
    CHECK(disconnected == 1);
    CHECK(service.service.statistics().sessions == 0);
    service.settle();
}

TEMPLATE_LIST_TEST_CASE("a goodbye is one, though an event was to be sent after it", "[end]", Transports) {
    Log<qbipc::EndReason> reasons;
    std::optional<qbipc::Client<TestType>> client;
    auto service = step<TestType>(routes(qbipc::on_disconnect([&](auto& session) { reasons.add(session.reason()); }),
                                         on<Note>([&](auto& session, const Note& m) {
                                             client->disconnect();  // before anybody has looked at the socket again
                                             (void)session.send(Tick{m.number});
                                         })));
    client.emplace(service.connect());
    REQUIRE(client->fd() >= 0);  // a loop sleeps on E: the event rings
    service.settle();
    REQUIRE(client->send(Note{1}));
    service.settle();
    REQUIRE(reasons.size() == 1);
    CHECK(reasons.wait_for(1).back() == qbipc::EndReason::bye);
}
