// SPDX-License-Identifier: BSL-1.0
// Nobody keeps the other busy for ever, and a function that throws or does something unusual loses nothing.
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "conformance/kept.hpp"
#include "conformance/messages.hpp"
#include "conformance/running.hpp"
#include "conformance/transports.hpp"

namespace {

using namespace conformance;
using qbipc::Answer;
using qbipc::forever;
using qbipc::on;
using qbipc::Result;
using qbipc::routes;
using qbipc::TailView;
using qbipc::with_tail;

/// Events as told, and parcels of any size.
auto telling(std::uint64_t& parcels) {
    return routes(on<Tell>([](auto& session, const Tell& m) {
                      for (std::uint64_t i = 0; i < m.count; ++i) (void)session.send(Tick{i});
                  }),
                  on<Parcel>([&](const Parcel&, TailView<std::byte>) { ++parcels; }),
                  on<Double>([](const Double& m) { return Number{2 * m.value}; }));
}

struct Thrown : std::runtime_error {
    Thrown() : std::runtime_error("thrown by a test") {}
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("a turn of the service takes no more frames than its budget, pieces included", "[bounds]",
                        Transports) {
    std::uint64_t parcels = 0;
    auto service = step<TestType>(telling(parcels));
    auto client = service.connect(small_lanes());
    const auto large = patterned(1, 900'000);
    // Rows that are begun and given up, until the lane is full of them.
    int given_up = 0;
    while (why(client.send(with_tail(Parcel{1}, large), 0ms)) == errc::timed_out && given_up < 1000) {
        ++given_up;
        if (!readable(service.service.fd())) continue;
        const auto taken = service.service.dispatch(qbipc::Budget{2});
        REQUIRE(taken);
        CHECK(*taken <= 2);
        if (given_up > 50) break;
    }
    CHECK(given_up > 2);
    CHECK(parcels == 0);
    service.settle();
    CHECK(service.while_turning([&] { return client.send(with_tail(Parcel{1}, large), patience); }));
    service.settle();
    CHECK(parcels == 1);
}

TEMPLATE_LIST_TEST_CASE("receive gives what is there in portions, and all of it", "[bounds]", Transports) {
    std::uint64_t parcels = 0;
    auto service = step<TestType>(telling(parcels));
    auto client = service.connect();
    constexpr std::uint64_t each = 250, rounds = 8;
    for (std::uint64_t i = 0; i < rounds; ++i) REQUIRE(client.send(Tell{each}));
    std::uint64_t events = 0;
    bool publishing = true;
    const auto ticks = routes(on<Tick>([&](const Tick&) {
        ++events;
        // A publisher that is never slower than its subscriber.
        if (publishing) REQUIRE((client.send(Tell{2}) && service.service.dispatch()));
    }));
    service.settle();
    REQUIRE(client.receive(ticks, patience));
    CHECK(events >= 1);
    CHECK(events <= 10'000);  // it came back
    publishing = false;
    const auto at_once = client.receive(ticks, 0ms);
    REQUIRE(at_once);
    CHECK(*at_once >= 1);
    while (client.receive(ticks, 0ms)) continue;
    CHECK(events + client.statistics().events_missed >= each * rounds);
}

TEMPLATE_LIST_TEST_CASE("a user whose sessions hold too much loses the one that wants more; no other notices",
                        "[bounds][limits]", Transports) {
    qbipc::ServiceOptions options;
    options.max_message = std::size_t{4} << 20;
    options.limits.user_bytes = std::size_t{1} << 20;
    std::uint64_t parcels = 0;
    std::vector<qbipc::EndReason> reasons;
    auto service =
        step<TestType>(routes(on<Parcel>([&](const Parcel&, TailView<std::byte>) { ++parcels; }),
                              on<Double>([](const Double& m) { return Number{2 * m.value}; }),
                              qbipc::on_disconnect([&](auto& session) { reasons.push_back(session.reason()); })),
                       qbipc::same_user_or_root, options);
    qbipc::Options large;
    large.max_message = std::size_t{4} << 20;
    auto greedy = service.connect(large);
    auto other = service.connect(large);
    // Not a moment is it whole: it is the pieces that count.
    const auto sent =
        service.while_turning([&] { return greedy.send(with_tail(Parcel{1}, patterned(1, 3'000'000)), patience); });
    INFO((sent ? std::string("sent") : sent.error().message()));  // the lane may have room for all of it, or not
    REQUIRE(service.turn_until([&] { return !reasons.empty(); }));
    CHECK(reasons == std::vector{qbipc::EndReason::quota});
    CHECK(parcels == 0);
    CHECK(service.while_turning([&] { return other.call(Double{4}, patience); })->value == 8);
    CHECK(service.while_turning([&] { return other.send(with_tail(Parcel{1}, patterned(1, 500'000)), patience); }));
    service.settle();
    CHECK(parcels == 1);
    CHECK(why(service.while_turning([&] { return greedy.call(Double{4}, patience); })) == errc::disconnected);
}

TEMPLATE_LIST_TEST_CASE("what a session held of unsent answers, or of half a message, its user has back when it ends",
                        "[bounds][limits]", Transports) {
    qbipc::ServiceOptions options;
    options.limits.user_bytes = std::size_t{1} << 20;
    std::uint64_t parcels = 0;
    std::vector<qbipc::EndReason> reasons;
    auto service =
        step<TestType>(routes(on<Parcel>([&](const Parcel&, TailView<std::byte>) { ++parcels; }),
                              on<Echo>([](auto& session, const Echo& m, TailView<std::byte>, Answer<Echoed> answer) {
                                  (void)answer.send(with_tail(Echoed{m.number}, patterned(m.number, 500'000)));
                                  session.disconnect();
                              }),
                              qbipc::on_disconnect([&](auto& session) { reasons.push_back(session.reason()); })),
                       qbipc::same_user_or_root, options);
    auto witness = service.connect();  // a user's account lasts as long as one of his sessions
    const auto whole = patterned(0, 700'000);
    const bool answers = GENERATE(true, false);
    for (std::size_t round = 1; round <= 8; ++round) {
        {
            auto client = service.connect(small_lanes());
            if (answers) {
                CHECK(client.start(with_tail(Echo{round})));
                service.settle();
            } else {
                CHECK(client.send(with_tail(Parcel{round}, patterned(round, 900'000))));  // the rest stays with it
            }
        }
        REQUIRE(service.turn_until([&] { return service.service.statistics().sessions == 1; }));
        REQUIRE(reasons.size() == round);
        CHECK(reasons.back() != qbipc::EndReason::quota);
        CHECK(parcels == round - 1);
        CHECK(service.while_turning([&] { return witness.send(with_tail(Parcel{round}, whole), patience); }));
        REQUIRE(service.turn_until([&] { return parcels == round; }));
    }
}

TEMPLATE_LIST_TEST_CASE("a function's answer comes while a long message waits for room; it sends, too", "[bounds]",
                        Transports) {
    std::uint64_t parcels = 0;
    std::vector<std::uint64_t> notes;
    auto service = step<TestType>(routes(on<Parcel>([&](const Parcel& m, TailView<std::byte> tail) {
                                             parcels += is_patterned(tail, m.number, 700'000);
                                         }),
                                         on<Note>([&](const Note& note) { notes.push_back(note.number); }),
                                         on<Double>([](const Double& m) { return Number{2 * m.value}; })));
    int ran = 0;
    auto client = service.connect(small_lanes());
    for (std::uint64_t i = 0; i < 5; ++i)
        REQUIRE(client.start(Double{i}, patience, [&, i](Result<Number> answer) {
            ran += answer && answer->value == 2 * i;
            (void)client.send(Note{i}, patience);
        }));
    CHECK(service.while_turning([&] { return client.send(with_tail(Parcel{9}, patterned(9, 700'000)), patience); }));
    service.settle();
    CHECK(parcels == 1);
    CHECK(ran == 0);
    CHECK(client.dispatch(no_events()));
    CHECK(ran == 5);
    service.settle();
    CHECK(notes == std::vector<std::uint64_t>{0, 1, 2, 3, 4});
}

TEMPLATE_LIST_TEST_CASE("the deadline of a call started later, but nearer, is announced to the loop", "[bounds]",
                        Transports) {
    Kept kept;
    auto service = step<TestType>(keeping(kept));
    std::vector<int> ended;
    auto client = service.connect();
    const int fd = client.fd();
    REQUIRE(client.start(Later{1}, 10 * patience, [&](Result<Number>) { ended.push_back(1); }));
    REQUIRE(client.start(Later{2}, shortly, [&](Result<Number> answer) {
        CHECK(why(answer) == errc::timed_out);
        ended.push_back(2);
    }));
    while (ended.empty()) {
        REQUIRE(readable(fd, patience));
        REQUIRE(client.dispatch(no_events()));
    }
    CHECK(ended == std::vector{2});
    CHECK_FALSE(readable(fd));
}

TEMPLATE_LIST_TEST_CASE("who looks at an answer in place may send, but neither call nor wait", "[bounds]", Transports) {
    std::vector<std::uint64_t> notes;
    auto service = step<TestType>(routes(on<Double>([](const Double& m) { return Number{2 * m.value}; }),
                                         on<Note>([&](const Note& note) { notes.push_back(note.number); })));
    auto client = service.connect();
    std::vector<std::error_code> errors;
    bool looked = false;
    const auto called = service.while_turning([&] {
        return client.call(Double{3}, patience, [&](const qbipc::View<Number>& answer) {
            looked = answer->value == 6;
            errors.push_back(why(client.send(Note{1})));
            errors.push_back(why(client.send(Note{2}, patience)));
            errors.push_back(why(client.call(Double{1}, patience)));
            errors.push_back(why(client.dispatch(no_events())));
            errors.push_back(why(client.receive(no_events(), patience)));
        });
    });
    CHECK(called);
    CHECK(looked);
    const std::error_code recurse = errc::would_recurse;
    CHECK(errors == std::vector<std::error_code>{{}, {}, recurse, recurse, recurse});
    service.settle();
    CHECK(notes == std::vector<std::uint64_t>{1, 2});
    CHECK(service.while_turning([&] { return client.call(Double{4}, patience); })->value == 8);
}

TEMPLATE_LIST_TEST_CASE("what throws on the client's side leaves it whole, and its descriptor announcing", "[bounds]",
                        Transports) {
    std::uint64_t parcels = 0;
    auto service = step<TestType>(telling(parcels));
    auto client = service.connect();
    const int fd = client.fd();
    std::vector<std::uint64_t> got;
    bool throws = true;
    const auto ticks = routes(on<Tick>([&](const Tick& tick) {
        got.push_back(tick.number);
        if (std::exchange(throws, false)) throw Thrown();
    }));
    SECTION("a function for events") {
        REQUIRE(client.send(Tell{3}));
        service.settle();
        REQUIRE(readable(fd, patience));
        CHECK_THROWS_AS(client.dispatch(ticks), Thrown);
    }
    SECTION("a function for an answer") {
        REQUIRE(client.start(Double{1}, patience, [](Result<Number>) { throw Thrown(); }));
        REQUIRE(client.send(Tell{3}));
        service.settle();
        throws = false;
        CHECK_THROWS_AS(client.dispatch(ticks), Thrown);
    }
    SECTION("a function whose deadline has passed") {
        REQUIRE(client.start(Double{1}, 0ms, [](Result<Number>) { throw Thrown(); }));
        REQUIRE(client.send(Tell{3}));
        throws = false;
        CHECK_THROWS_AS(client.dispatch(ticks), Thrown);
        service.settle();
    }
    SECTION("who looks at an answer") {
        throws = false;
        CHECK_THROWS_AS(service.while_turning([&] {
            return client.call(Double{1}, patience, [](const qbipc::View<Number>&) { throw Thrown(); });
        }),
                        Thrown);
        REQUIRE(client.send(Tell{3}));
        service.settle();
    }
    while (got.size() < 3) {
        REQUIRE(readable(fd, patience));
        REQUIRE(client.dispatch(ticks));
    }
    CHECK(got == std::vector<std::uint64_t>{0, 1, 2});
    CHECK(service.while_turning([&] { return client.call(Double{4}, patience); })->value == 8);
}

TEMPLATE_LIST_TEST_CASE("functions that throw while a client is destroyed have all run", "[bounds]", Transports) {
    Kept kept;
    auto service = step<TestType>(keeping(kept));
    int ran = 0;
    const auto throws = [&](Result<Number> answer) {
        ran += why(answer) == errc::disconnected;
        throw Thrown();
    };
    SECTION("a client") {
        auto client = service.connect();
        for (int i = 0; i < 3; ++i) REQUIRE(client.start(Later{1}, patience, throws));
    }
    SECTION("its halves") {
        auto [sending, receiving] = service.connect().split();
        for (int i = 0; i < 3; ++i) REQUIRE(sending.start(Later{1}, patience, throws));
    }
    CHECK(ran == 3);
}

TEMPLATE_LIST_TEST_CASE("a descriptor asked for inside a function announces from then on", "[bounds]", Transports) {
    std::uint64_t parcels = 0;
    auto service = step<TestType>(telling(parcels));
    auto client = service.connect();
    int fd = -1;
    std::uint64_t events = 0;
    const auto ticks = routes(on<Tick>([&](const Tick&) {
        if (fd < 0) fd = client.fd();
        ++events;
    }));
    REQUIRE(client.send(Tell{1}));
    service.settle();
    REQUIRE(client.receive(ticks, patience));
    REQUIRE(fd >= 0);
    REQUIRE(client.send(Tell{1}));
    service.settle();
    REQUIRE(readable(fd, patience));
    REQUIRE(client.dispatch(ticks));
    CHECK(events == 2);
}

TEMPLATE_LIST_TEST_CASE("a function's call that timed out gives its slot back, before its answer comes", "[bounds]",
                        Transports) {
    Kept kept;
    qbipc::ServiceOptions options;
    options.limits.unanswered = 10'000;
    auto service = step<TestType>(keeping(kept), qbipc::same_user_or_root, options);
    std::uint64_t timed_out = 0;
    auto client = service.connect();
    constexpr std::uint64_t slots = 4096;
    for (std::uint64_t i = 0; i < 2 * slots; ++i) {
        CAPTURE(i);
        must(client.start(Later{1}, 0ms, [&](Result<Number> answer) { timed_out += why(answer) == errc::timed_out; }));
        if (i % 50 != 49) continue;
        service.settle();
        REQUIRE(client.dispatch(no_events()));
    }
    service.settle();
    REQUIRE(client.dispatch(no_events()));
    CHECK(timed_out == 2 * slots);
    auto pending = client.start(Double{5});
    REQUIRE(pending);
    CHECK(service.while_turning([&] { return client.wait(*pending, patience); })->value == 10);
}

#ifndef QBIPC_CONFORMANCE_TRANSPORT
TEMPLATE_LIST_TEST_CASE("a client told to wait for its service gets it once it is there", "[bounds]", Transports) {
    const auto name = unique_name();
    qbipc::Options options;
    options.wait_for_service = true;
    CHECK(why(qbipc::Client<TestType>::connect(name, shortly, qbipc::same_user_or_root, options)) == errc::no_service);
    auto coming = std::async(std::launch::async, [&] {
        return qbipc::Client<TestType>::connect(name, patience, qbipc::same_user_or_root, options);
    });
    auto service = must(qbipc::listen<TestType>(name, doubling()));
    while (coming.wait_for(0s) != std::future_status::ready)
        if (readable(service.fd(), 1ms)) REQUIRE(service.dispatch());
    CHECK(coming.get());
}
#endif

namespace {

std::atomic<bool> babbling = false;

/// A transport whose service can be made to answer a call again and again that was answered long ago.
template <qbipc::TransportPolicy T>
struct Babbling : T {
    struct ClientEnd : T::ClientEnd {
        explicit ClientEnd(typename T::ClientEnd end) : T::ClientEnd(std::move(end)) {}
        bool peek(qbipc::Lane lane, qbipc::Frame& frame) {
            if (!babbling || lane != qbipc::Lane::responses) return T::ClientEnd::peek(lane, frame);
            static constexpr std::array<std::byte, sizeof(Number)> payload{};
            frame.header = qbipc::Header{.size = sizeof(Number), .kind = qbipc::Kind::answer, .correlation = 1};
            frame.payload = payload.data();
            return true;
        }
        void release(qbipc::Lane lane) {
            if (!babbling || lane != qbipc::Lane::responses) T::ClientEnd::release(lane);
        }
    };
    static qbipc::Result<ClientEnd> connect(const qbipc::Address& address, const qbipc::Options& options,
                                            qbipc::TimeLimit limit, qbipc::CredentialCheck check) {
        return T::connect(address, options, limit, check).map([](auto&& end) { return ClientEnd(std::move(end)); });
    }
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("late answers without end keep no start() that waits for a slot past its limit", "[bounds]",
                        Transports) {
    using T = Babbling<TestType>;
    Kept kept;
    auto service = step<T>(keeping(kept));
    auto client = service.connect();
    service.while_turning([&] { return client.call(Double{1}, patience); });
    auto all = start_all(service, client);
    babbling = true;
    const auto begun = std::chrono::steady_clock::now();
    CHECK(why(client.start(Later{1}, 100ms, [](qbipc::Result<Number>) {})) == errc::timed_out);
    CHECK(std::chrono::steady_clock::now() - begun < patience);
    babbling = false;
}
