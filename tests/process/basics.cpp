// SPDX-License-Identifier: BSL-1.0
// A service and its clients in processes of their own: all that works when nothing goes wrong.
#include <future>

#include "process/peers.hpp"

using namespace qbipc;
using namespace qbipc::testing;

TEMPLATE_LIST_TEST_CASE("a client calls, sends, and receives events across processes", "[process][libqb]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    auto client = Client<TestType>::connect(service.name, patience);
    REQUIRE(client);

    auto sum = client->call(Add{1, 2}, patience);
    REQUIRE(sum);
    CHECK(sum->value == 3);
    CHECK(client->call(Add{4, 0}, patience)->value == 7);  // the private data is kept
    CHECK(client->send(Clear{}));
    CHECK(client->call(Add{5, 0}, patience)->value == 5);

    CHECK(error_of(client->call(Unheard{}, patience)) == errc::no_such_message);
    CHECK(error_of(client->call(Throw{}, patience)) == errc::handler_failed);
    const std::array<char, 3> odd{};
    CHECK(error_of(client->call(bytes(0, Add::id, odd), patience)) == errc::wrong_size);

    // Several calls outstanding, answers taken in any order.
    auto first = client->start(Add{1, 0}), second = client->start(Add{1, 0});
    REQUIRE(first);
    REQUIRE(second);
    CHECK(client->wait(*second, patience)->value == 7);
    CHECK(client->wait(*first, patience)->value == 6);

    const auto who = client->call(Who{}, patience);
    REQUIRE(who);
    CHECK(who->pid == ::getpid());
    CHECK(who->uid == ::geteuid());
    CHECK(who->gid == ::getegid());
    CHECK(who->sessions == 1);

    Events events;
    REQUIRE(client->send(Wish{5, 10, 0, 1}));
    CHECK_FALSE(events.take(*client, 5));
    CHECK(events.hellos == 3);
    CHECK(events.wrong == 0);
    CHECK(client->alive());

    client->disconnect();
    CHECK_FALSE(client->alive());
    CHECK(error_of(client->call(Add{}, patience)) == errc::disconnected);
    CHECK(service.comes_to("bye", 1));
    CHECK(service.stop());
}

TEMPLATE_LIST_TEST_CASE("each side knows who the other is [getauth]", "[process][libqb]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    auto client = Client<TestType>::connect(service.name, patience);
    REQUIRE(client);
    CHECK(client->service_credentials().pid == service.pid());
    CHECK(client->service_credentials().uid == ::geteuid());
    CHECK(client->service_credentials().gid == ::getegid());
}

TEMPLATE_LIST_TEST_CASE("a service may also be polled in a loop of the program's own", "[process]", Transports) {
    ServicePeer<TestType> service({"poll"});
    REQUIRE(service.ready());
    auto client = Client<TestType>::connect(service.name, patience);
    REQUIRE(client);
    for (int i = 1; i <= 1000; ++i) REQUIRE(client->call(Add{1, 0}, patience)->value == i);
    Events events;
    REQUIRE(client->send(Wish{1000, 50, 0, 1}));
    CHECK_FALSE(events.take(*client, 1000));
    CHECK(events.wrong == 0);
}

TEMPLATE_LIST_TEST_CASE("echoes of doubling sizes come back as they were sent, with a deadline and without [txrx]",
                        "[process][libqb]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    auto client = Client<TestType>::connect(service.name, patience);
    REQUIRE(client);
    const bool forever_too = GENERATE(false, true);
    for (std::size_t size = 0; size <= std::size_t{1} << 20; size = size == 0 ? 1 : 2 * size) {
        for (const std::size_t off : {std::size_t{0}, std::size_t{1}}) {
            if (size < off) continue;
            const auto text = patterned(size, size - off);
            const auto back = forever_too ? client->call(with_tail(Echo{}, text), forever)
                                          : client->call(with_tail(Echo{}, text), patience);
            REQUIRE(back);
            REQUIRE(std::string_view(back->tail()) == text);
        }
    }
    CHECK(service.stop());
}

TEMPLATE_LIST_TEST_CASE("the largest message and one byte less pass, one byte more is refused with nothing sent",
                        "[process][libqb]", Transports) {
    // Below, at and above a frame, a window and a lane; the last is the default.
    const std::size_t most = GENERATE(as<std::size_t>{}, 1000, 65'536, 300'000, 1'048'576, 6'000'000);
    ServicePeer<TestType> service({"max_message=" + std::to_string(most)});
    REQUIRE(service.ready());
    Options options;
    options.max_message = std::size_t{8} << 20;
    auto client = Client<TestType>::connect(service.name, patience, {}, options);
    REQUIRE(client);
    REQUIRE(client->max_message() == most);
    for (const std::size_t size : {most - 1, most}) {
        const auto text = patterned(size, size);
        const auto back = client->call(with_tail(Echo{}, text), patience);
        REQUIRE(back);
        CHECK(std::string_view(back->tail()) == text);
    }
    CHECK(error_of(client->call(with_tail(Echo{}, patterned(1, most + 1)), patience)) == errc::message_too_large);
    CHECK(error_of(client->call(with_tail(Echo{}, patterned(1, 2 * most)), patience)) == errc::message_too_large);
    CHECK(service.status()["requests"] == 2);
    CHECK(client->call(Add{1, 0}, patience)->value == 1);

    // Events know the same limit.
    Events events;
    const auto largest = static_cast<std::uint32_t>(most - sizeof(Tick));
    REQUIRE(client->send(Wish{1, largest, 0, 1}));
    CHECK_FALSE(events.take(*client, 1));
    CHECK(events.largest == largest);
    REQUIRE(client->send(Wish{1, largest + 1, 0, 0}));
    CHECK(service.comes_to("refused_events", 1));
    CHECK(events.wrong == 0);
}

TEMPLATE_LIST_TEST_CASE(
    "a service may enforce a larger message than the client asked for [stress, enforce_buffer_size]",
    "[process][libqb]", Transports) {
    ServicePeer<TestType> service({"min_message=400000"});
    REQUIRE(service.ready());
    Options options;
    options.max_message = 10'000;
    auto client = Client<TestType>::connect(service.name, patience, {}, options);
    REQUIRE(client);
    CHECK(client->max_message() == 400'000);
    CHECK(client->call(with_tail(Echo{}, patterned(1, 300'000)), patience));
}

TEMPLATE_LIST_TEST_CASE("30,000 events, each 1000th of full size, come whole and in order [stress]", "[process][libqb]",
                        Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    auto client = Client<TestType>::connect(service.name, patience);
    REQUIRE(client);
    const auto full = static_cast<std::uint32_t>(client->max_message() - sizeof(Tick));
    REQUIRE(client->send(Wish{30'000, full, 1000, 1}));
    Events events;
    CHECK_FALSE(events.take(*client, 30'000));
    CHECK(events.ticks == 30'000);
    CHECK(events.wrong == 0);
    CHECK(events.largest == full);
    CHECK(client->call(with_tail(Echo{}, patterned(1, full)), patience));
}

TEMPLATE_LIST_TEST_CASE(
    "10,000 events come in order, before and after an answer, by a poll of the one descriptor [bulk events]",
    "[process][libqb]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    auto client = Client<TestType>::connect(service.name, patience);
    REQUIRE(client);
    Events events;
    const auto take_by_poll = [&](std::uint64_t count) {
        while (events.ticks < count) {
            pollfd one{client->fd(), POLLIN, 0};
            if (::poll(&one, 1, 60'000) <= 0) return false;
            if (!client->dispatch(events.selector())) return false;
        }
        return true;
    };
    REQUIRE(client->send(Wish{5'000, 40, 0, 1}));
    REQUIRE(client->call(Add{1, 0}, patience));
    REQUIRE(client->send(Wish{0, 0, 0, 1}));  // doesn't take back what was wished for
    CHECK(take_by_poll(1));
    CHECK(take_by_poll(5'000));
    REQUIRE(client->send(Wish{5'000, 40, 0, 1}));
    CHECK(take_by_poll(10'000));
    CHECK(events.wrong == 0);
}

TEMPLATE_LIST_TEST_CASE("a request is answered by an event [dispatch]", "[process][libqb]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    auto client = Client<TestType>::connect(service.name, patience);
    REQUIRE(client);
    Events events;
    for (std::uint32_t size = 32; size <= 131'072; size *= 2) {
        const auto before = events.ticks;
        REQUIRE(client->send(Wish{1, size, 0, 1}));
        REQUIRE_FALSE(events.take(*client, before + 1));
        REQUIRE(events.largest == size);
    }
    CHECK(events.wrong == 0);
}

TEMPLATE_LIST_TEST_CASE("a call that is answered by an event alone times out, and the connection stays good [timeout]",
                        "[process][libqb]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    auto client = Client<TestType>::connect(service.name, patience);
    REQUIRE(client);
    CHECK(error_of(client->call(AnswerByEvents{1}, 50ms)) == errc::timed_out);
    CHECK(client->call(Add{1, 0}, patience)->value == 1);
    Events events;
    CHECK_FALSE(events.take(*client, 1));
    // libqb would give the first call's answer to the next one here: it comes now, for the service drops it.
    CHECK(service.status()["waiting"] == 1);
    CHECK(client->call(Add{1, 0}, patience)->value == 2);
    CHECK(service.stop());
}

TEMPLATE_LIST_TEST_CASE("events that on_connect sends reach the client [event on created]", "[process][libqb]",
                        Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    auto client = Client<TestType>::connect(service.name, patience);
    REQUIRE(client);
    Events events;
    while (events.hellos < 3) REQUIRE(client->receive(events.selector(), patience));
    CHECK(events.wrong == 0);
}

TEMPLATE_LIST_TEST_CASE(
    "a service that disconnects a session in a handler ends that one only [disconnect after created]",
    "[process][libqb]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    auto client = Client<TestType>::connect(service.name, patience),
         other = Client<TestType>::connect(service.name, patience);
    REQUIRE(client);
    REQUIRE(other);
    REQUIRE(client->send(Leave{}));
    Events events;
    std::error_code error;
    while (!error) error = error_of(client->receive(events.selector(), patience));
    CHECK(error == errc::disconnected);
    CHECK(events.hellos == 3);
    CHECK(error_of(client->call(Add{}, patience)) == errc::disconnected);
    CHECK_FALSE(client->alive());
    CHECK(other->call(Add{1, 0}, patience)->value == 1);
    const auto status = service.status();
    CHECK(status.at("disconnected") == 1);
    CHECK(status.at("disconnects") == 1);
}

TEMPLATE_LIST_TEST_CASE("a client that disconnects right after it connected leaves the service as it was",
                        "[process][libqb]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    const auto before = service.status();
    for (int i = 0; i < 200; ++i) {
        auto client = Client<TestType>::connect(service.name, patience);
        REQUIRE(client);
        if (i % 2 == 0) client->disconnect();
    }
    CHECK(service.comes_to("disconnects", 200));
    const auto after = service.status();
    CHECK(after.at("connects") == 200);
    CHECK(after.at("bye") == 200);
    CHECK(after.at("fds") == before.at("fds"));
    CHECK(after.at("maps") == 0);
}

TEMPLATE_LIST_TEST_CASE("what was sent before a disconnect arrives", "[process]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    for (std::uint64_t round = 1; round <= 50; ++round) {
        auto client = Client<TestType>::connect(service.name, patience);
        REQUIRE(client);
        for (std::uint64_t i = 1; i <= 20; ++i)
            REQUIRE(client->send(with_tail(Jot{round, i}, patterned(round + i, 10 * i)), patience));
        if (round % 2 == 0) client->disconnect();
    }
    CHECK(service.comes_to("jots", 50 * 20));
    const auto status = service.status();
    CHECK(status.at("gaps") == 0);
    CHECK(status.at("torn") == 0);
}

TEMPLATE_LIST_TEST_CASE(
    "10,000 connections in a row leak neither a descriptor nor a mapping, on either side [4,999 connections]",
    "[process][libqb]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    const auto connect_once = [&] {
        auto client = Client<TestType>::connect(service.name, patience);
        return client && client->call(Add{1, 0}, patience);
    };
    REQUIRE(connect_once());
    REQUIRE(service.comes_to("sessions", 0));
    const auto before = service.status();
    const int descriptors = open_descriptors();
    for (int i = 0; i < 9'999; ++i) REQUIRE(connect_once());
    CHECK(open_descriptors() == descriptors);
    CHECK(session_mappings() == 0);
    REQUIRE(service.comes_to("disconnects", 10'000));
    const auto after = service.status();
    CHECK(after.at("fds") == before.at("fds"));
    CHECK(after.at("maps") == 0);
    CHECK(after.at("half_open") == 0);
    CHECK(service.stop());
}

TEMPLATE_LIST_TEST_CASE("a client's halves work in two threads, with the service in another process", "[process]",
                        Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    auto client = Client<TestType>::connect(service.name, patience);
    REQUIRE(client);
    constexpr int calls = 5'000;
    std::atomic<int> answered = 0, wrong = 0;
    Events events;
    {
        auto [sender, receiver] = std::move(*client).split();
        std::jthread sending([half = std::move(sender), &answered, &wrong]() mutable {
            if (!half.send(Wish{2'000, 30, 0, 1}, patience)) ++wrong;
            for (int i = 1; i <= calls; ++i) {
                const auto started = half.start(Add{1, 0}, patience, [i, &answered, &wrong](Result<Sum> sum) {
                    ++answered;
                    if (!sum || sum->value != i) ++wrong;
                });
                // All of its slots are taken: the other thread frees some.
                if (!started && started.error() == errc::lane_full) {
                    --i;
                    std::this_thread::yield();
                } else if (!started) {
                    ++wrong;
                    break;
                }
            }
            // The half outlives the answers: its end is the connection's.
            while (answered < calls && wrong == 0) std::this_thread::sleep_for(1ms);
        });
        std::error_code error;
        while (!error && (answered < calls || events.ticks < 2'000)) {
            const auto got = receiver.receive(events.selector(), 10ms);
            if (!got && got.error() != errc::timed_out) error = got.error();
        }
        CHECK_FALSE(error == errc::protocol_violation);
    }
    CHECK(answered == calls);
    CHECK(wrong == 0);
    CHECK(events.ticks == 2'000);
    CHECK(events.wrong == 0);
    CHECK(service.comes_to("bye", 1));
}

TEMPLATE_LIST_TEST_CASE("a session's data can be held on to past its connection and its service [ref count]",
                        "[process][libqb]", Transports) {
    std::optional<SessionRef<TestType, Sum>> kept;
    const auto name = unique_name();
    auto service = listen<TestType>(
        name, routes<Sum>(on_connect([&kept](auto& session) {
                              session->value = 17;
                              kept.emplace(session.ref());
                          }),
                          on<Add>([](auto& session, const Add& add) { return Sum{session->value += add.a}; })));
    REQUIRE(service);
    const auto serve_until = [&](auto&& done) { return eventually([&] { return service->dispatch() && done(); }); };
    Peer<TestType> client("client", name);
    REQUIRE(serve_until([&] { return kept.has_value(); }));
    CHECK(client.line() == "connected");
    client.tell("add");
    REQUIRE(serve_until([&] { return (*kept)->value == 18; }));
    CHECK(kept->connected());
    CHECK(kept->send(qbipc::testing::Hello{1}));
    CHECK(was_killed(client.kill()));
    REQUIRE(serve_until([&] { return !kept->connected(); }));
    for (int i = 0; i < 4; ++i) CHECK(error_of(kept->send(qbipc::testing::Hello{1})) == errc::disconnected);
    kept->disconnect();

    kept.reset();
    Peer<TestType> another("client", name);
    REQUIRE(serve_until([&] { return kept.has_value(); }));
    { const auto gone = std::move(*service); }
    CHECK_FALSE(kept->connected());
    for (int i = 0; i < 4; ++i) CHECK(error_of(kept->send(qbipc::testing::Hello{1})) == errc::disconnected);
    CHECK((*kept)->value == 17);
    kept.reset();
}

TEMPLATE_LIST_TEST_CASE("after a restart of the service, clients are told and connect again", "[process]", Transports) {
    const auto name = unique_name();
    for (int round = 0; round < 3; ++round) {
        ServicePeer<TestType> service({}, name);
        REQUIRE(service.ready());
        auto client = Client<TestType>::connect(name, patience);
        REQUIRE(client);
        REQUIRE(client->call(Add{1, 0}, patience)->value == 1);
        REQUIRE(service.stop());
        CHECK(error_of(client->call(Add{1, 0}, patience)) == errc::disconnected);
        Events events;
        std::error_code error;
        while (!error) error = error_of(client->receive(events.selector(), patience));
        CHECK(error == errc::disconnected);
        CHECK(events.hellos == 3);  // what it had sent is still given
        CHECK(error_of(Client<TestType>::connect(name, patience)) == errc::no_service);
    }
}

TEMPLATE_LIST_TEST_CASE("a client that waits for its service gets it once it is there", "[process]", Transports) {
    const auto name = unique_name();
    CHECK(error_of(Client<TestType>::connect(name, patience)) == errc::no_service);
    Options options;
    options.wait_for_service = true;
    CHECK(error_of(Client<TestType>::connect(name, 100ms, {}, options)) == errc::no_service);
    auto waiting =
        std::async(std::launch::async, [&] { return Client<TestType>::connect(name, patience, {}, options); });
    ServicePeer<TestType> service({}, name);
    auto client = waiting.get();
    REQUIRE(client);
    CHECK(client->call(Add{1, 0}, patience));
}

TEST_CASE("many small calls leave a session's memory small", "[process]") {
    ServicePeer<ShmRing> service;
    REQUIRE(service.ready());
    auto client = Client<ShmRing>::connect(service.name, patience);
    REQUIRE(client);
    // One lap of a lane is 65,536 frames of this size: without going back early all of it would have been touched.
    for (int i = 1; i <= 200'000; ++i) REQUIRE(client->call(Add{1, 0}, patience));
    const auto bytes = service.status()["memory"];
    if (bytes < 0) {
        WARN("not tested: only root may look at the memory behind a mapping");
        return;
    }
    INFO(bytes);
    CHECK(bytes > 0);
    // Of 8 MiB two windows of 64 KiB at best. A lane goes on by some where its reader is kept from the processor just
    // before it has taken the last frame of one; how often that is, is the scheduler's.
    CHECK(bytes <= 2 << 20);
}

TEMPLATE_LIST_TEST_CASE("services in several threads share one address", "[process]", Transports) {
    const auto name = unique_name();
    std::atomic<int> stuck = 0;
    std::atomic<bool> go_on = false;
    const auto selector = [&] {
        return routes(on<Add>([](const Add& add) { return Sum{add.a + add.b}; }), on<Clear>([&](const Clear&) {
                          ++stuck;
                          go_on.wait(false);
                      }));
    };
    auto first = listen<TestType>(name, selector());
    REQUIRE(first);
    const auto again = first->share();
    REQUIRE(again);
    auto second = listen<TestType>(*again, selector());
    REQUIRE(second);
    CHECK(error_of(listen<TestType>(name, selector())) == errc::address_in_use);
    {
        std::jthread one([&](std::stop_token stop) { (void)first->run(stop); });
        std::jthread two([&](std::stop_token stop) { (void)second->run(stop); });
        std::vector<Client<TestType>> clients;
        for (int i = 0; i < 20; ++i) {
            auto client = Client<TestType>::connect(name, patience);
            REQUIRE(client);
            REQUIRE(client->call(Add{1, 2}, patience));
            clients.push_back(std::move(*client));
        }
        // One of the threads is stuck in a handler: whoever comes now comes to the other.
        REQUIRE(clients[0].send(Clear{}));
        REQUIRE(eventually([&] { return stuck == 1; }));
        for (int i = 0; i < 20; ++i) {
            auto client = Client<TestType>::connect(name, patience);
            REQUIRE(client);
            CHECK(client->call(Add{1, 2}, patience));
        }
        go_on = true;
        go_on.notify_all();
        for (auto& client : clients) CHECK(client.call(Add{1, 2}, patience));
    }
    CHECK(first->statistics().accepted + second->statistics().accepted == 40);
}
