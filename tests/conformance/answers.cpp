// SPDX-License-Identifier: BSL-1.0
// Answers that are given later: from the handler, from other threads, after their session or their service is gone.
#include <memory>
#include <optional>
#include <span>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "conformance/messages.hpp"
#include "conformance/running.hpp"
#include "conformance/transports.hpp"

namespace {

using namespace conformance;
using qbipc::Answer;
using qbipc::on;
using qbipc::Result;
using qbipc::routes;
using qbipc::TailView;
using qbipc::with_tail;

/// Hands its answers to the test, whatever thread that is.
template <class Reply>
struct Deferred {
    std::mutex mutex;
    std::vector<Answer<Reply>> answers;

    void add(Answer<Reply> answer) {
        const std::lock_guard lock(mutex);
        answers.push_back(std::move(answer));
    }
    std::size_t size() {
        const std::lock_guard lock(mutex);
        return answers.size();
    }
    /// The next one, once there is one.
    Answer<Reply> take() {
        REQUIRE(eventually([&] { return size() > 0; }));
        const std::lock_guard lock(mutex);
        Answer<Reply> answer = std::move(answers.front());
        answers.erase(answers.begin());
        return answer;
    }
};
auto deferring(Deferred<Number>& numbers) {
    return routes(on<Later>([&](const Later&, Answer<Number> answer) { numbers.add(std::move(answer)); }),
                  on<Double>([](const Double& m) { return Number{2 * m.value}; }));
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("an answer is given from another thread, once", "[answer]", Transports) {
    Deferred<Number> deferred;
    auto service = run<TestType>(deferring(deferred));
    auto client = connect<TestType>(service.name);
    auto first = must(client.start(Later{1})), second = must(client.start(Later{2}));
    auto answer = deferred.take();
    CHECK(answer.pending());
    CHECK(answer.send(Number{5}));
    CHECK_FALSE(answer.pending());
    CHECK(why(answer.send(Number{6})) == errc::disconnected);
    CHECK(why(answer.fail(Trouble::lost)) == errc::disconnected);
    CHECK(must(client.wait(first, patience)).value == 5);
    CHECK(deferred.take().fail(errc::not_permitted));
    CHECK(why(client.wait(second, patience)) == errc::not_permitted);
    CHECK(service.statistics().calls_waiting == 0);
    CHECK(service.statistics().responses == 2);
}

TEMPLATE_LIST_TEST_CASE("a one-way message by the id of a deferred call gets no answer", "[answer]", Transports) {
    Deferred<Number> deferred;
    auto service = run<TestType>(deferring(deferred));
    auto client = connect<TestType>(service.name);
    const Later later{1};
    for (int i = 0; i < 2; ++i)
        must(client.send(qbipc::bytes(qbipc::ServiceId{0}, Later::id, std::as_bytes(std::span(&later, 1)))));
    CHECK(deferred.take().send(Number{5}));
    CHECK(deferred.take().fail(errc::not_permitted));
    CHECK(must(client.call(Double{4}, patience)).value == 8);
    CHECK(service.statistics().responses == 1);
    CHECK(service.statistics().one_way_failures == 1);
    CHECK(service.statistics().calls_waiting == 0);
}

TEMPLATE_LIST_TEST_CASE("an answer of any size and shape is given from another thread", "[answer]", Transports) {
    Deferred<Echoed> deferred;
    auto service = run<TestType>(routes(
        on<Echo>([&](const Echo&, TailView<std::byte>, Answer<Echoed> answer) { deferred.add(std::move(answer)); })));
    auto client = connect<TestType>(service.name);
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{100}, std::size_t{100'000}, client.max_message() - sizeof(Echoed)}) {
        CAPTURE(size);
        auto pending = must(client.start(with_tail(Echo{1})));
        const auto tail = patterned(size, size);
        CHECK(deferred.take().send(with_tail(Echoed{size}, tail)));
        auto answer = must(client.wait(pending, patience));
        CHECK(is_patterned(answer.tail(), size, size));
        auto built = must(client.start(with_tail(Echo{1})));
        int ran = 0;
        CHECK(deferred.take().send(qbipc::build<Echoed>(size, [&](Echoed& m, std::span<std::byte> to) {
            ++ran;
            m.number = size;
            std::copy(tail.begin(), tail.end(), to.begin());
            return size / 2;
        })));
        CHECK(ran == 1);
        answer = must(client.wait(built, patience));
        CHECK(is_patterned(answer.tail(), size, size / 2));
    }
    auto refused = must(client.start(with_tail(Echo{1})));
    const auto refuses = [](Echoed&, std::span<std::byte>) -> Result<std::size_t> {
        return qbipc::fail(errc::not_supported);
    };
    CHECK(why(deferred.take().send(qbipc::build<Echoed>(10, refuses))) == errc::not_supported);
    CHECK(why(client.wait(refused, patience)) == errc::not_supported);
    auto too_large = must(client.start(with_tail(Echo{1})));
    (void)deferred.take().send(with_tail(Echoed{1}, patterned(1, client.max_message())));
    CHECK(why(client.wait(too_large, patience)) == errc::message_too_large);
}

TEMPLATE_LIST_TEST_CASE("a dropped answer is one, wherever it is dropped", "[answer]", Transports) {
    Deferred<Number> deferred;
    std::atomic<bool> keep = false;
    auto service = run<TestType>(routes(on<Later>([&](const Later&, Answer<Number> answer) {
        if (keep) deferred.add(std::move(answer));
    })));
    auto client = connect<TestType>(service.name);
    CHECK(why(client.call(Later{1}, patience)) == errc::unanswered);
    keep = true;
    auto pending = must(client.start(Later{1}));
    { const auto dropped = deferred.take(); }
    CHECK(why(client.wait(pending, patience)) == errc::unanswered);
    auto first = must(client.start(Later{1})), second = must(client.start(Later{1}));
    auto answer = deferred.take();
    answer = deferred.take();  // what it was is dropped
    CHECK(why(client.wait(first, patience)) == errc::unanswered);
    CHECK(answer.send(Number{1}));
    CHECK(client.wait(second, patience));
    CHECK(service.statistics().calls_waiting == 0);
}

TEMPLATE_LIST_TEST_CASE("a selector that takes a call and doesn't answer is found out", "[answer]", Transports) {
    auto service = run<TestType>([](auto&, auto&) { return true; });
    auto client = connect<TestType>(service.name);
    CHECK(why(client.call(Double{1}, patience)) == errc::unanswered);
    CHECK(client.send(Note{1}));
    CHECK(why(client.call(Double{1}, patience)) == errc::unanswered);
}

TEMPLATE_LIST_TEST_CASE("answers are given in any order, by several threads at once", "[answer]", Transports) {
    Deferred<Number> deferred;
    auto service = run<TestType>(deferring(deferred));
    auto client = connect<TestType>(service.name);
    const std::uint64_t rounds = times(20);
    for (std::uint64_t round = 0; round < rounds; ++round) {
        std::vector<qbipc::Pending<Later>> calls;
        for (std::uint64_t i = 0; i < 40; ++i) calls.push_back(must(client.start(Later{i})));
        REQUIRE(eventually([&] { return deferred.size() == 40; }));
        {
            std::vector<Answer<Number>> mine = std::move(deferred.answers);
            deferred.answers.clear();
            std::vector<std::jthread> threads;
            for (std::size_t t = 0; t < 4; ++t)
                threads.emplace_back([&, t] {
                    for (std::size_t i = 40; i-- > 0;)
                        if (i % 4 == t) (void)mine[i].send(Number{i});
                });
        }
        for (std::uint64_t i = 0; i < 40; ++i) REQUIRE(must(client.wait(calls[i], patience)).value == i);
    }
}

TEMPLATE_LIST_TEST_CASE("an answer may outlive its session, and its service", "[answer]", Transports) {
    Deferred<Number> deferred;
    auto service = std::make_unique<Running<TestType, decltype(deferring(deferred))>>(deferring(deferred));
    {
        auto client = connect<TestType>(service->name);
        for (std::uint64_t i = 0; i < 4; ++i) (void)must(client.start(Later{i}));
        REQUIRE(eventually([&] { return deferred.size() == 4; }));
    }
    REQUIRE(eventually([&] { return service->count_sessions() == 0; }));
    CHECK(why(deferred.take().send(Number{1})) == errc::disconnected);
    CHECK(why(deferred.take().fail(std::errc::io_error)) == errc::disconnected);
    { const auto dropped = deferred.take(); }
    auto other = connect<TestType>(service->name);
    CHECK(other.call(Double{1}, patience));
    auto open = must(other.start(Later{9}));
    REQUIRE(eventually([&] { return deferred.size() == 2; }));
    service.reset();
    CHECK(why(deferred.take().send(Number{1})) == errc::disconnected);
    { const auto dropped = deferred.take(); }
    CHECK(why(other.wait(open, patience)) == errc::disconnected);
}

TEMPLATE_LIST_TEST_CASE("sessions come and go while other threads answer them", "[answer]", Transports) {
    Deferred<Number> deferred;
    auto service = run<TestType>(deferring(deferred));
    std::atomic<bool> stop = false;
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t)
        threads.emplace_back([&] {
            while (!stop) {
                std::optional<Answer<Number>> answer;
                {
                    const std::lock_guard lock(deferred.mutex);
                    if (!deferred.answers.empty()) {
                        answer.emplace(std::move(deferred.answers.back()));
                        deferred.answers.pop_back();
                    }
                }
                if (answer)
                    (void)answer->send(Number{1});
                else
                    std::this_thread::yield();
            }
        });
    for (std::uint64_t round = 0; round < times(60); ++round) {
        auto client = connect<TestType>(service.name);
        for (std::uint64_t i = 0; i < round % 20; ++i) (void)must(client.start(Later{i}));
        if (round % 3 != 0) REQUIRE(client.call(Later{1}, patience));
    }
    stop = true;
}

TEMPLATE_LIST_TEST_CASE("whatever a build() function gives is an answer, 'disconnected' of somebody else's too",
                        "[answer]", Transports) {
    auto service = run<TestType>(routes(on<Echo>([](const Echo& m, qbipc::TailView<std::byte>, Answer<Echoed> answer) {
        const std::size_t size = m.number % 2 == 0 ? 10 : 200'000;
        const errc given = m.number / 2 == 0 ? errc::disconnected : errc::lane_full;
        (void)answer.send(qbipc::build<Echoed>(size, [&](Echoed&, std::span<std::byte>) -> Result<std::size_t> {
            return qbipc::fail(make_error_code(given));
        }));
    })));
    auto client = connect<TestType>(service.name);
    for (std::uint64_t i = 0; i < 4; ++i) {
        const auto answer = client.call(qbipc::with_tail(Echo{i}, patterned(1, 10)), patience);
        CHECK(why(answer) == (i / 2 == 0 ? errc::disconnected : errc::handler_failed));
    }
    CHECK(client.alive());
}

TEST_CASE("a thread that forked answers nothing in the child, and its parent's call is answered", "[answer]") {
    Deferred<Number> deferred;
    auto service = run<qbipc::UnixSocket>(
        routes(on<Later>([&](const Later&, Answer<Number> answer) { deferred.add(std::move(answer)); })));
    auto client = connect<qbipc::UnixSocket>(service.name);
    auto call = must(client.start(Later{1}));
    auto answer = deferred.take();
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) ::_exit(why(answer.send(Number{1})) == errc::used_after_fork && !answer.pending() ? 0 : 1);
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(answer.send(Number{2}));
    const auto number = client.wait(call, patience);
    REQUIRE(number);
    CHECK(number->value == 2);
}
