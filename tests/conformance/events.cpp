// SPDX-License-Identifier: BSL-1.0
// Events: in order, counted, through selectors; slow clients, who lose some and know how many.
#include <algorithm>
#include <functional>
#include <utility>

#include "conformance/messages.hpp"
#include "conformance/running.hpp"
#include "conformance/transports.hpp"

namespace {

using namespace conformance;
using qbipc::on;
using qbipc::otherwise;
using qbipc::routes;
using qbipc::TailView;
using qbipc::with_tail;

}  // namespace

TEMPLATE_LIST_TEST_CASE("ten thousand events arrive in order, each checked", "[event]", Transports) {
    const std::uint64_t count = times(10'000);
    std::atomic<std::uint64_t> sent = 0;
    // Sends what there is room for, and goes on when it is asked again.
    auto service = run<TestType>(routes(on<Tell>([&](auto& session, const Tell&) {
        while (sent < count) {
            const auto result = sent % 10 == 9 ? session.send(with_tail(Chunk{sent}, patterned(sent, sent * 31 % 4000)))
                                               : session.send(Tick{sent});
            if (!result) break;
            ++sent;
        }
    })));
    auto client = connect<TestType>(service.name);
    std::uint64_t next = 0, wrong = 0;
    const auto events =
        routes(on<Tick>([&](const Tick& tick) { wrong += tick.number != next++; }),
               on<Chunk>([&](const Chunk& chunk, TailView<std::byte> tail) {
                   wrong += chunk.number != next++ || !is_patterned(tail, chunk.number, chunk.number * 31 % 4000);
               }));
    while (next < count) {
        REQUIRE(client.send(Tell{1}, patience));
        (void)client.receive(events, shortly);
    }
    CHECK(wrong == 0);
    CHECK(client.statistics().events == count);
}

TEMPLATE_LIST_TEST_CASE("a slow client's losses are refused to the sender, and counted exactly by the client",
                        "[event]", Transports) {
    auto service = step<TestType>(routes(on<Note>([](const Note&) {})));
    auto client = service.connect(small_lanes());
    std::uint64_t offered = 0, refused = 0, expected = 0, received = 0, wrong = 0;
    std::vector<bool> accepted;
    for (int round = 0; round < 5; ++round) {
        for (int i = 0; i < 3'000; ++i) {
            for (auto& session : service.service.sessions()) {
                const auto sent = session.send(Tick{offered++});
                accepted.push_back(sent.has_value());
                if (!sent) {
                    ++refused;
                    REQUIRE(why(sent) == errc::lane_full);
                }
            }
        }
        const auto events = routes(on<Tick>([&](const Tick& tick) {
            while (expected < accepted.size() && !accepted[expected]) ++expected;
            wrong += tick.number != expected++;
            ++received;
        }));
        while (client.receive(events, 2 * shortly)) {
        }
        // Those at the end are known when the next one comes.
        for (auto& session : service.service.sessions()) {
            REQUIRE(session.send(Tick{offered++}));
            accepted.push_back(true);
        }
        REQUIRE(client.receive(events, patience));
        CHECK(client.statistics().events == offered - refused);
        CHECK(client.statistics().events_missed == refused);
    }
    CHECK(refused > 0);
    CHECK(wrong == 0);
    CHECK(received == offered - refused);
    CHECK(service.service.statistics().events == received);
    CHECK(service.service.statistics().lane_full == refused);
}

TEMPLATE_LIST_TEST_CASE("events that aren't read are in no answer's way", "[event]", Transports) {
    std::atomic<std::uint64_t> refused = 0;
    auto service = run<TestType>(routes(on<Double>([&](auto& session, const Double& m) {
        for (int i = 0; i < 100; ++i) refused += !session.send(with_tail(Chunk{1}, patterned(1, 1000)));
        return Number{2 * m.value};
    })));
    auto client = connect<TestType>(service.name, small_lanes());
    for (std::uint64_t i = 0; i < 100; ++i) REQUIRE(client.call(Double{i}, patience)->value == 2 * i);
    CHECK(refused > 0);
}

TEMPLATE_LIST_TEST_CASE("large events arrive in pieces, the small ones behind them in order", "[event]", Transports) {
    auto service = run<TestType>(routes(on<Tell>([](auto& session, const Tell& m) {
        (void)session.send(with_tail(Chunk{m.count}, patterned(m.count, 500'000)));
        (void)session.send(Tick{m.count});
    })));
    auto client = connect<TestType>(service.name);
    std::vector<std::uint64_t> order;
    const auto events = routes(on<Tick>([&](const Tick& tick) { order.push_back(2 * tick.number + 1); }),
                               on<Chunk>([&](const Chunk& chunk, TailView<std::byte> tail) {
                                   CHECK(is_patterned(tail, chunk.number, 500'000));
                                   order.push_back(2 * chunk.number);
                               }));
    for (std::uint64_t i = 0; i < 5; ++i) {
        REQUIRE(client.send(Tell{i}));
        while (order.empty() || order.back() < 2 * i) REQUIRE(client.receive(events, patience));
    }
    while (order.size() < 5 + 5 - client.statistics().events_missed && client.receive(events, 5 * shortly)) {
    }
    CHECK(std::is_sorted(order.begin(), order.end()));
}

TEMPLATE_LIST_TEST_CASE("a client's selector may be any functor; what it doesn't take is dropped, and counted",
                        "[event]", Transports) {
    auto service = run<TestType>(routes(on<Tell>([](auto& session, const Tell& m) {
        (void)session.send(Tick{m.count});
        (void)session.send(with_tail(Chunk{m.count}, patterned(m.count, 10)));
        (void)session.send(qbipc::bytes(7, qbipc::EventId(70), patterned(1, 5)));
    })));
    auto client = connect<TestType>(service.name);
    std::size_t taken = 0;
    const auto receive_three = [&](auto&& selector) {
        REQUIRE(client.send(Tell{1}));
        for (std::size_t count = 0; count < 3;) count += must(client.receive(selector, patience));
    };
    receive_three([&](auto&, auto& event) {
        ++taken;
        CHECK(event.size() == event.copy().size());
        if (event.event() == qbipc::EventId(70)) {
            CHECK(event.service() == qbipc::ServiceId(7));
            CHECK(is_patterned(event.in_place(), 1, 5));
        }
        return true;
    });
    CHECK(taken == 3);
    receive_three(routes(on<Tick>([&](const Tick&) { ++taken; })));
    CHECK(taken == 4);
    receive_three(routes(on<Tick>([&](const Tick&) { ++taken; }), otherwise([&](auto&, auto&) { ++taken; })));
    CHECK(taken == 7);
    auto shared = routes(on<Chunk>([&](const Chunk&, TailView<std::byte>) { ++taken; }));
    receive_three(std::ref(shared));
    receive_three(shared);
    CHECK(taken == 9);
    receive_three(routes(on<Tick>([&](auto& peer, const Tick&) { taken += &peer == &client; })));
    CHECK(taken == 10);
    CHECK(client.statistics().events == 18);
    CHECK(client.statistics().events_missed == 0);
}

TEMPLATE_LIST_TEST_CASE("receive waits for one event, and gives all that are there", "[event]", Transports) {
    auto service = step<TestType>(routes(on<Tell>([](auto& session, const Tell& m) {
        for (std::uint64_t i = 0; i < m.count; ++i) (void)session.send(Tick{i});
    })));
    auto client = service.connect();
    CHECK(why(client.receive(no_events(), shortly)) == errc::timed_out);
    CHECK(why(client.receive(no_events(), 0ms)) == errc::timed_out);
    CHECK(*client.dispatch(no_events()) == 0);
    REQUIRE(client.send(Tell{20}));
    service.settle();
    CHECK(*client.receive(no_events(), patience) == 20);
    CHECK(why(client.receive(no_events(), 0ms)) == errc::timed_out);
    REQUIRE(client.send(Tell{3}));
    CHECK(*service.while_turning([&] { return client.receive(no_events(), patience); }) >= 1);
}

TEMPLATE_LIST_TEST_CASE("an event goes to one session, or to all that a predicate picks", "[event]", Transports) {
    auto service = run<TestType>(routes<std::uint64_t>(
        on<Note>([](auto& session, const Note& m) { *session = m.number; }), on<Tell>([](auto& session, const Tell& m) {
            for (auto& other : session.sessions())
                if (*other == m.count) (void)other.send(Tick{session.id()});
        }),
        on<Double>([](const Double&) { return Number{0}; })));
    std::vector<qbipc::Client<TestType>> clients;
    for (std::uint64_t i = 0; i < 6; ++i) {
        clients.push_back(connect<TestType>(service.name));
        REQUIRE(clients.back().send(Note{i % 2}));
        REQUIRE(clients.back().call(Double{1}, patience));
    }
    REQUIRE(clients[0].send(Tell{1}));
    REQUIRE(clients[0].call(Double{1}, patience));
    for (std::uint64_t i = 0; i < 6; ++i) {
        CAPTURE(i);
        if (i % 2 == 1)
            CHECK(*clients[i].receive(no_events(), patience) == 1);
        else
            CHECK(*clients[i].dispatch(no_events()) == 0);
    }
}
