// SPDX-License-Identifier: BSL-1.0
// A client split in two: one thread sends, another receives, both may sleep, and each is woken.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

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

auto serving() {
    return routes(
        on<Double>([](const Double& m) { return Number{2 * m.value}; }),
        on<Echo>([](const Echo& m, TailView<std::byte> tail) { return Copy<Echoed>(Echoed{m.number}, tail); }),
        on<Tell>([](auto& session, const Tell& m) {
            for (std::uint64_t i = 0; i < m.count; ++i) (void)session.send(Tick{i});
        }),
        on<Note>([](const Note&) {}),
        on<Later>([held = std::vector<Answer<Number>>()](const Later&, Answer<Number> answer) mutable {
            held.push_back(std::move(answer));
        }));
}

/// Has no timers for a while.
struct TimelessKernel : qbipc::LinuxKernel {
    static inline std::atomic<bool> refuses = false;
    static int timerfd_create(int clock, int flags) noexcept {
        return refuses ? -EMFILE : LinuxKernel::timerfd_create(clock, flags);
    }
};
using Timeless = std::tuple<qbipc::BasicShmRing<qbipc::Adaptive, TimelessKernel>,
                            qbipc::BasicUnixSocket<qbipc::Adaptive, TimelessKernel>>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("one thread starts calls with functions, another runs them", "[split]", Transports) {
    auto service = run<TestType>(serving());
    auto [sending, receiving] = connect<TestType>(service.name, small_lanes()).split();
    const std::uint64_t rounds = times(3'000);
    std::atomic<std::uint64_t> ran = 0, wrong = 0;
    const auto receiver_thread = std::make_shared<std::atomic<std::thread::id>>();
    std::jthread receiver([&receiving = receiving, &ran, &wrong, rounds, receiver_thread] {
        receiver_thread->store(std::this_thread::get_id());
        while (ran < rounds)
            if (const auto got = receiving.receive(no_events(), 5 * shortly); !got && got.error() != errc::timed_out) {
                ++wrong;
                return;
            }
    });
    const auto tail = patterned(3, 3'000);
    for (std::uint64_t i = 0; i < rounds; ++i) {
        const auto then = [&, i](Result<Copy<Echoed>> answer) {
            wrong += !answer || (*answer)->number != i || !is_patterned(answer->tail(), 3, 3'000) ||
                     std::this_thread::get_id() != receiver_thread->load();
            ++ran;
        };
        REQUIRE(sending.start(with_tail(Echo{i}, tail), patience, then));
        if (i % 100 == 0) std::this_thread::sleep_for(1ms);  // both sleep meanwhile
    }
    receiver.join();
    CHECK(ran == rounds);
    CHECK(wrong == 0);
}

TEMPLATE_LIST_TEST_CASE("tokens started by one half are waited for at the other", "[split]", Transports) {
    auto service = run<TestType>(serving());
    auto [sending, receiving] = connect<TestType>(service.name).split();
    std::mutex mutex;
    std::vector<qbipc::Pending<Double>> tokens;
    const std::uint64_t rounds = times(2'000);
    std::atomic<bool> failed = false;
    std::jthread sender([&, &sending = sending] {
        for (std::uint64_t i = 0; i < rounds;) {
            auto token = sending.start(Double{i});
            if (!token) {
                if (token.error() != errc::lane_full) failed = true;
                std::this_thread::yield();
                continue;
            }
            const std::lock_guard lock(mutex);
            tokens.push_back(std::move(*token));
            ++i;
        }
    });
    for (std::uint64_t i = 0; i < rounds && !failed; ++i) {
        REQUIRE(eventually([&] {
            const std::lock_guard lock(mutex);
            return tokens.size() > i;
        }));
        const auto token = [&] {
            const std::lock_guard lock(mutex);
            return std::make_unique<qbipc::Pending<Double>>(std::move(tokens[i]));
        }();
        REQUIRE(must(receiving.wait(*token, patience)).value == 2 * i);
    }
    sender.join();
    CHECK_FALSE(failed);
}

TEMPLATE_LIST_TEST_CASE("a receiving half that sleeps is woken by events, answers and its loop's descriptor", "[split]",
                        Transports) {
    auto service = run<TestType>(serving());
    auto [sending, receiving] = connect<TestType>(service.name).split();
    CHECK(receiving.service_credentials().uid == ::geteuid());
    CHECK(receiving.max_message() == sending.max_message());
    for (int round = 0; round < 10; ++round) {
        std::jthread later([&, &sending = sending] {
            std::this_thread::sleep_for(2ms);
            (void)sending.send(Tell{1});
        });
        if (round % 2 == 0) {
            CHECK(*receiving.receive(no_events(), patience) == 1);
        } else {
            std::size_t events = 0;
            while (events == 0) {
                REQUIRE(readable(receiving.fd(), patience));
                events += must(receiving.dispatch(no_events()));
            }
            CHECK(events == 1);
        }
    }
    auto never = must(sending.start(Later{1}));
    CHECK(why(receiving.wait(never, shortly)) == errc::timed_out);
    CHECK(why(receiving.receive(no_events(), shortly)) == errc::timed_out);
}

TEMPLATE_LIST_TEST_CASE("the deadline of a function wakes the other half, which slept before it was started", "[split]",
                        Transports) {
    auto service = run<TestType>(serving());
    auto [sending, receiving] = connect<TestType>(service.name).split();
    for (int round = 0; round < 5; ++round) {
        std::atomic<int> ran = 0;
        std::jthread receiver([&receiving = receiving, &ran, round] {
            const auto end = std::chrono::steady_clock::now() + patience;
            while (ran == 0 && std::chrono::steady_clock::now() < end) {
                if (round % 2 == 0) {
                    if (readable(receiving.fd(), patience)) (void)receiving.dispatch(no_events());
                } else {
                    // No event comes: it is the wait itself that runs the function.
                    (void)receiving.receive(no_events(), 20 * shortly);
                }
            }
        });
        std::this_thread::sleep_for(2ms);
        REQUIRE(
            sending.start(Later{1}, shortly, [&](Result<Number> answer) { ran += why(answer) == errc::timed_out; }));
        receiver.join();
        CHECK(ran == 1);
    }
}

TEMPLATE_LIST_TEST_CASE("a sending half that waits for room is woken, while the other half sleeps", "[split]",
                        Transports) {
    Gate gate;
    std::atomic<std::uint64_t> taken = 0;
    auto service = run<TestType>(routes(on<Note>([&](const Note& m) {
                                            if (m.number == 0) gate.wait();
                                            ++taken;
                                        }),
                                        on<Tell>([](auto& session, const Tell&) { (void)session.send(Tick{1}); })));
    const auto opens = gate.open_at_end();
    auto [sending, receiving] = connect<TestType>(service.name, small_lanes()).split();
    std::jthread receiver([&receiving = receiving] { (void)receiving.receive(no_events(), patience); });
    std::uint64_t sent = 0;
    while (sending.send(Note{sent})) ++sent;
    std::jthread later([&] {
        std::this_thread::sleep_for(2ms);
        gate.open();
    });
    for (std::uint64_t i = 0; i < times(5'000); ++i, ++sent) REQUIRE(sending.send(Note{sent}, patience));
    REQUIRE(sending.send(Tell{1}, patience));
    receiver.join();
    CHECK(taken == sent);
}

TEMPLATE_LIST_TEST_CASE("both halves at full speed, large messages and small, lose and confuse nothing", "[split]",
                        Transports) {
    auto service = run<TestType>(serving());
    auto [sending, receiving] = connect<TestType>(service.name, small_lanes()).split();
    const std::uint64_t rounds = times(300);
    std::atomic<std::uint64_t> ran = 0, wrong = 0;
    std::jthread sender([&, &sending = sending] {
        for (std::uint64_t i = 0; i < rounds; ++i) {
            const std::size_t size = i % 7 == 0 ? 150'000 : i * 97 % 5'000;
            const auto sent = sending.start(
                with_tail(Echo{i}, patterned(i, size)), patience, [&, i, size](Result<Copy<Echoed>> answer) {
                    wrong += !answer || (*answer)->number != i || !is_patterned(answer->tail(), i, size);
                    ++ran;
                });
            if (!sent || !sending.send(Tell{2}, patience)) ++wrong;
        }
    });
    // Events are best effort: what found no room was refused, and the service knows how many weren't.
    std::uint64_t events = 0;
    const auto all_is_here = [&] {
        const auto counters = service.statistics();
        return ran == rounds && counters.requests == 2 * rounds && counters.events == events;
    };
    const auto end = std::chrono::steady_clock::now() + 3 * patience;
    while (!all_is_here() && wrong == 0 && std::chrono::steady_clock::now() < end)
        if (const auto got = receiving.receive(no_events(), shortly)) events += *got;
    sender.join();
    CHECK(all_is_here());
    CHECK(wrong == 0);
    CHECK(events > 0);
}

TEMPLATE_LIST_TEST_CASE("dropping the sending half ends the connection: the other gets what had come, then the end",
                        "[split]", Transports) {
    auto service = run<TestType>(serving());
    auto halves = connect<TestType>(service.name).split();
    auto receiving = std::move(halves.second);
    int ran = 0;
    {
        auto sending = std::move(halves.first);
        std::jthread later;
        REQUIRE(
            sending.start(Later{1}, forever, [&](Result<Number> answer) { ran += why(answer) == errc::disconnected; }));
        SECTION("while it sleeps") {
            std::atomic<bool> ended = false;
            std::jthread receiver([&] { ended = why(receiving.receive(no_events(), forever)) == errc::disconnected; });
            std::this_thread::sleep_for(2ms);
            { const auto dropped = std::move(sending); }
            receiver.join();
            CHECK(ended);
            CHECK(ran == 1);
        }
        SECTION("with events on their way") {
            REQUIRE(sending.send(Tell{5}));
            REQUIRE(eventually([&] { return service.statistics().events == 5; }));
        }
        SECTION("by disconnect") { sending.disconnect(); }
    }
    while (receiving.receive(no_events(), forever)) {
    }
    CHECK(ran == 1);
    CHECK(why(receiving.dispatch(no_events())) == errc::disconnected);
    REQUIRE(eventually([&] { return service.count_sessions() == 0; }));
}

TEMPLATE_LIST_TEST_CASE("what a dropped sending half had sent is delivered", "[split]", Transports) {
    std::atomic<std::uint64_t> good = 0;
    auto service = run<TestType>(routes(
        on<Parcel>([&](const Parcel& m, TailView<std::byte> tail) { good += is_patterned(tail, m.number, 200'000); })));
    std::uint64_t slow = 0;
    for (std::uint64_t i = 0; i < 10; ++i) {
        auto [sending, receiving] = connect<TestType>(service.name, small_lanes()).split();
        REQUIRE(sending.send(with_tail(Parcel{i}, patterned(i, 200'000))));
        slow += takes_a_second([&, &sending = sending] { const auto dropped = std::move(sending); });
    }
    REQUIRE(eventually([&] { return good + slow >= 10; }));
    CHECK(slow < 5);
}

TEMPLATE_LIST_TEST_CASE("dropping the receiving half ends the connection, a sender that waits included", "[split]",
                        Transports) {
    Gate gate;
    auto service = run<TestType>(routes(on<Note>([&](const Note&) { gate.wait(); })));
    const auto opens = gate.open_at_end();
    auto halves = connect<TestType>(service.name, small_lanes()).split();
    auto sending = std::move(halves.first);
    int ran = 0;
    {
        auto receiving = std::move(halves.second);
        REQUIRE(sending.start(Double{1}, patience,
                              [&](Result<Number> answer) { ran += why(answer) == errc::disconnected; }));
        while (sending.send(Note{1})) {
        }
        std::jthread later([&] {
            std::this_thread::sleep_for(2ms);
            const auto dropped = std::move(receiving);
        });
        Result<void> sent;
        while (sent) sent = sending.send(Note{1}, forever);  // the service may have taken one meanwhile
        CHECK(why(sent) == errc::disconnected);
    }
    CHECK(ran == 1);
    CHECK(why(sending.send(Note{1})) == errc::disconnected);
    CHECK(why(sending.start(Double{1})) == errc::disconnected);
}

TEMPLATE_LIST_TEST_CASE("the service's end wakes both halves", "[split]", Transports) {
    auto service = step_owned<TestType>(serving());
    auto [sending, receiving] = service->connect(small_lanes()).split();
    std::error_code receiver_said, sender_said;
    std::jthread receiver(
        [&, &receiving = receiving] { receiver_said = why(receiving.receive(no_events(), forever)); });
    std::jthread sender([&, &sending = sending] {
        Result<void> sent;
        while (sent) sent = sending.send(Note{1}, forever);
        sender_said = sent.error();
    });
    std::this_thread::sleep_for(5ms);
    service.reset();
    receiver.join();
    sender.join();
    CHECK(receiver_said == errc::disconnected);
    CHECK(sender_said == errc::disconnected);
}

TEMPLATE_LIST_TEST_CASE("halves are moved, and assigned to: what they were is dropped", "[split]", Transports) {
    auto service = run<TestType>(serving());
    auto first = connect<TestType>(service.name).split();
    auto second = connect<TestType>(service.name).split();
    auto sending = std::move(first.first);
    auto receiving = std::move(first.second);
    auto token = must(sending.start(Double{1}));
    CHECK(must(receiving.wait(token, patience)).value == 2);
    sending = std::move(second.first);
    CHECK(why(receiving.receive(no_events(), forever)) == errc::disconnected);
    receiving = std::move(second.second);
    auto other = must(sending.start(Double{2}));
    CHECK(must(receiving.wait(other, patience)).value == 4);
    REQUIRE(eventually([&] { return service.count_sessions() == 1; }));
}

TEMPLATE_LIST_TEST_CASE("where split finds no descriptor for a timer, functions end at their deadlines nevertheless",
                        "[split]", Timeless) {
    auto service = run<TestType>(serving());
    auto client = connect<TestType>(service.name);
    TimelessKernel::refuses = true;
    auto [sending, receiving] = std::move(client).split();
    std::atomic<bool> ran = false;
    std::atomic<int> woken = 0;
    std::jthread receiver([&, &receiving = receiving] {
        // Nothing but the function's end: it is noticed inside of one wait.
        while (!ran && woken < 10) {
            (void)receiving.receive(no_events(), patience);
            ++woken;
        }
    });
    std::this_thread::sleep_for(shortly);
    REQUIRE(sending.start(Later{1}, shortly, [&](Result<Number> answer) { ran = why(answer) == errc::timed_out; }));
    CHECK(eventually([&] { return ran.load(); }));
    CHECK(woken == 0);
    TimelessKernel::refuses = false;
    REQUIRE(sending.send(Tell{1}));  // to end the wait
    receiver.join();
    // Once there are descriptors again, it has its own.
    REQUIRE(receiving.fd() >= 0);
    ran = false;
    REQUIRE(sending.start(Later{1}, shortly, [&](Result<Number> answer) { ran = why(answer) == errc::timed_out; }));
    while (!ran) {
        REQUIRE(readable(receiving.fd(), patience));
        REQUIRE(receiving.dispatch(no_events()));
    }
}
