// SPDX-License-Identifier: BSL-1.0
// One-way messages, full lanes, waiting for room, rows of pieces and those that are given up midway, the outbox.
#include <memory>
#include <utility>

#include "conformance/messages.hpp"
#include "conformance/running.hpp"
#include "conformance/transports.hpp"

namespace {

using namespace conformance;
using qbipc::Answer;
using qbipc::build;
using qbipc::Copy;
using qbipc::fail;
using qbipc::on;
using qbipc::Result;
using qbipc::routes;
using qbipc::TailView;
using qbipc::with_tail;

/// What a service has taken, in the same thread as the test.
struct Taken {
    std::vector<std::uint64_t> notes;
    std::vector<std::uint64_t> parcels;
    bool damaged = false;
    std::uint64_t calls = 0;
};
auto taking(Taken& taken) {
    return routes(on<Note>([&](const Note& m) { taken.notes.push_back(m.number); }),
                  on<Parcel>([&](const Parcel& m, TailView<std::byte> tail) {
                      taken.parcels.push_back(m.number);
                      taken.damaged |= !is_patterned(tail, m.number, tail.size());
                  }),
                  on<Double>([&](const Double& m) {
                      ++taken.calls;
                      return Number{2 * m.value};
                  }),
                  on<Echo>([&](const Echo& m, TailView<std::byte>) {
                      ++taken.calls;
                      return Copy<Echoed>(Echoed{m.number}, patterned(m.number, 300'000));
                  }));
}
constexpr std::size_t large = 500'000;

}  // namespace

TEMPLATE_LIST_TEST_CASE("a full lane says so at once, and takes messages again as room comes", "[send]", Transports) {
    Taken taken;
    auto service = step<TestType>(taking(taken));
    auto client = service.connect(small_lanes());
    std::uint64_t sent = 0;
    for (int round = 0; round < 20; ++round) {
        Result<void> result;
        for (int i = 0; i < 5000 && (result = client.send(Note{sent})); ++i) ++sent;
        CHECK(why(result) == errc::lane_full);
        CHECK(why(client.start(Double{1})) == errc::lane_full);
        for (const std::size_t size : {std::size_t{100}, std::size_t{300'000}}) {
            bool built = false;
            CHECK(why(client.start(build<Echo>(size, [&](Echo&, std::span<std::byte>) { built = true; }))) ==
                  errc::lane_full);
            CHECK_FALSE(built);
        }
        service.settle();
        REQUIRE(taken.notes.size() == sent);
    }
    for (std::uint64_t i = 0; i < sent; ++i) REQUIRE(taken.notes[i] == i);
    CHECK(client.statistics().requests == sent);
}

TEMPLATE_LIST_TEST_CASE("a send waits for room, until its deadline and no longer", "[send]", Transports) {
    Taken taken;
    auto service = step<TestType>(taking(taken));
    auto client = service.connect(small_lanes());
    std::uint64_t sent = 0;
    while (client.send(Note{sent})) ++sent;
    CHECK(why(client.send(Note{999}, shortly)) == errc::timed_out);
    CHECK(why(client.send(Note{999}, 0ms)) == errc::timed_out);
    CHECK(why(client.call(Double{1}, shortly)) == errc::timed_out);
    CHECK(service.while_turning([&] { return client.send(Note{sent}, patience); }));
    ++sent;
    service.settle();
    REQUIRE(taken.notes.size() == sent);  // what timed out wasn't delivered later
    for (std::uint64_t i = 0; i < sent; ++i) REQUIRE(taken.notes[i] == i);
    CHECK(taken.calls == 0);
}

TEMPLATE_LIST_TEST_CASE("many messages of all sizes pass through a small lane, in order", "[send]", Transports) {
    std::atomic<std::uint64_t> next = 0, damaged = 0;
    auto service = run<TestType>(routes(on<Note>([&](const Note& m) { damaged += m.number != next++; }),
                                        on<Parcel>([&](const Parcel& m, TailView<std::byte> tail) {
                                            damaged += m.number != next++ ||
                                                       !is_patterned(tail, m.number, m.number * 997 % 200'000);
                                        }),
                                        on<Double>([](const Double& m) { return Number{m.value}; })));
    auto client = connect<TestType>(service.name, small_lanes());
    for (std::uint64_t i = 0; i < times(300); ++i) {
        if (i % 4 == 0)
            REQUIRE(client.send(Note{i}, patience));
        else
            REQUIRE(client.send(with_tail(Parcel{i}, patterned(i, i * 997 % 200'000)), patience));
    }
    REQUIRE(client.call(Double{1}, patience));
    CHECK(next == times(300));
    CHECK(damaged == 0);
}

TEMPLATE_LIST_TEST_CASE("a row given up midway isn't delivered, and what follows it is whole", "[send]", Transports) {
    Taken taken;
    auto service = step<TestType>(taking(taken));
    auto client = service.connect(small_lanes());
    for (std::uint64_t round = 1; round <= 5; ++round) {
        // Larger than the lane: it can't be out before the service takes some.
        CHECK(why(client.send(with_tail(Parcel{round}, patterned(round, 1'000'000)), shortly)) == errc::timed_out);
        CHECK(why(client.call(with_tail(Echo{round}, patterned(round, 1'000'000)), shortly)) == errc::timed_out);
        service.settle();
        CHECK(service.while_turning(
            [&] { return client.send(with_tail(Parcel{100 + round}, patterned(100 + round, large)), patience); }));
        CHECK(service.while_turning([&] { return client.send(Note{round}, patience); }));
        service.settle();
        CHECK(taken.notes.size() == round);
    }
    CHECK(taken.parcels == std::vector<std::uint64_t>{101, 102, 103, 104, 105});
    CHECK(taken.calls == 0);
    CHECK_FALSE(taken.damaged);
    CHECK(service.service.statistics().sessions == 1);
}

TEMPLATE_LIST_TEST_CASE("a large message that began at once goes out with what follows, and flush waits for it",
                        "[send]", Transports) {
    Taken taken;
    auto service = step<TestType>(taking(taken));
    auto client = service.connect(small_lanes());
    REQUIRE(client.send(with_tail(Parcel{1}, patterned(1, 1'000'000))));
    CHECK(why(client.send(Note{1})) == errc::lane_full);  // behind the rest
    CHECK(why(client.flush(shortly)) == errc::timed_out);
    SECTION("flush") {
        CHECK(service.while_turning([&] { return client.flush(patience); }));
        CHECK(client.flush(0ms));
    }
    SECTION("the next send") {
        CHECK(service.while_turning([&] { return client.send(Note{2}, patience); }));
    }
    SECTION("the next call") {
        CHECK(service.while_turning([&] { return client.call(Double{2}, patience); })->value == 4);
    }
    SECTION("receive") {
        auto pending = std::async(std::launch::async, [&] { return client.receive(no_events(), patience); });
        REQUIRE(service.turn_until([&] { return taken.parcels.size() == 1; }));
        for (auto& session : service.service.sessions()) CHECK(session.send(Tick{1}));
        CHECK(*pending.get() == 1);
    }
    SECTION("a loop") {
        const int fd = client.fd();
        const auto end = std::chrono::steady_clock::now() + patience;
        while (taken.parcels.empty() && std::chrono::steady_clock::now() < end) {
            service.settle();
            if (taken.parcels.empty() && readable(fd, patience)) REQUIRE(client.dispatch(no_events()));
        }
    }
    SECTION("disconnect") {
        const bool slow = service.while_turning([&] { return takes_a_second([&] { client.disconnect(); }); });
        if (slow) return;
    }
    service.settle();
    CHECK(taken.parcels == std::vector<std::uint64_t>{1});
    CHECK_FALSE(taken.damaged);
}

TEMPLATE_LIST_TEST_CASE("a client that waits for room takes answers in meanwhile: two full lanes resolve", "[send]",
                        Transports) {
    std::atomic<std::uint64_t> taken = 0;
    auto service = run<TestType>(routes(on<Echo>([&](const Echo& m, TailView<std::byte> tail) {
        ++taken;
        return Copy<Echoed>(Echoed{m.number}, tail);
    })));
    auto client = connect<TestType>(service.name, small_lanes());
    const auto tail = patterned(1, 10'000);
    std::uint64_t answered = 0;
    const std::uint64_t rounds = times(500);
    for (std::uint64_t i = 0; i < rounds; ++i)
        REQUIRE(client.start(with_tail(Echo{i}, tail), patience, [&, i](Result<Copy<Echoed>> answer) {
            answered += answer && (*answer)->number == i && is_patterned(answer->tail(), 1, 10'000);
        }));
    while (answered < rounds) {
        REQUIRE(readable(client.fd(), patience));
        REQUIRE(client.dispatch(no_events()));
    }
    CHECK(taken == rounds);
}

TEMPLATE_LIST_TEST_CASE("a client sends calls and reads nothing: every call that was taken is answered once",
                        "[outbox]", Transports) {
    Taken taken;
    auto service = step<TestType>(taking(taken));
    auto client = service.connect(small_lanes());
    std::vector<qbipc::Pending<Double>> calls;
    std::uint64_t refused = 0;
    for (int i = 0; i < 100'000 && refused < 3; ++i) {
        auto call = client.start(Double{calls.size()});
        if (call) {
            calls.push_back(std::move(*call));
            refused = 0;
        } else {
            REQUIRE(why(call) == errc::lane_full);
            ++refused;
            service.settle();
        }
    }
    CHECK(refused == 3);  // back-pressure has reached the client: or it was the 4,096 calls
    CHECK(taken.calls <= calls.size());
    for (std::size_t i = 0; i < calls.size(); ++i) {
        auto answer = client.wait(calls[i], 0ms);
        for (const auto end = std::chrono::steady_clock::now() + patience;
             !answer && std::chrono::steady_clock::now() < end;) {
            service.settle();
            answer = client.wait(calls[i], 0ms);
        }
        REQUIRE(answer);
        REQUIRE(answer->value == 2 * i);
    }
    CHECK(taken.calls == calls.size());
    CHECK(client.statistics().responses == calls.size());
    CHECK(client.statistics().late_answers == 0);
    CHECK(service.service.statistics().responses == calls.size());
}

TEMPLATE_LIST_TEST_CASE(
    "large answers to a client that reads nothing wait outside the lane, and no more calls are taken", "[outbox]",
    Transports) {
    Taken taken;
    auto service = step<TestType>(taking(taken));
    auto client = service.connect(small_lanes());
    std::vector<qbipc::Pending<Echo>> calls;
    for (std::uint64_t i = 0; i < 40; ++i) calls.push_back(must(client.start(with_tail(Echo{i}))));
    service.settle();
    CHECK(taken.calls < 10);
    CHECK(service.service.statistics().lane_full > 0);
    for (std::uint64_t i = 0; i < calls.size(); ++i) {
        const auto answer = service.while_turning([&] { return client.wait(calls[i], patience); });
        REQUIRE(answer);
        CHECK((*answer)->number == i);
        REQUIRE(is_patterned(answer->tail(), i, 300'000));
    }
    CHECK(taken.calls == calls.size());
}

TEMPLATE_LIST_TEST_CASE("an answer that is built is built once, with room or without", "[outbox]", Transports) {
    std::uint64_t built = 0, answered = 0;
    std::vector<Answer<Echoed>> answers;
    auto service = step<TestType>(routes(on<Echo>(
        [&](const Echo&, TailView<std::byte>, Answer<Echoed> answer) { answers.push_back(std::move(answer)); })));
    auto client = service.connect(small_lanes());
    std::vector<qbipc::Pending<Echo>> calls;
    for (std::uint64_t i = 0; i < 20; ++i) calls.push_back(must(client.start(with_tail(Echo{i}))));
    service.settle();
    REQUIRE(answers.size() == 20);
    for (auto& answer : answers) {
        const std::uint64_t number = answered++;
        const auto fill = [&](Echoed& m, std::span<std::byte> tail) {
            ++built;
            m.number = number;
            for (std::size_t i = 0; i < tail.size(); ++i) tail[i] = pattern(number, i);
        };
        CHECK(answer.send(build<Echoed>(number % 2 == 0 ? 30'000 : 200'000, fill)));
    }
    CHECK(built == 20);
    for (std::uint64_t i = 0; i < calls.size(); ++i) {
        const auto answer = service.while_turning([&] { return client.wait(calls[i], patience); });
        REQUIRE(answer);
        CHECK(is_patterned(answer->tail(), i, i % 2 == 0 ? 30'000 : 200'000));
    }
    CHECK(built == 20);
}

TEMPLATE_LIST_TEST_CASE("a session holds no more unsent answers than it may; the caller learns it", "[outbox][limits]",
                        Transports) {
    qbipc::ServiceOptions options;
    options.limits.session_bytes = 1'000'000;
    std::vector<Answer<Echoed>> answers;
    auto service = step<TestType>(routes(on<Echo>([&](const Echo&, TailView<std::byte>, Answer<Echoed> answer) {
                                      answers.push_back(std::move(answer));
                                  })),
                                  qbipc::same_user_or_root, options);
    auto client = service.connect(small_lanes());
    std::vector<qbipc::Pending<Echo>> calls;
    for (std::uint64_t i = 0; i < 10; ++i) calls.push_back(must(client.start(with_tail(Echo{i}))));
    service.settle();
    REQUIRE(answers.size() == 10);
    std::size_t refused = 0;
    for (auto& answer : answers) {
        const auto sent = answer.send(with_tail(Echoed{1}, patterned(1, 400'000)));
        if (!sent) {
            CHECK(why(sent) == errc::over_quota);
            ++refused;
        }
    }
    CHECK(refused >= 6);
    std::size_t told = 0;
    for (auto& call : calls) {
        const auto answer = service.while_turning([&] { return client.wait(call, patience); });
        if (!answer) {
            CHECK(why(answer) == errc::over_quota);
            ++told;
        }
    }
    CHECK(told == refused);
}

TEMPLATE_LIST_TEST_CASE("a session owes no more answers than it may; more calls wait in the lane", "[limits]",
                        Transports) {
    qbipc::ServiceOptions options;
    options.limits.unanswered = 5;
    std::vector<Answer<Number>> answers;
    auto service = step<TestType>(
        routes(on<Later>([&](const Later&, Answer<Number> answer) { answers.push_back(std::move(answer)); })),
        qbipc::same_user_or_root, options);
    auto client = service.connect();
    std::vector<qbipc::Pending<Later>> calls;
    for (std::uint64_t i = 0; i < 12; ++i) calls.push_back(must(client.start(Later{i})));
    service.settle();
    CHECK(answers.size() == 5);
    CHECK(service.service.statistics().calls_waiting == 5);
    for (std::size_t i = 0; i < calls.size(); ++i) {
        REQUIRE(i < answers.size());
        CHECK(answers[i].send(Number{i}));
        service.settle();
        CHECK(answers.size() == std::min<std::size_t>(i + 6, 12));
        CHECK(must(client.wait(calls[i], patience)).value == i);
    }
    CHECK(service.service.statistics().calls_waiting == 0);
}
