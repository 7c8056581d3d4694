// SPDX-License-Identifier: BSL-1.0
// Calls: their answers and deadlines; several at once, collected in any order.
#include <functional>
#include <optional>
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

}  // namespace

TEMPLATE_LIST_TEST_CASE("a call gives its own answer, thousands of times", "[call]", Transports) {
    auto service = run<TestType>(doubling());
    auto client = connect<TestType>(service.name);
    for (std::uint64_t i = 0; i < times(5000); ++i) {
        const auto answer = client.call(Double{i}, patience);
        REQUIRE(answer);
        REQUIRE(answer->value == 2 * i);
    }
    CHECK(client.call(Ping{}, forever));
    CHECK(client.call(Double{7}, std::chrono::nanoseconds::max())->value == 14);
    CHECK(client.call(Double{7}, qbipc::Clock::now() + patience)->value == 14);
}

TEMPLATE_LIST_TEST_CASE("an answer that comes late is dropped, and the next call gets its own", "[call]", Transports) {
    Kept kept;
    auto service = step<TestType>(keeping(kept));
    auto client = service.connect();
    for (std::uint64_t round = 1; round <= 3; ++round) {
        CHECK(why(client.call(Double{round}, shortly)) == errc::timed_out);
        CHECK(why(client.call(Double{round}, 0ms)) == errc::timed_out);
        auto pending = must(client.start(Double{100 + round}));
        service.settle();  // answers all three
        CHECK(must(client.wait(pending, patience)).value == 200 + 2 * round);
        CHECK(client.statistics().late_answers == 2 * round);
        CHECK(client.statistics().responses == round);
    }
    CHECK(kept.calls == 9);  // a deadline doesn't recall the request
}

TEMPLATE_LIST_TEST_CASE("an answer that comes late, while the next call waits, is not that call's", "[call]",
                        Transports) {
    std::optional<Answer<Number>> held;
    auto service = run<TestType>(
        routes(on<Later>([&held](const Later&, Answer<Number> answer) { held.emplace(std::move(answer)); }),
               on<Double>([&held](const Double& m) {
                   if (held) (void)std::exchange(held, {})->send(Number{1});  // goes out first
                   return Number{2 * m.value};
               })));
    auto client = connect<TestType>(service.name);
    for (std::uint64_t round = 1; round <= 3; ++round) {
        CHECK(why(client.call(Later{1}, shortly)) == errc::timed_out);
        CHECK(must(client.call(Double{50 + round}, patience)).value == 100 + 2 * round);
        CHECK(client.statistics().late_answers == round);
    }
}

TEMPLATE_LIST_TEST_CASE("other answers that come meanwhile don't prolong a call", "[call]", Transports) {
    auto service = run<TestType>(
        routes(on<Double>([](const Double& m) { return Number{m.value}; }),
               on<Later>([held = std::vector<Answer<Number>>()](const Later&, Answer<Number> answer) mutable {
                   held.push_back(std::move(answer));
               })));
    auto client = connect<TestType>(service.name);
    // Each late answer of the first kind wakes the call; the one it waits for never comes.
    std::vector<qbipc::Pending<Double>> others;
    std::uint64_t calls = 0;
    const auto begun = std::chrono::steady_clock::now();
    // A function whose answer starts the next such call keeps answers coming for as long as the call waits.
    std::function<void(Result<Number>)> again = [&](Result<Number> answer) {
        if (!answer || std::chrono::steady_clock::now() - begun > patience) return;
        ++calls;
        (void)client.start(Double{1}, patience, again);
    };
    REQUIRE(client.start(Double{1}, patience, again));
    do CHECK(why(client.call(Later{1}, 200ms)) == errc::timed_out);
    while (calls <= 1 && std::chrono::steady_clock::now() - begun < patience);
    CHECK(calls > 1);
    client.disconnect();
}

TEMPLATE_LIST_TEST_CASE("several calls are outstanding; their answers are collected in any order", "[call]",
                        Transports) {
    Kept kept;
    auto service = step<TestType>(keeping(kept));
    auto client = service.connect();
    auto first = must(client.start(Later{1}));
    auto second = must(client.start(Double{2}));
    auto third = must(client.start(Later{3}));
    CHECK_FALSE(second.ready());
    CHECK(why(client.wait(first, 0ms)) == errc::timed_out);
    service.settle();
    REQUIRE(kept.answers.size() == 2);
    CHECK(kept.answers[1].send(Number{33}));
    CHECK(must(client.wait(third, patience)).value == 33);
    CHECK(second.ready());                                       // completed on the way
    CHECK(why(client.wait(first, shortly)) == errc::timed_out);  // may be repeated
    CHECK(kept.answers[0].send(Number{11}));
    CHECK(must(client.wait(first, patience)).value == 11);
    CHECK(must(client.wait(second, patience)).value == 4);
    CHECK_FALSE(second.ready());
    CHECK(why(client.wait(second, patience)) == errc::disconnected);  // used already
}

TEMPLATE_LIST_TEST_CASE("a dropped token drops its answer, before or after that has come", "[call]", Transports) {
    Kept kept;
    auto service = step<TestType>(keeping(kept));
    auto client = service.connect();
    {
        auto early = must(client.start(Double{1}));
        auto late = must(client.start(Double{2}));
        auto kept_one = must(client.start(Double{3}));
        { const auto dropped = std::move(early); }
        service.settle();
        CHECK(must(client.wait(kept_one, patience)).value == 6);
        CHECK(late.ready());
        late = must(client.start(Double{4}));  // assigned to: what it held is dropped
        service.settle();
        CHECK(must(client.wait(late, patience)).value == 8);
    }
    // Slots come back: many more than there are at once.
    for (int round = 0; round < 200; ++round) {
        for (int i = 0; i < 50; ++i) (void)must(client.start(Double{5}));
        auto last = must(client.start(Double{6}));
        service.settle();
        REQUIRE(must(client.wait(last, patience)).value == 12);
    }
    CHECK(client.statistics().late_answers == 1 + 200 * 50);
}

TEMPLATE_LIST_TEST_CASE("a token is good for the client that started it, and may outlive it", "[call]", Transports) {
    Kept kept;
    auto service = step<TestType>(keeping(kept));
    auto other = service.connect();
    auto client = std::make_optional(service.connect());
    auto pending = must(client->start(Double{1}));
    auto unused = must(client->start(Double{2}));
    service.settle();
    CHECK(why(other.wait(pending, patience)) == errc::disconnected);
    CHECK(must(client->wait(pending, patience)).value == 2);
    client.reset();
    CHECK(why(other.wait(unused, patience)) == errc::disconnected);
}

TEMPLATE_LIST_TEST_CASE("no more than 4,096 calls are outstanding; the next is refused at once", "[call]", Transports) {
    Kept kept;
    qbipc::ServiceOptions options;
    options.limits.unanswered = 10000;
    auto service = step<TestType>(keeping(kept), qbipc::same_user_or_root, options);
    auto client = service.connect();
    auto calls = start_all(service, client);
    REQUIRE(kept.answers.size() == 4096);
    CHECK(why(client.start(Later{1})) == errc::lane_full);
    CHECK(why(client.start(Later{1}, shortly, [](Result<Number>) {})) == errc::timed_out);  // it waits for one
    calls.pop_back();
    CHECK(why(client.start(Later{1})) == errc::lane_full);  // its answer may still come
    for (auto& answer : kept.answers) (void)answer.send(Number{1});
    REQUIRE(service.turn_until([&] {
        (void)client.dispatch(no_events());
        return client.statistics().responses + client.statistics().late_answers == 4096;
    }));
    CHECK(client.start(Later{1}));
    for (auto& call : calls) REQUIRE(client.wait(call, 0ms));
}
