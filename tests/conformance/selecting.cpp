// SPDX-License-Identifier: BSL-1.0
// Selectors at work in a service: composed, decorated, by reference, written by hand; policies of single routes.
#include <functional>
#include <utility>

#include "conformance/messages.hpp"
#include "conformance/running.hpp"
#include "conformance/transports.hpp"

namespace conformance {

/// The same ids under other service ids.
struct OtherDouble {
    static constexpr qbipc::ServiceId service = 2;
    static constexpr qbipc::MessageId id = 1;
    using Reply = Number;
    std::uint64_t value;
};
struct OtherTell {
    static constexpr qbipc::ServiceId service = 2;
    static constexpr qbipc::MessageId id = 7;
    std::uint64_t count;
};

/// Sees every request before the selector that it decorates.
template <class Next>
struct Counted : Next {
    Counted(Next next, std::atomic<int>& counter) : Next(std::move(next)), count(&counter) {}
    template <class Session, class Request>
    bool operator()(Session& session, Request& request) {
        ++*count;
        return Next::operator()(session, request);
    }
    std::atomic<int>* count;
};

}  // namespace conformance

namespace {

using namespace conformance;
using qbipc::Credentials;
using qbipc::first_of;
using qbipc::on;
using qbipc::on_accept;
using qbipc::on_connect;
using qbipc::on_disconnect;
using qbipc::otherwise;
using qbipc::routes;
using qbipc::side_by_side;

const auto nobody = [](const Credentials&) { return false; };

}  // namespace

TEMPLATE_LIST_TEST_CASE("first_of: a's routes, then b's; one private data, both's hooks", "[selector]", Transports) {
    Log<std::string> log;
    auto a = routes<std::uint64_t>(
        on<Double>([](auto& session, const Double& m) { return Number{*session += m.value}; }),
        on_connect([&](auto&) { log.add("a"); }), on_disconnect([&](auto&) { log.add("a gone"); }));
    auto b = routes<std::uint64_t>(on<Double>([](const Double&) { return Number{999}; }),
                                   on<Try>([](auto& session, const Try&) { return Number{*session}; }),
                                   on_connect([&](auto&) { log.add("b"); }),
                                   on_disconnect([&](auto&) { log.add("b gone"); }));
    auto service = run<TestType>(first_of(std::move(a), std::move(b)));
    {
        auto client = connect<TestType>(service.name);
        CHECK(client.call(Double{4}, patience)->value == 4);
        CHECK(client.call(Try{0}, patience)->value == 4);
        CHECK(why(client.call(Ping{}, patience)) == errc::no_such_message);
    }
    CHECK(log.wait_for(4) == std::vector<std::string>{"a", "b", "b gone", "a gone"});
}

TEMPLATE_LIST_TEST_CASE("side_by_side: picked by service id, each with private data and sessions of its own type",
                        "[selector]", Transports) {
    auto adds =
        routes<std::uint64_t>(on<Double>([](auto& session, const Double& m) { return Number{*session += m.value}; }));
    auto texts = routes<std::string>(on_accept([](const Credentials&) { return std::string("x"); }),
                                     on<OtherDouble>([](auto& session, const OtherDouble& m) {
                                         session->append(m.value, 'y');
                                         return Number{session->size()};
                                     }),
                                     on<OtherTell>([](auto& session, const OtherTell&) {
                                         for (auto& other : session.sessions()) (void)other.send(Tick{other->size()});
                                     }));
    auto service = run<TestType>(side_by_side(std::move(adds), std::move(texts)));
    auto a = connect<TestType>(service.name), b = connect<TestType>(service.name);
    CHECK(a.call(Double{5}, patience)->value == 5);
    CHECK(a.call(OtherDouble{3}, patience)->value == 4);
    CHECK(a.call(Double{5}, patience)->value == 10);
    CHECK(b.call(OtherDouble{1}, patience)->value == 2);
    CHECK(why(a.call(Ping{}, patience)) == errc::no_such_message);
    REQUIRE(b.send(OtherTell{1}));
    std::uint64_t got = 0;
    const auto ticks = routes(on<Tick>([&](const Tick& tick) { got = tick.number; }));
    REQUIRE(a.receive(ticks, patience));
    CHECK(got == 4);
    REQUIRE(b.receive(ticks, patience));
    CHECK(got == 2);
}

TEMPLATE_LIST_TEST_CASE("a decorator that inherits keeps hooks and private data", "[selector]", Transports) {
    std::atomic<int> count = 0, connected = 0;
    auto inner =
        routes<std::uint64_t>(on_connect([&](auto& session) {
                                  *session = 40;
                                  ++connected;
                              }),
                              on<Double>([](auto& session, const Double& m) { return Number{*session += m.value}; }));
    auto service = run<TestType>(Counted<decltype(inner)>(std::move(inner), count));
    auto client = connect<TestType>(service.name);
    CHECK(client.call(Double{2}, patience)->value == 42);
    CHECK(why(client.call(Ping{}, patience)) == errc::no_such_message);
    CHECK(count == 2);
    CHECK(connected == 1);
}

TEMPLATE_LIST_TEST_CASE("a selector is shared by reference, between services too", "[selector]", Transports) {
    std::uint64_t calls = 0;
    auto shared = routes<int>(on<Double>([&](const Double&) { return Number{++calls}; }));
    auto first = step<TestType>(std::ref(shared));
    auto second = step<TestType>(std::ref(shared));
    auto a = first.connect();
    auto b = second.connect();
    CHECK(first.while_turning([&] { return a.call(Double{1}, patience); })->value == 1);
    CHECK(second.while_turning([&] { return b.call(Double{1}, patience); })->value == 2);
}

TEMPLATE_LIST_TEST_CASE("otherwise gets what no route took, and may answer, refuse or ignore it", "[selector]",
                        Transports) {
    auto service = run<TestType>(
        routes(on<Double>([](const Double& m) { return Number{m.value}; }), otherwise([](auto&, auto& request) {
                   if (request.message() == Try::id) {
                       (void)request.reply(Number{request.size()});
                       return true;
                   }
                   if (request.message() == Later::id) {
                       request.fail(Trouble::broken);
                       return true;
                   }
                   return false;
               })));
    auto client = connect<TestType>(service.name);
    CHECK(client.call(Double{3}, patience)->value == 3);
    CHECK(client.call(Try{3}, patience)->value == 8);
    CHECK(why(client.call(Later{3}, patience)).value() == static_cast<int>(Trouble::broken));
    CHECK(why(client.call(Ping{}, patience)) == errc::no_such_message);
}

TEMPLATE_LIST_TEST_CASE("a selector written by hand sees every request, its ids and its bytes", "[selector]",
                        Transports) {
    std::atomic<int> calls = 0, one_way = 0;
    auto service = run<TestType>([&](auto&, auto& request) {
        request.is_call() ? ++calls : ++one_way;
        if (request.message() != Double::id || request.size() != sizeof(Double) ||
            request.credentials().uid != ::geteuid())
            return false;
        const auto message = request.payload().template fixed<Double>();
        auto answer = request.template defer<Number>();
        (void)answer.send(Number{message.value + request.service().value});
        (void)request.reply(Number{0});  // it was answered: nothing happens
        return true;
    });
    auto client = connect<TestType>(service.name);
    CHECK(client.call(Double{3}, patience)->value == 3);
    CHECK(client.call(OtherDouble{3}, patience)->value == 5);
    CHECK(client.send(Note{1}));
    CHECK(why(client.call(Ping{}, patience)) == errc::no_such_message);
    CHECK(calls == 3);
    CHECK(one_way == 1);
}

TEMPLATE_LIST_TEST_CASE("a route has a policy of its own; its refusal goes to the caller", "[selector][auth]",
                        Transports) {
    std::atomic<int> ran = 0;
    auto service = run<TestType>(
        routes(on<Double>([&](const Double& m) {
                   ++ran;
                   return Number{m.value};
               }).only(nobody),
               on<Try>([](const Try& m) { return Number{m.value}; }).only(qbipc::same_user || qbipc::uids<0>),
               on<Later>([](const Later& m, qbipc::Answer<Number> answer) {
                   (void)answer.send(Number{m.value});
               }).only([](const Credentials&) -> std::error_code { return Trouble::lost; }),
               on<Note>([&](const Note&) { ++ran; }).only(qbipc::same_user).only(nobody)),
        qbipc::anyone);
    auto client = connect<TestType>(service.name);
    CHECK(why(client.call(Double{1}, patience)) == errc::not_permitted);
    CHECK(client.call(Try{1}, patience)->value == 1);
    CHECK(why(client.call(Later{1}, patience)) == std::error_code(1, qbipc::application_category()));
    CHECK(client.send(Note{1}));
    CHECK(client.call(Try{2}, patience)->value == 2);
    CHECK(ran == 0);
    CHECK(service.statistics().one_way_failures == 1);
}

TEMPLATE_LIST_TEST_CASE("one handler takes several messages, and the handlers of a service share state", "[selector]",
                        Transports) {
    struct Both {
        std::uint64_t sum = 0;
        Number operator()(const Double& m) { return {sum += m.value}; }
        Number operator()(const Try& m) { return {sum += 10 * m.value}; }
    };
    auto service = run<TestType>(routes(on<Double, Try>(Both{}), on<Ping>([](const Ping&) { return Done{}; })));
    auto client = connect<TestType>(service.name);
    CHECK(client.call(Double{1}, patience)->value == 1);
    CHECK(client.call(Try{1}, patience)->value == 11);
    CHECK(client.call(Double{1}, patience)->value == 12);
}
