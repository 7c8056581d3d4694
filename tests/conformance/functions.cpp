// SPDX-License-Identifier: BSL-1.0
// Calls whose answers are given to functions: once, whatever happens.
#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "conformance/kept.hpp"
#include "conformance/messages.hpp"
#include "conformance/running.hpp"
#include "conformance/transports.hpp"

namespace {

using namespace conformance;
using qbipc::forever;
using qbipc::Result;

}  // namespace

TEMPLATE_LIST_TEST_CASE("a function gets its answer once, in dispatch", "[then]", Transports) {
    Kept kept;
    auto service = step<TestType>(keeping(kept));
    auto client = service.connect();
    std::vector<std::uint64_t> got;
    for (std::uint64_t i = 0; i < 100; ++i)
        REQUIRE(client.start(Double{i}, patience, [&, i, alone = std::make_unique<int>(1)](Result<Number> answer) {
            got.push_back(i);
            CHECK(answer->value == 2 * i);
        }));
    service.settle();
    CHECK(got.empty());  // only in a function of the client
    CHECK(*client.dispatch(no_events()) == 0);
    CHECK(got.size() == 100);
    (void)client.dispatch(no_events());
    (void)client.call(Double{1}, 0ms);
    CHECK(got.size() == 100);
}

TEMPLATE_LIST_TEST_CASE("a function gets timed_out at its deadline, and its late answer is dropped", "[then]",
                        Transports) {
    Kept kept;
    auto service = step<TestType>(keeping(kept));
    auto client = service.connect();
    std::vector<std::error_code> ended;
    const auto note = [&](Result<Number> answer) { ended.push_back(answer ? std::error_code() : answer.error()); };
    REQUIRE(client.start(Later{1}, shortly, note));
    REQUIRE(client.start(Later{2}, patience, note));
    REQUIRE(client.start(Later{3}, shortly, note));
    service.settle();
    SECTION("in receive, whose own deadline is later") {
        CHECK(why(client.receive(no_events(), 10 * shortly)) == errc::timed_out);
    }
    SECTION("in call") { CHECK(why(client.call(Later{4}, 10 * shortly)) == errc::timed_out); }
    SECTION("in wait") {
        auto pending = must(client.start(Later{5}));
        CHECK(why(client.wait(pending, 10 * shortly)) == errc::timed_out);
    }
    SECTION("in dispatch, which the descriptor asked for") {
        REQUIRE(readable(client.fd(), patience));
        while (ended.size() < 2) {
            REQUIRE(readable(client.fd(), patience));
            CHECK(client.dispatch(no_events()));
        }
    }
    CHECK(ended == std::vector<std::error_code>(2, errc::timed_out));
    service.settle();
    for (auto& answer : kept.answers) (void)answer.send(Number{1});
    (void)client.dispatch(no_events());
    CHECK(ended.size() == 3);
    CHECK_FALSE(ended.back());
    CHECK(client.statistics().late_answers >= 2);
}

TEMPLATE_LIST_TEST_CASE("a function gets disconnected when the service ends, or the client", "[then]", Transports) {
    Kept kept;
    int ran = 0;
    const auto gone = [&](Result<Number> answer) { ran += !answer && answer.error() == errc::disconnected; };
    SECTION("the service") {
        auto service = step_owned<TestType>(keeping(kept));
        auto client = service->connect();
        REQUIRE(client.start(Later{1}, forever, gone));
        REQUIRE(client.start(Later{1}, patience, gone));
        service->settle();
        service.reset();
        CHECK(why(client.receive(no_events(), forever)) == errc::disconnected);
        CHECK(ran == 2);
        CHECK(why(client.start(Later{1}, patience, gone)) == errc::disconnected);
        CHECK(ran == 2);  // where start() gives an error, it doesn't run
    }
    SECTION("the client, by disconnect") {
        auto service = step<TestType>(keeping(kept));
        auto client = service.connect();
        REQUIRE(client.start(Later{1}, patience, gone));
        client.disconnect();
        CHECK(ran == 1);
    }
    SECTION("the client, by destruction") {
        auto service = step<TestType>(keeping(kept));
        {
            auto client = service.connect();
            REQUIRE(client.start(Later{1}, patience, gone));
        }
        CHECK(ran == 1);
    }
    SECTION("a client that is assigned to") {
        auto service = step<TestType>(keeping(kept));
        auto client = service.connect();
        REQUIRE(client.start(Later{1}, patience, gone));
        client = service.connect();
        CHECK(ran == 1);
    }
}

TEMPLATE_LIST_TEST_CASE("a function may call, whether it runs in dispatch or in a call", "[then]", Transports) {
    auto service = run<TestType>(doubling());
    auto client = connect<TestType>(service.name);
    int ran = 0;
    const auto calls = [&](Result<Number> answer) {
        CHECK(answer->value == 2);
        for (std::uint64_t i = 0; i < 3; ++i) CHECK(client.call(Double{10 + i}, patience)->value == 20 + 2 * i);
        ++ran;
    };
    for (int i = 0; i < 3; ++i) {
        REQUIRE(client.start(Double{1}, patience, calls));
        REQUIRE(client.start(Double{1}, patience, calls));
        auto pending = must(client.start(Double{5}));
        CHECK(must(client.wait(pending, patience)).value == 10);
        CHECK(ran == 4 * i + 2);
        REQUIRE(client.start(Double{1}, patience, calls));
        REQUIRE(client.start(Double{1}, patience, calls));
        CHECK(client.call(Double{6}, patience)->value == 12);
        CHECK(ran == 4 * i + 4);
        REQUIRE(eventually([&] {
            (void)client.dispatch(no_events());
            return ran == 4 * i + 4;
        }));
    }
    CHECK(client.statistics().late_answers == 0);
}

TEMPLATE_LIST_TEST_CASE("a function may not dispatch or receive, wherever it runs", "[then]", Transports) {
    auto service = run<TestType>(doubling());
    auto client = connect<TestType>(service.name);
    int ran = 0;
    const auto dispatches = [&](Result<Number>) {
        CHECK(why(client.dispatch(no_events())) == errc::would_recurse);
        CHECK(why(client.receive(no_events(), patience)) == errc::would_recurse);
        ++ran;
    };
    REQUIRE(client.start(Double{1}, patience, dispatches));
    CHECK(client.call(Double{2}, patience));
    CHECK(ran == 1);
    REQUIRE(client.start(Double{1}, patience, dispatches));
    REQUIRE(eventually([&] {
        (void)client.dispatch(no_events());
        return ran == 2;
    }));
    CHECK(client.dispatch(no_events()));
}

TEMPLATE_LIST_TEST_CASE("a function may start the next call, again and again", "[then]", Transports) {
    auto service = run<TestType>(doubling());
    auto client = connect<TestType>(service.name);
    std::uint64_t left = times(1000);
    std::function<void(Result<Number>)> next = [&](Result<Number> answer) {
        if (answer && --left > 0) CHECK(client.start(Double{left}, patience, next));
    };
    REQUIRE(client.start(Double{1}, patience, next));
    const int fd = client.fd();
    while (left > 0) {
        REQUIRE(readable(fd, patience));
        REQUIRE(client.dispatch(no_events()));
    }
}

TEMPLATE_LIST_TEST_CASE("functions that wait for calls run one at a time, whatever comes meanwhile", "[then]",
                        Transports) {
    auto service =
        run<TestType>(qbipc::routes(qbipc::on<Double>([](const Double& m) { return Number{2 * m.value}; }),
                                    qbipc::on<Later>([held = std::vector<qbipc::Answer<Number>>()](
                                                         const Later&, qbipc::Answer<Number> answer) mutable {
                                        held.push_back(std::move(answer));
                                    })));
    int running = 0, most = 0, ran = 0, failed = 0;
    auto client = connect<TestType>(service.name);
    const auto counted = [&](auto&& f) {
        most = std::max(most, ++running);
        f();
        --running;
    };
    SECTION("each starts another, whose answer comes before that of its call") {
        constexpr int rounds = 1'000;
        std::function<void(Result<Number>)> next = [&](Result<Number> answer) {
            counted([&] {
                failed += !answer;
                if (++ran < rounds) failed += !client.start(Double{1}, patience, next);
                failed += !client.call(Double{2}, patience);
            });
        };
        for (int i = 0; i < 10; ++i) REQUIRE(client.start(Double{1}, patience, next));
        // Each of the ten goes on until there were so many in all.
        for (int calls = 0; ran < rounds + 9 && calls < 10 * rounds; ++calls) REQUIRE(client.call(Double{3}, patience));
        CHECK(ran == rounds + 9);
    }
    SECTION("all their answers are there") {
        for (int i = 0; i < 1'000; ++i)
            REQUIRE(client.start(Double{1}, patience, [&](Result<Number> answer) {
                counted([&] {
                    ++ran;
                    failed += !answer || !client.call(Double{2}, patience);
                });
            }));
        for (int calls = 0; ran < 1'000 && calls < 1'000; ++calls) REQUIRE(client.call(Double{3}, patience));
        CHECK(ran == 1'000);
    }
    SECTION("their deadlines come") {
        for (int i = 0; i < 3; ++i)
            REQUIRE(client.start(Later{1}, shortly, [&](Result<Number> answer) {
                counted([&] {
                    ++ran;
                    failed += why(answer) != errc::timed_out;
                    failed += why(client.call(Later{2}, 2 * shortly)) != errc::timed_out;
                });
            }));
        while (ran < 3) CHECK(why(client.receive(no_events(), 5 * shortly)) == errc::timed_out);
    }
    SECTION("the connection ends") {
        for (int i = 0; i < 1'000; ++i)
            REQUIRE(client.start(Later{1}, patience, [&](Result<Number> answer) {
                counted([&] {
                    ++ran;
                    failed += why(answer) != errc::disconnected;
                    failed += why(client.call(Double{2}, patience)) != errc::disconnected;
                    client.disconnect();
                });
            }));
        client.disconnect();
        CHECK(ran == 1'000);
    }
    CHECK(most == 1);
    CHECK(failed == 0);
}

TEMPLATE_LIST_TEST_CASE("a function that starts more than can be kept gets an error for what is too much", "[then]",
                        Transports) {
    auto service = run<TestType>(doubling());
    std::uint64_t ran = 0, started = 0, kept = 0, lost = 0;
    bool full = false;
    auto client = connect<TestType>(service.name);
    REQUIRE(client.start(Double{1}, patience, [&](Result<Number>) {
        for (int i = 0; i < 20'000 && !full; ++i) {
            const auto error = why(client.start(Double{1}, patience, [&](Result<Number> answer) {
                ++ran;
                kept += answer ? 1u : 0u;
                // The first of them finds that there is no room yet, and doesn't wait for itself to end.
                if (ran == 1)
                    CHECK(why(client.start(Double{1}, forever, [](Result<Number>) {})) == errc::would_recurse);
                lost += why(answer) == std::errc::not_enough_memory ? 1u : 0u;
            }));
            full = error == errc::would_recurse;
            if (!error) ++started;
            if (!full) CHECK_FALSE(error);
            (void)client.call(Ping{}, patience);
        }
    }));
    REQUIRE(client.call(Ping{}, patience));
    CHECK(full);
    // Those that were lost are due; who starts another needn't wait for them.
    REQUIRE(client.start(Double{1}, forever, [&](Result<Number>) { ++ran; }));
    ++started;
    for (int turns = 0; ran < started && turns < 1'000; ++turns) (void)client.receive(no_events(), shortly);
    CHECK(ran == started);
    CHECK(kept == 2 * 4096);
    CHECK(lost == 4096);
}

TEMPLATE_LIST_TEST_CASE("no answer that came is lost, however many functions are started before one may run", "[then]",
                        Transports) {
    auto service = run<TestType>(doubling());
    constexpr int count = 12'000;
    int good = 0, ran = 0;
    auto client = connect<TestType>(service.name);
    for (int i = 0; i < count; ++i)
        REQUIRE(client.start(Double{1}, patience, [&](Result<Number> answer) {
            ++ran;
            good += answer && answer->value == 2 ? 1 : 0;
        }));
    for (int turns = 0; ran < count && turns < count; ++turns) REQUIRE(client.call(Ping{}, patience));
    CHECK(ran == count);
    CHECK(good == count);
}

TEMPLATE_LIST_TEST_CASE("functions end by calls that can't even be sent", "[then]", Transports) {
    Kept kept;
    auto service = std::optional(step<TestType>(keeping(kept)));
    int ran = 0;
    auto client = service->connect(small_lanes());
    SECTION("for there is no room until their deadline") {
        REQUIRE(client.start(Later{1}, shortly, [&](Result<Number> answer) { ran += why(answer) == errc::timed_out; }));
        while (client.send(qbipc::with_tail(Parcel{1}, patterned(1, 1'000)))) {
        }
        for (int calls = 0; ran == 0 && calls < 100; ++calls)
            CHECK(why(client.call(Double{1}, shortly)) == errc::timed_out);
    }
    SECTION("for the service is gone") {
        REQUIRE(
            client.start(Later{1}, patience, [&](Result<Number> answer) { ran += why(answer) == errc::disconnected; }));
        service.reset();
        CHECK(why(client.call(Double{1}, patience)) == errc::disconnected);
    }
    CHECK(ran == 1);
}

TEST_CASE("a forked child runs none of its parent's functions", "[then]") {
    Kept kept;
    auto service = step<qbipc::UnixSocket>(keeping(kept));
    int ran = 0;
    auto client = service.connect();
    REQUIRE(client.start(Later{1}, 0ms, [&](Result<Number>) { ++ran; }));
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        (void)client.call(Double{1}, patience);
        (void)client.dispatch(no_events());
        (void)client.receive(no_events(), patience);
        client.disconnect();
        ::_exit(ran);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(client.dispatch(no_events()));
    CHECK(ran == 1);
}
