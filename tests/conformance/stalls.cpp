// SPDX-License-Identifier: BSL-1.0
// Nobody waits for what is there already: room, slots, answers, the end.
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <sys/epoll.h>
#include <sys/types.h>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "conformance/kept.hpp"
#include "conformance/messages.hpp"
#include "conformance/running.hpp"
#include "conformance/transports.hpp"

namespace {

using namespace conformance;
using qbipc::Answer;
using qbipc::Copy;
using qbipc::on;
using qbipc::Result;
using qbipc::routes;
using qbipc::TailView;
using qbipc::with_tail;

/// Once in a while there is no memory for what a socket is to take.
struct ShortKernel : qbipc::LinuxKernel {
    static inline std::atomic<int> refuses = 0;
    static ssize_t send(int fd, const void* data, std::size_t size, int flags) noexcept {
        if (refuses > 0 && refuses-- > 0) return -ENOBUFS;
        return LinuxKernel::send(fd, data, size, flags);
    }
    static inline std::atomic<int> pauses = 0;
    static int sleep(const timespec& span) noexcept {
        ++pauses;
        return LinuxKernel::sleep(span);
    }
    /// Runs once, when a registration is about to change.
    static inline std::function<void()> before_change = nullptr;
    static int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
        if (operation == EPOLL_CTL_MOD && before_change) std::exchange(before_change, nullptr)();
        return LinuxKernel::epoll_ctl(epoll, operation, fd, event);
    }
};
using ShortSocket = qbipc::BasicUnixSocket<qbipc::Adaptive, ShortKernel>;

/// Of a socket's room the kernel tells only once most of it is free.
using Lanes = std::tuple<qbipc::ShmRing, qbipc::InProcess>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("a session that is let go while its answer waits for room keeps the service from nobody",
                        "[stall]", Transports) {
    constexpr std::uint64_t last = 1000;
    auto service = run<TestType>(routes(on<Double>([](const Double& m) { return Number{2 * m.value}; }),
                                        on<Echo>([](auto& session, const Echo& m, TailView<std::byte>) {
                                            if (m.number == last) session.disconnect();
                                            return Copy<Echoed>(Echoed{m.number}, patterned(m.number, 14'000));
                                        })));
    auto client = connect<TestType>(service.name, small_lanes());
    for (std::uint64_t i = 0; i < 100; ++i) REQUIRE(client.call(Double{i}, patience));  // the service looks at it now
    // Answers that nobody reads fill the lane. Those that found no more room are out before the last is taken.
    std::vector<qbipc::Pending<Echo>> calls;
    for (std::uint64_t i = 0; i < 4; ++i) calls.push_back(must(client.start(with_tail(Echo{i}))));
    calls.push_back(must(client.start(with_tail(Echo{last}))));
    (void)client.start(Double{1});
    auto other = connect<TestType>(service.name);
    for (std::uint64_t i = 0; i < 10; ++i) CHECK(other.call(Double{i}, patience));
    for (std::uint64_t i = 0; i < 4; ++i) CHECK(client.wait(calls[i], patience));
    CHECK(eventually([&] { return service.count_sessions() == 1; }));
}

TEMPLATE_LIST_TEST_CASE("room that a service made before it paused wakes who waits for it", "[stall]", Lanes) {
    qbipc::ServiceOptions options;
    options.limits.unanswered = 1;
    std::vector<Answer<Number>> answers;
    std::uint64_t parcels = 0;
    auto service = step<TestType>(
        routes(on<Later>([&](const Later&, Answer<Number> answer) { answers.push_back(std::move(answer)); }),
               on<Parcel>([&](const Parcel&, TailView<std::byte>) { ++parcels; })),
        qbipc::same_user_or_root, options);
    auto client = service.connect(small_lanes());
    std::uint64_t sent = 0;
    const auto parcel = patterned(1, 1000);
    for (; sent < 3; ++sent) REQUIRE(client.send(with_tail(Parcel{sent}, parcel)));
    auto call = must(client.start(Later{1}));
    while (client.send(with_tail(Parcel{sent}, parcel))) ++sent;
    CHECK(service.while_turning([&] { return client.send(with_tail(Parcel{sent}, parcel), patience); }));
    CHECK(parcels == 3);
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].send(Number{7}));
    CHECK(service.while_turning([&] { return client.wait(call, patience); }));
    service.settle();
    CHECK(parcels == sent + 1);
}

TEMPLATE_LIST_TEST_CASE("who waits for a slot takes the one that an answer in the lane makes vacant", "[stall]",
                        Transports) {
    Kept kept;
    qbipc::ServiceOptions options;
    options.limits.unanswered = 10000;
    auto service = step<TestType>(keeping(kept), qbipc::same_user_or_root, options);
    auto client = service.connect();
    auto calls = start_all(service, client);
    REQUIRE(kept.answers.size() == 4096);
    calls.pop_back();
    CHECK(kept.answers.back().send(Number{1}));
    service.settle();
    CHECK(client.start(Later{1}, patience, [](Result<Number>) {}));
}

TEMPLATE_LIST_TEST_CASE("a function whose answer came while another one sent runs before the call goes on waiting",
                        "[stall]", Transports) {
    std::vector<Answer<Number>> answers;
    auto service = step<TestType>(
        routes(on<Later>([&](const Later&, Answer<Number> answer) { answers.push_back(std::move(answer)); }),
               on<Parcel>([](const Parcel&, TailView<std::byte>) {}), on<Note>([&](const Note& note) {
                   for (auto& answer : answers) (void)answer.send(Number{note.number});
               }),
               on<Double>([](const Double& m) { return Number{2 * m.value}; })));
    auto client = service.connect(small_lanes());
    bool sent = false;
    REQUIRE(client.start(Double{1}, patience, [&](Result<Number>) {
        sent = client.send(with_tail(Parcel{9}, patterned(9, 700'000)), patience).has_value();
    }));
    REQUIRE(client.start(Double{2}, patience, [&](Result<Number>) { (void)client.send(Note{5}, patience); }));
    service.settle();  // both answers are there
    const auto answer = service.while_turning([&] { return client.call(Later{1}, patience); });
    REQUIRE(answer);
    CHECK(answer->value == 5);
    CHECK(sent);
}

TEMPLATE_LIST_TEST_CASE("an answer from another thread that is too large is refused there, and the caller told",
                        "[stall]", Transports) {
    std::vector<Answer<Echoed>> answers;
    auto service = step<TestType>(routes(on<Echo>(
        [&](const Echo&, TailView<std::byte>, Answer<Echoed> answer) { answers.push_back(std::move(answer)); })));
    auto client = service.connect();
    for (const bool is_built : {false, true}) {
        auto call = must(client.start(with_tail(Echo{1})));
        service.settle();
        REQUIRE(answers.size() == 1);
        std::error_code error;
        std::thread([&] {
            const std::vector<std::byte> tail(std::size_t{2} << 20);
            const auto fill = [](Echoed&, std::span<std::byte>) {};
            error = why(is_built ? answers[0].send(qbipc::build<Echoed>(static_cast<std::size_t>(-1) / 4, fill))
                                 : answers[0].send(with_tail(Echoed{1}, tail)));
        }).join();
        CHECK(error == errc::message_too_large);
        CHECK(why(service.while_turning([&] { return client.wait(call, patience); })) == errc::message_too_large);
        answers.clear();
    }
}

TEMPLATE_LIST_TEST_CASE("who waits for the answer of a call pushes out what of it found no room", "[stall]",
                        Transports) {
    auto service = step<TestType>(
        routes(on<Echo>([](const Echo& m, TailView<std::byte> tail) { return Copy<Echoed>(Echoed{m.number}, tail); })));
    auto client = service.connect(small_lanes());
    const auto tail = patterned(1, 700'000);
    auto call = must(client.start(with_tail(Echo{1}, tail)));
    const auto answer = service.while_turning([&] { return client.wait(call, patience); });
    REQUIRE(answer);
}

TEST_CASE("what a socket didn't take in another session's turn goes out all the same", "[stall]") {
    std::vector<Answer<Number>> answers;
    auto service = run<ShortSocket>(
        routes(on<Later>([&](const Later&, Answer<Number> answer) { answers.push_back(std::move(answer)); }),
               on<Ping>([&](auto& session, const Ping&) {
                   // One's event, and one's answer, in the other's turn.
                   ShortKernel::refuses = 1;
                   for (auto& other : session.sessions())
                       if (&other != &session) (void)other.send(Tick{1});
                   ShortKernel::refuses = 1;
                   for (auto& answer : answers) answer.send(Number{9});
                   answers.clear();
                   return Done{};
               })));
    auto waiting = connect<ShortSocket>(service.name);
    auto token = must(waiting.start(Later{1}));
    REQUIRE(eventually([&] { return service.statistics().calls_waiting == 1; }));
    auto other = connect<ShortSocket>(service.name);
    CHECK(other.call(Ping{}, patience));
    int ticks = 0;
    CHECK(waiting.receive(routes(on<Tick>([&](const Tick&) { ++ticks; })), patience) == 1u);
    CHECK(ticks == 1);
    const auto number = waiting.wait(token, patience);
    REQUIRE(number);
    CHECK(number->value == 9);
}

TEMPLATE_LIST_TEST_CASE("the rest of a message goes out while its sender only sleeps in its loop", "[stall]",
                        Transports) {
    std::uint64_t parcels = 0;
    auto service = step<TestType>(routes(on<Parcel>([&](const Parcel&, TailView<std::byte>) { ++parcels; })));
    auto client = service.connect(small_lanes());
    const int fd = client.fd();
    REQUIRE(client.dispatch(no_events()));
    for (std::uint64_t round = 1; round <= 3; ++round) {
        REQUIRE(client.send(with_tail(Parcel{round}, patterned(round, 900'000))));
        REQUIRE(service.turn_until([&] {
            if (readable(fd)) REQUIRE(client.dispatch(no_events()));
            return parcels == round;
        }));
    }
    while (readable(fd)) REQUIRE(client.dispatch(no_events()));  // nothing more to do: it sleeps
}

TEST_CASE("what a socket didn't take goes out while its sender only sleeps in its loop", "[stall]") {
    int notes = 0;
    auto service = step<ShortSocket>(routes(on<Note>([&](const Note&) { ++notes; })));
    auto client = service.connect();
    const int fd = client.fd();
    REQUIRE(client.dispatch(no_events()));
    // For a while there is none, and then there is: nobody tells.
    ShortKernel::refuses = 10;
    REQUIRE(client.send(Note{1}));
    ShortKernel::pauses = 0;
    for (int turns = 0; notes == 0 && turns < 100; ++turns) {
        REQUIRE(readable(fd, patience));
        REQUIRE(client.dispatch(no_events()));
        service.settle();
    }
    CHECK(notes == 1);
    CHECK(ShortKernel::pauses == 5);  // one in each turn, which tries twice
    CHECK_FALSE(readable(fd));
}

TEST_CASE("flush waits for what a socket didn't take", "[stall]") {
    int notes = 0;
    auto service = step<ShortSocket>(routes(on<Note>([&](const Note&) { ++notes; })));
    auto client = service.connect();
    ShortKernel::refuses = 3;
    REQUIRE(client.send(Note{1}));
    REQUIRE(client.flush(patience));
    service.settle();
    CHECK(notes == 1);
    CHECK(client.flush(0ms));
    // Whatever waits meanwhile does so to its deadline.
    ShortKernel::refuses = 1'000'000'000;
    REQUIRE(client.send(Note{2}));
    CHECK(why(client.flush(shortly)) == errc::timed_out);
    CHECK(why(client.flush(0ms)) == errc::timed_out);
    CHECK(why(client.send(Note{3}, shortly)) == errc::timed_out);
    CHECK(why(client.call(Later{1}, shortly)) == errc::timed_out);
    CHECK(why(client.receive(no_events(), shortly)) == errc::timed_out);
    ShortKernel::refuses = 1;
    CHECK(client.flush(patience));
    service.settle();
    CHECK(notes == 2);
    ShortKernel::refuses = 1'000'000'000;
    REQUIRE(client.send(Note{4}));
    client.disconnect();
    ShortKernel::refuses = 0;
    service.settle();
    CHECK(notes == 2);
}

TEST_CASE("flush is no success where the service has died before it had all", "[stall]") {
    auto service = step_owned<ShortSocket>(routes(on<Note>([](const Note&) {})));
    const bool is_split = GENERATE(false, true);
    auto client = service->connect();
    ShortKernel::refuses = 1;
    if (is_split) {
        auto [sending, receiving] = std::move(client).split();
        REQUIRE(sending.send(Note{1}));
        service.reset();
        CHECK(why(sending.flush(patience)) == errc::disconnected);
    } else {
        REQUIRE(client.send(Note{1}));
        service.reset();
        CHECK(why(client.flush(patience)) == errc::disconnected);
    }
}

TEMPLATE_LIST_TEST_CASE("flush ends as soon as all is out, with room for more or without", "[stall]", Transports) {
    std::uint64_t parcels = 0;
    auto service = step<TestType>(routes(on<Parcel>([&](const Parcel&, TailView<std::byte>) { ++parcels; })));
    auto client = service.connect(small_lanes());
    REQUIRE(client.send(with_tail(Parcel{1}, patterned(1, 900'000))));
    REQUIRE(why(client.flush(0ms)) == errc::timed_out);
    // One turn of the service at a time: the last piece of it fills what room there is, or nearly so.
    std::error_code error;
    for (int turns = 0; turns < 1000; ++turns) {
        error = why(client.flush(0ms));
        if (!error) break;
        REQUIRE(error == errc::timed_out);
        if (readable(service.service.fd())) REQUIRE(service.service.dispatch(qbipc::Budget{1}));
    }
    CHECK_FALSE(error);
    service.settle();
    CHECK(parcels == 1);
}

TEST_CASE("what a socket didn't take of a sending half's goes out while the other half sleeps", "[stall]") {
    // The event comes behind the answer: it ends the wait in which the answer's function has run.
    auto service = run<ShortSocket>(routes(on<Later>([](auto& session, const Later& m, Answer<Number> answer) {
        answer.send(Number{2 * m.value});
        (void)session.send(Tick{1});
    })));
    const bool in_loop = GENERATE(false, true);
    auto [sending, receiving] = connect<ShortSocket>(service.name).split();
    const int fd = in_loop ? receiving.fd() : -1;
    std::atomic<bool> begun = false;
    std::atomic<std::uint64_t> number = 0;
    std::jthread receiver([&, &receiving = receiving] {
        const auto end = std::chrono::steady_clock::now() + patience;
        begun = true;
        while (number == 0 && std::chrono::steady_clock::now() < end)
            if (in_loop)
                (void)(readable(fd, patience) && receiving.dispatch(no_events()));
            else
                (void)receiving.receive(no_events(), patience);
    });
    REQUIRE(eventually([&] { return begun.load(); }));
    std::this_thread::sleep_for(shortly);  // mostly it sleeps by now; either way it has to notice
    ShortKernel::refuses = 1;
    // Its own deadline would wake it, and what came before the end counts.
    REQUIRE(sending.start(Later{4}, 4 * patience, [&](Result<Number> answer) { number = answer ? answer->value : 1; }));
    receiver.join();
    CHECK(number == 8);
}

TEST_CASE("what one half couldn't send while the other one looked at its loop is announced there", "[stall]") {
    int notes = 0;
    auto service = step<ShortSocket>(
        routes(on<Note>([&](const Note&) { ++notes; }),
               on<Later>([held = std::vector<Answer<Number>>()](const Later&, Answer<Number> answer) mutable {
                   held.push_back(std::move(answer));
               })));
    auto [sending, receiving] = service.connect().split();
    const int fd = receiving.fd();
    // A deadline, for which the loop's timer is set again and again.
    REQUIRE(sending.start(Later{1}, 4 * patience, [](Result<Number>) {}));
    REQUIRE(receiving.dispatch(no_events()));
    ShortKernel::refuses = 2;
    REQUIRE(sending.send(Note{1}));
    REQUIRE(receiving.dispatch(no_events()));  // in vain: from here on the loop waits for room
    bool sent = false;
    ShortKernel::before_change = [&, &sending = sending] {
        ShortKernel::refuses = 1;
        sent = sending.send(Note{2}).has_value();
    };
    REQUIRE(receiving.dispatch(no_events()));  // all is out, and it waits no longer
    REQUIRE(sent);
    REQUIRE(readable(fd, patience));
    REQUIRE(receiving.dispatch(no_events()));
    service.settle();
    CHECK(notes == 2);
}

TEST_CASE("what a socket didn't take goes out while its sender always finds something to receive", "[stall]") {
    int notes = 0;
    auto service = step<ShortSocket>(routes(on<Note>([&](const Note&) { ++notes; }),
                                            on<Tell>([](auto& session, const Tell&) { (void)session.send(Tick{1}); })));
    auto client = service.connect();
    REQUIRE(client.send(Tell{1}));
    service.settle();
    ShortKernel::refuses = 1;
    REQUIRE(client.send(Note{1}));
    CHECK(client.receive(no_events(), patience) == 1u);
    service.settle();
    CHECK(notes == 1);
}

TEST_CASE("what a socket didn't take goes out before the session that its service disconnects ends", "[stall]") {
    Log<qbipc::EndReason> reasons;
    const int refused = GENERATE(1, 20);
    auto service = run<ShortSocket>(routes(qbipc::on_disconnect([&](auto& session) { reasons.add(session.reason()); }),
                                           on<Tell>([&](auto& session, const Tell& m) {
                                               ShortKernel::refuses = refused;
                                               (void)session.send(Tick{m.count});
                                               session.disconnect();
                                           }),
                                           on<Later>([&](auto& session, const Later& m, Answer<Number> answer) {
                                               ShortKernel::refuses = refused;
                                               answer.send(Number{2 * m.value});
                                               session.disconnect();
                                           })));
    {
        auto client = connect<ShortSocket>(service.name);
        REQUIRE(client.send(Tell{7}));
        std::uint64_t got = 0;
        CHECK(client.receive(routes(on<Tick>([&](const Tick& tick) { got = tick.number; })), patience) == 1u);
        CHECK(got == 7);
        CHECK(why(client.receive(no_events(), patience)) == errc::disconnected);
    }
    {
        auto client = connect<ShortSocket>(service.name);
        const auto number = client.call(Later{4}, patience);
        REQUIRE(number);
        CHECK(number->value == 8);
    }
    CHECK(reasons.wait_for(2) == std::vector{qbipc::EndReason::disconnected, qbipc::EndReason::disconnected});
    ShortKernel::refuses = 0;
}

TEST_CASE("a client that takes nothing any more is let go all the same, with a frame that is out in part", "[stall]") {
    Log<qbipc::EndReason> reasons;
    qbipc::ServiceOptions options;
    options.limits.handshake = std::chrono::seconds(2);
    auto service = run<ShortSocket>(routes(qbipc::on_disconnect([&](auto& session) { reasons.add(session.reason()); }),
                                           on<Tell>([&](auto& session, const Tell& m) {
                                               ShortKernel::refuses = 1'000'000'000;
                                               (void)session.send(Tick{m.count});
                                               session.disconnect();
                                           })),
                                    qbipc::same_user_or_root, options);
    auto client = connect<ShortSocket>(service.name);
    REQUIRE(client.send(Tell{1}));
    CHECK(reasons.wait_for(1) == std::vector{qbipc::EndReason::disconnected});
    CHECK(why(client.receive(no_events(), patience)) == errc::disconnected);
    ShortKernel::refuses = 0;
}
