// SPDX-License-Identifier: BSL-1.0
// Both ends as threads over one mapping, in each pattern that threads are allowed: what a thread sanitizer is to see.
// Handlers and test share plain memory where the transport alone orders them.
#include "support/one_mapping.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <qbipc/transport/in_process.hpp>

#include "conformance/messages.hpp"
#include "conformance/running.hpp"
#include "transport/session.hpp"

namespace {

using namespace conformance;
using qbipc::Answer;
using qbipc::Copy;
using qbipc::on;
using qbipc::Result;
using qbipc::routes;
using qbipc::TailView;
using qbipc::with_tail;
using qbipc::testing::OneMappingKernel;
using qbipc::testing::OneMappingRing;

using Rings = std::tuple<OneMappingRing<qbipc::Adaptive>, OneMappingRing<qbipc::Block>, qbipc::InProcess>;

template <class T>
constexpr bool shares_a_mapping = !std::is_same_v<T, qbipc::InProcess>;

}  // namespace

TEST_CASE("both ends of a session in one process see one mapping", "[threads]") {
    const std::size_t before = OneMappingKernel::times_shared();
    qbipc_test::Session<OneMappingRing<qbipc::Block>> session;
    CHECK(OneMappingKernel::times_shared() == before + 2);  // both areas
    REQUIRE(qbipc_test::put(*session.client, qbipc::Lane::requests, 100, 1));
    qbipc::Frame frame;
    REQUIRE(session.request(frame));
    CHECK(qbipc_test::is(frame, 100, 1));
    session.service->release(qbipc::Lane::requests);
}

TEMPLATE_LIST_TEST_CASE("threads: frames one way", "[threads]", Rings) {
    std::uint64_t seen = 0, wrong = 0;
    std::atomic<std::uint64_t> taken = 0;
    auto service = run<TestType>(routes(on<Note>([&](const Note& m) {
        wrong += m.number != seen++;
        taken = seen;
    })));
    auto client = connect<TestType>(service.name);
    const std::uint64_t rounds = times(20'000);
    for (std::uint64_t i = 0; i < rounds; ++i) {
        REQUIRE(client.send(Note{i}, patience));
        if (i % 2'000 == 0) std::this_thread::sleep_for(1ms);  // the service sleeps meanwhile
    }
    REQUIRE(eventually([&] { return taken == rounds; }));
    CHECK(wrong == 0);
}

TEMPLATE_LIST_TEST_CASE("threads: frames one way through a lane that is full", "[threads]", Rings) {
    std::uint64_t seen = 0, wrong = 0;
    std::atomic<std::uint64_t> taken = 0;
    auto service = run<TestType>(routes(on<Parcel>([&](const Parcel& m, TailView<std::byte> tail) {
        wrong += m.number != seen++ || !is_patterned(tail, m.number, 9'000);
        if (seen % 50 == 0) std::this_thread::sleep_for(1ms);  // the client sleeps meanwhile
        taken = seen;
    })));
    auto client = connect<TestType>(service.name, small_lanes());
    const std::uint64_t rounds = times(300);
    for (std::uint64_t i = 0; i < rounds; ++i) {
        const auto tail = patterned(i, 9'000);
        REQUIRE(client.send(with_tail(Parcel{i}, tail), patience));
    }
    REQUIRE(eventually([&] { return taken == rounds; }));
    CHECK(wrong == 0);
}

TEMPLATE_LIST_TEST_CASE("threads: calls and answers", "[threads]", Rings) {
    // Plain: only the transport orders the two threads.
    std::uint64_t ours = 0;
    auto service = run<TestType>(routes(on<Double>([&](const Double& m) {
        ours += m.value;
        return Number{2 * m.value};
    })));
    auto client = connect<TestType>(service.name);
    std::uint64_t expected = 0;
    for (std::uint64_t i = 0; i < times(5'000); ++i) {
        REQUIRE(must(client.call(Double{i}, patience)).value == 2 * i);
        expected += i;
        if constexpr (shares_a_mapping<TestType>) REQUIRE(ours == expected);
        if (i % 500 == 0) std::this_thread::sleep_for(1ms);
    }
}

TEMPLATE_LIST_TEST_CASE("threads: a client in two halves", "[threads]", Rings) {
    auto service = run<TestType>(
        routes(on<Echo>([](const Echo& m, TailView<std::byte> tail) { return Copy<Echoed>(Echoed{m.number}, tail); }),
               on<Tell>([](auto& session, const Tell& m) { (void)session.send(Tick{m.count}); })));
    auto [sending, receiving] = connect<TestType>(service.name, small_lanes()).split();
    const std::uint64_t rounds = times(1'000);
    std::atomic<std::uint64_t> wrong = 0;
    std::uint64_t ran = 0, ticks = 0;  // the receiver's
    std::jthread receiver([&, &receiving = receiving] {
        const auto events = routes(on<Tick>([&](const Tick&) { ++ticks; }));
        while (ran < rounds || ticks < rounds) {
            if (const auto got = receiving.receive(events, patience); !got) {
                ++wrong;
                return;
            }
        }
    });
    const auto tail = patterned(3, 2'000);
    for (std::uint64_t i = 0; i < rounds; ++i) {
        const auto then = [&, i](Result<Copy<Echoed>> answer) {
            wrong += !answer || (*answer)->number != i || !is_patterned(answer->tail(), 3, 2'000);
            ++ran;
        };
        REQUIRE(sending.start(with_tail(Echo{i}, tail), patience, then));
        REQUIRE(sending.send(Tell{i}, patience));
        if (i % 100 == 0) std::this_thread::sleep_for(1ms);
    }
    receiver.join();
    CHECK(wrong == 0);
    CHECK(ran == rounds);
    CHECK(ticks == rounds);
}

TEMPLATE_LIST_TEST_CASE("threads: four that post, and answer what was put off", "[threads]", Rings) {
    std::mutex mutex;
    std::deque<std::pair<std::uint64_t, Answer<Number>>> deferred;
    auto service = run<TestType>(routes(on<Later>([&](const Later& m, Answer<Number> answer) {
        const std::lock_guard lock(mutex);
        deferred.emplace_back(m.value, std::move(answer));
    })));
    const std::uint64_t rounds = times(400);
    std::uint64_t posted = 0;  // the service's thread alone changes it
    std::atomic<bool> stop = false;
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            while (!stop) {
                std::optional<std::pair<std::uint64_t, Answer<Number>>> one;
                {
                    const std::lock_guard lock(mutex);
                    if (!deferred.empty()) {
                        one.emplace(std::move(deferred.front()));
                        deferred.pop_front();
                    }
                }
                if (!one) {
                    std::this_thread::yield();
                    continue;
                }
                (void)service.post([&posted](auto&) { ++posted; });
                (void)one->second.send(Number{one->first});
            }
        });
    }
    auto client = connect<TestType>(service.name);
    for (std::uint64_t round = 0; round < rounds; ++round) {
        std::vector<qbipc::Pending<Later>> calls;
        for (std::uint64_t i = 0; i < 8; ++i) calls.push_back(must(client.start(Later{i})));
        for (std::uint64_t i = 0; i < 8; ++i) REQUIRE(must(client.wait(calls[i], patience)).value == i);
    }
    stop = true;
    threads.clear();
    CHECK(service.ask([&posted](auto&) { return posted; }) == 8 * rounds);
}

TEMPLATE_LIST_TEST_CASE("threads: a connection is ended while others use it", "[threads]", Rings) {
    auto service = run<TestType>(
        routes(on<Note>([](const Note&) {}), on<Double>([](const Double& m) { return Number{2 * m.value}; })));
    SECTION("shutdown() from a third thread wakes both who wait") {
        for (std::uint64_t round = 0; round < times(30); ++round) {
            qbipc_test::Session<TestType> session;
            std::jthread client([&] {
                qbipc::Frame frame;
                (void)session.incoming(qbipc::Lane::responses, frame);
            });
            std::jthread other([&] {
                qbipc::Frame frame;
                while (session.request(frame)) session.service->release(qbipc::Lane::requests);
            });
            for (std::uint32_t i = 0; i < round % 5; ++i)
                (void)qbipc_test::put(*session.client, qbipc::Lane::requests, 100, i);
            session.client->shutdown();
        }
    }
    SECTION("a half goes while the other waits, or sends") {
        for (std::uint64_t round = 0; round < times(30); ++round) {
            auto halves = connect<TestType>(service.name).split();
            auto sending = std::make_unique<decltype(halves.first)>(std::move(halves.first));
            auto receiving = std::make_unique<decltype(halves.second)>(std::move(halves.second));
            if (round % 2 == 0) {
                std::jthread receiver([&] {
                    while (receiving->receive(no_events(), patience)) {
                    }
                });
                for (std::uint64_t i = 0; i < round; ++i) (void)sending->send(Note{i});
                sending.reset();
            } else {
                std::jthread sender([&] {
                    for (std::uint64_t i = 0; sending->send(Note{i}, patience); ++i) {
                    }
                });
                if (round % 4 == 1) std::this_thread::sleep_for(1ms);
                receiving.reset();
            }
        }
    }
    SECTION("a service ends while clients call") {
        for (std::uint64_t round = 0; round < times(10); ++round) {
            const auto notes = routes(on<Note>([](const Note&) {}));
            auto ending = std::make_unique<Running<TestType, std::remove_const_t<decltype(notes)>>>(notes);
            std::vector<std::jthread> threads;
            for (int t = 0; t < 4; ++t) {
                auto one = std::make_shared<qbipc::Client<TestType>>(connect<TestType>(ending->name, small_lanes()));
                threads.emplace_back([one] {
                    for (std::uint64_t i = 0; one->send(Note{i}, patience); ++i) {
                    }
                });
            }
            std::this_thread::sleep_for(1ms);
            ending.reset();
        }
    }
}
