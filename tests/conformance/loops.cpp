// SPDX-License-Identifier: BSL-1.0
// One descriptor per client and per service: any loop that watches it misses nothing; budgets, and what may not
// recurse.
#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <memory>
#include <stop_token>
#include <sys/epoll.h>
#include <utility>

#include <qbipc/detail/descriptor.hpp>

#include "conformance/messages.hpp"
#include "conformance/running.hpp"
#include "conformance/transports.hpp"

namespace {

using namespace conformance;
using qbipc::Answer;
using qbipc::on;
using qbipc::Result;
using qbipc::routes;

/// Sends the events it is told to, and answers.
auto telling() {
    return routes(on<Tell>([](auto& session, const Tell& m) {
                      for (std::uint64_t i = 0; i < m.count; ++i) (void)session.send(Tick{i});
                  }),
                  on<Double>([](auto& session, const Double& m) {
                      (void)session.send(Tick{m.value});
                      return Number{2 * m.value};
                  }),
                  on<Note>([](const Note&) {}));
}

/// A loop over one descriptor.
struct Loop {
    Loop(int fd, std::uint32_t extra) {
        epoll_event event{EPOLLIN | extra, {}};
        REQUIRE(::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) == 0);
    }
    bool wait(std::chrono::milliseconds limit = patience) {
        epoll_event event{};
        int count = 0;
        do count = ::epoll_wait(epoll.get(), &event, 1, static_cast<int>(limit.count()));
        while (count < 0 && errno == EINTR);
        return count == 1;
    }
    qbipc::detail::Descriptor epoll{::epoll_create1(EPOLL_CLOEXEC)};
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("calls and a loop alternate, and no announcement is lost", "[loop]", Transports) {
    auto service = run<TestType>(telling());
    auto client = connect<TestType>(service.name);
    const int fd = client.fd();
    REQUIRE(fd >= 0);
    const std::uint64_t rounds = times(20'000);
    std::uint64_t events = 0;
    const auto ticks = routes(on<Tick>([&](const Tick& tick) { events += tick.number == events; }));
    for (std::uint64_t i = 0; i < rounds; ++i) {
        // Its event lies there before its answer does: the call sees the bells of both.
        REQUIRE(client.call(Double{i}, patience)->value == 2 * i);
        while (events <= i) {
            if (!readable(fd, patience)) FAIL("round " << i << ": an event lies there and nobody says so");
            REQUIRE(client.dispatch(ticks));
        }
    }
    CHECK(client.fd() == fd);
}

TEMPLATE_LIST_TEST_CASE("an event that comes while the client calls for something else is announced afterwards",
                        "[loop]", Transports) {
    auto service = step<TestType>(routes(
        on<Later>([held = std::vector<Answer<Number>>()](auto& session, const Later& m, Answer<Number> answer) mutable {
            (void)session.send(Tick{m.value});
            held.push_back(std::move(answer));
        })));
    auto client = service.connect();
    const int fd = client.fd();
    CHECK_FALSE(readable(fd));
    CHECK(why(service.while_turning([&] { return client.call(Later{1}, 10 * shortly); })) == errc::timed_out);
    service.settle();
    CHECK(readable(fd, patience));
    CHECK(*client.dispatch(no_events()) == 1);
    CHECK_FALSE(readable(fd));
}

TEMPLATE_LIST_TEST_CASE("a descriptor is quiet while there is nothing to do, and a spurious dispatch does nothing",
                        "[loop]", Transports) {
    auto service = step<TestType>(telling());
    CHECK_FALSE(readable(service.service.fd()));
    CHECK(*service.service.dispatch() == 0);
    auto client = service.connect();
    service.settle();
    const int fd = client.fd(), service_fd = service.service.fd();
    CHECK_FALSE(readable(service_fd));
    for (int i = 0; i < 5; ++i) {
        CHECK_FALSE(readable(fd));
        CHECK(*client.dispatch(no_events()) == 0);
        REQUIRE(client.send(Tell{3}));
        CHECK(readable(service_fd, patience));
        service.settle();
        CHECK_FALSE(readable(service_fd));
        CHECK(readable(fd, patience));
        CHECK(*client.dispatch(no_events()) == 3);
        CHECK(*service.service.dispatch() == 0);
    }
    CHECK(service.service.fd() == service_fd);
    CHECK(client.fd() == fd);
}

TEMPLATE_LIST_TEST_CASE("a service that handles one request per turn is told of all of them, by any loop", "[loop]",
                        Transports) {
    std::uint64_t handled = 0;
    auto service = step<TestType>(routes(on<Note>([&](const Note&) { ++handled; })));
    auto client = service.connect();
    service.settle();
    const std::uint64_t count = times(10'000);
    const auto edge = GENERATE(0u, static_cast<std::uint32_t>(EPOLLET));
    Loop loop(service.service.fd(), edge);
    std::uint64_t sent = 0;
    while (handled < count) {
        while (sent < count && client.send(Note{sent})) ++sent;
        if (!loop.wait()) FAIL("after " << handled << " of " << sent << " the loop was told nothing");
        REQUIRE(*service.service.dispatch({1}) <= 1);
    }
    CHECK(handled == count);
}

TEMPLATE_LIST_TEST_CASE("a client that takes one event per turn is told of all of them, by any loop", "[loop]",
                        Transports) {
    auto service = run<TestType>(telling());
    auto client = connect<TestType>(service.name);
    const auto edge = GENERATE(0u, static_cast<std::uint32_t>(EPOLLET));
    Loop loop(client.fd(), edge);
    std::uint64_t events = 0;
    for (std::uint64_t round = 0; round < times(100); ++round) {
        REQUIRE(client.send(Tell{50}));
        for (std::uint64_t i = 0; i < 50;) {
            if (!loop.wait()) FAIL("after " << events << " events the loop was told nothing");
            const auto count = client.dispatch(no_events(), {1});
            REQUIRE(count);
            REQUIRE(*count <= 1);
            i += *count;
            events += *count;
        }
    }
    CHECK(client.statistics().events_missed == 0);
}

TEMPLATE_LIST_TEST_CASE("what a dispatch left behind stays announced, whatever the client does before the next",
                        "[loop]", Transports) {
    auto service = step<TestType>(telling());
    auto client = service.connect();
    const int fd = client.fd();
    REQUIRE(client.send(Tell{4}));
    service.settle();
    REQUIRE(readable(fd, patience));
    REQUIRE(*client.dispatch(no_events(), {1}) == 1);
    SECTION("nothing") {}
    SECTION("it starts a call with a function, whose deadline is far away") {
        REQUIRE(client.start(Double{1}, patience, [](Result<Number>) {}));
    }
    SECTION("it calls") {
        CHECK(service.while_turning([&] { return client.call(Double{1}, patience); }));
    }
    SECTION("a call that times out") { CHECK(why(client.call(Double{1}, shortly)) == errc::timed_out); }
    SECTION("it sends") { CHECK(client.send(Note{1})); }
    CHECK(readable(fd, patience));
    REQUIRE(*client.dispatch(no_events(), {1}) == 1);
    CHECK(readable(fd, patience));
}

TEMPLATE_LIST_TEST_CASE("an answer for a function wakes the loop, and so does its deadline", "[loop]", Transports) {
    auto service = step<TestType>(telling());
    auto client = service.connect();
    const int fd = client.fd();
    int ran = 0, late = 0;
    REQUIRE(client.start(Double{1}, patience, [&](Result<Number> answer) { ran += answer.has_value(); }));
    CHECK_FALSE(readable(fd));
    service.settle();
    CHECK(readable(fd, patience));
    (void)client.dispatch(no_events());
    CHECK(ran == 1);
    // Deadlines out of order; the loop is woken for each.
    for (const auto limit : {5 * shortly, 1 * shortly, 3 * shortly})
        REQUIRE(client.start(Double{1}, limit, [&](Result<Number> answer) { late += why(answer) == errc::timed_out; }));
    for (int turns = 0; late < 3 && turns < 100; ++turns) {
        REQUIRE(readable(fd, patience));
        (void)client.dispatch(no_events());
    }
    CHECK(late == 3);
    service.settle();  // the answers come after all
    while (readable(fd, 2 * shortly)) (void)client.dispatch(no_events());
    CHECK(ran == 1);
}

TEMPLATE_LIST_TEST_CASE("a budget bounds a turn of a service over all its sessions", "[loop]", Transports) {
    Log<std::uint64_t> order;
    auto service = step<TestType>(routes<std::uint64_t>(on<Note>([&](const Note& note) { order.add(note.number); })));
    auto a = service.connect(), b = service.connect();
    service.settle();
    for (int i = 0; i < 50; ++i) {
        REQUIRE(a.send(Note{1}));
        REQUIRE(b.send(Note{2}));
    }
    std::size_t total = 0;
    for (int turns = 0; total < 100 && turns < 1000; ++turns) {
        REQUIRE(readable(service.service.fd(), patience));
        const auto count = service.service.dispatch({7});
        REQUIRE(count);
        REQUIRE(*count <= 7);
        total += *count;
    }
    CHECK(total == 100);
    CHECK_FALSE(readable(service.service.fd()));
    // Neither waits for the other's last.
    const auto all = order.all();
    CHECK(std::count(all.begin(), all.begin() + 70, 1u) > 10);
    CHECK(std::count(all.begin(), all.begin() + 70, 2u) > 10);
}

TEMPLATE_LIST_TEST_CASE("dispatch inside a handler would recurse, and says so, on both sides", "[loop]", Transports) {
    std::error_code service_said, run_said;
    std::function<void()> inside;
    auto service = step<TestType>(routes(on<Double>([&](auto& session, const Double& m) {
        inside();
        (void)session.send(Tick{1});
        return Number{m.value};
    })));
    inside = [&] {
        service_said = why(service.service.dispatch());
        run_said = why(service.service.run());
    };
    auto client = service.connect();
    CHECK(service.while_turning([&] { return client.call(Double{1}, patience); }));
    CHECK(service_said == errc::would_recurse);
    CHECK(run_said == errc::would_recurse);
    int ran = 0;
    const auto ticks = routes(on<Tick>([&](const Tick&) {
        ++ran;
        CHECK(why(client.dispatch(no_events())) == errc::would_recurse);
        CHECK(why(client.receive(no_events(), patience)) == errc::would_recurse);
    }));
    CHECK(*client.receive(ticks, patience) == 1);
    CHECK(ran == 1);
}

TEMPLATE_LIST_TEST_CASE("a function for events may call, and events that come meanwhile are given afterwards", "[loop]",
                        Transports) {
    auto service = run<TestType>(telling());
    auto client = connect<TestType>(service.name);
    std::vector<std::uint64_t> got;
    int depth = 0;
    const auto ticks = routes(on<Tick>([&](const Tick& tick) {
        CHECK(++depth == 1);
        got.push_back(tick.number);
        if (tick.number < 20) CHECK(client.call(Double{tick.number + 1}, patience)->value == 2 * (tick.number + 1));
        --depth;
    }));
    REQUIRE(client.call(Double{1}, patience));
    const int fd = GENERATE(0, 1) == 0 ? -1 : client.fd();
    while (got.size() < 20) {
        if (fd >= 0) REQUIRE(readable(fd, patience));
        if (fd >= 0)
            REQUIRE(client.dispatch(ticks));
        else
            REQUIRE(client.receive(ticks, patience));
    }
    for (std::uint64_t i = 0; i < 20; ++i) CHECK(got[i] == i + 1);
}

TEMPLATE_LIST_TEST_CASE("run ends when its token is stopped, or by the stopper; and may begin again", "[loop]",
                        Transports) {
    auto service = step<TestType>(telling());
    auto client = service.connect();
    const auto stopper = service.service.stopper();
    for (int round = 0; round < 5; ++round) {
        std::jthread running([&](std::stop_token stop) { (void)service.service.run(stop); });
        CHECK(client.call(Double{1}, patience)->value == 2);
        if (round % 2 == 0) {
            running.request_stop();
        } else {
            stopper();
        }
        running.join();
    }
    stopper();  // kept for the next run
    CHECK(service.service.run());
    std::stop_source stopped;
    stopped.request_stop();
    CHECK(service.service.run(stopped.get_token()));
    auto pending = must(client.start(Double{4}));
    service.settle();
    CHECK(must(client.wait(pending, patience)).value == 8);
}

TEMPLATE_LIST_TEST_CASE("other threads post into the dispatch thread, in order, each once", "[loop]", Transports) {
    auto service = run<TestType>(telling());
    constexpr std::size_t threads = 4;
    const std::uint64_t posts = times(2'000);
    std::array<std::uint64_t, threads> next{};  // the dispatch thread's
    std::atomic<std::uint64_t> ran = 0, wrong = 0;
    {
        std::vector<std::jthread> posting;
        for (std::size_t t = 0; t < threads; ++t)
            posting.emplace_back([&, t] {
                for (std::uint64_t i = 0; i < posts; ++i)
                    if (!service.post([&, t, i](auto&) {
                            wrong += next[t]++ != i;
                            ++ran;
                        }))
                        ++wrong;
            });
    }
    REQUIRE(eventually([&] { return ran == threads * posts; }));
    CHECK(wrong == 0);
    // What throws costs nobody anything; what it posts itself runs too.
    REQUIRE(service.post([](auto&) { throw 1; }));
    CHECK(service.ask([&](auto& s) { return s.post([&](auto&) { ++ran; }).has_value(); }));
    REQUIRE(eventually([&] { return ran == threads * posts + 1; }));
}

TEMPLATE_LIST_TEST_CASE("what receive() leaves is announced: it may have come with what was taken", "[loop]",
                        Transports) {
    auto service = step<TestType>(telling());
    auto client = service.connect();
    const int fd = client.fd();
    REQUIRE(fd >= 0);
    constexpr std::uint64_t all = 128;  // on a socket one read brings them all
    std::uint64_t events = 0;
    const auto ticks = routes(on<Tick>([&](const Tick& tick) { events += tick.number == events; }));
    REQUIRE(client.send(Tell{all}));
    service.settle();
    REQUIRE(readable(fd, patience));
    for (std::uint64_t before = 0; events < all; before = events) {
        REQUIRE(client.receive(ticks, 0ms));
        REQUIRE(events > before);
        if (events < all) REQUIRE(readable(fd, patience));
    }
}

TEMPLATE_LIST_TEST_CASE("an answer that came with the one that was waited for is announced", "[loop]", Transports) {
    auto service = step<TestType>(telling());
    auto client = service.connect();
    const int fd = client.fd();
    REQUIRE(fd >= 0);
    int ran = 0;
    auto first = must(client.start(Double{1}));
    REQUIRE(client.start(Double{2}, patience, [&](Result<Number> answer) { ran += answer && answer->value == 4; }));
    service.settle();
    CHECK(must(client.wait(first, patience)).value == 2);
    for (int i = 0; i < 3 && ran == 0; ++i) {
        REQUIRE(readable(fd, patience));
        REQUIRE(client.dispatch(no_events()));
    }
    CHECK(ran == 1);
}
