// SPDX-License-Identifier: BSL-1.0
#include <string>
#include <utility>

#include <qbipc/selector/first_of.hpp>
#include <qbipc/selector/routes.hpp>
#include <qbipc/selector/side_by_side.hpp>

#include "support/catch.hpp"
#include "support/selecting.hpp"

using qbipc::errc;
using qbipc::on;
using qbipc::routes;
using selecting::Request;
using selecting::Session;

namespace {

struct Value {
    int value;
};
struct Get {
    static constexpr qbipc::ServiceId service = 1;
    static constexpr qbipc::MessageId id = 1;
    using Reply = Value;
};
struct Put {
    static constexpr qbipc::ServiceId service = 1;
    static constexpr qbipc::MessageId id = 2;
    int value;
};
struct Vote {
    static constexpr qbipc::ServiceId service = 2;
    static constexpr qbipc::MessageId id = 1;
    using Reply = Value;
};
struct Elsewhere {
    static constexpr qbipc::ServiceId service = 77;
    static constexpr qbipc::MessageId id = 1;
    using Reply = Value;
};
struct Changed {
    static constexpr qbipc::ServiceId service = 1;
    static constexpr qbipc::EventId id = 1;
};
struct Elected {
    static constexpr qbipc::ServiceId service = 2;
    static constexpr qbipc::EventId id = 1;
};

struct Log {
    int value = 0;
    std::string text{};
};
struct Voter {
    explicit Voter(int v) : votes(v) {}
    int votes;
    std::string text{};
};

auto note(const char* text) {
    return [text](auto& session) { session->text += text; };
}

/// A selector by hand, without any member but its call.
struct Ping {
    bool operator()(auto&, auto& request) {
        if (request.message() != qbipc::MessageId(99)) return false;
        return request.reply(qbipc::bytes(0, qbipc::MessageId(99), request.copy())), true;
    }
};

template <class Next>
struct Counted : Next {
    explicit Counted(Next next) : Next(std::move(next)) {}
    bool operator()(auto& session, auto& request) {
        ++count;
        return Next::operator()(session, request);
    }
    int count = 0;
};

template <class S, class M>
int answer_of(S& selector, auto& session, const M& message) {
    Request request(message);
    if (!selector(session, request)) return -1;
    return request.answer<Value>() ? request.answer<Value>()->value : -2;
}

}  // namespace

TEST_CASE("first_of asks in order until one took it", "[selector]") {
    auto selector = qbipc::first_of(
        Ping{}, routes<Log>(on<Get>([](auto& s, const Get&) { return Value{s->value}; })),
        routes<Log>(on<Get>([](const Get&) { return Value{-9}; }), on<Vote>([](const Vote&) { return Value{2}; })));
    static_assert(std::is_same_v<qbipc::private_data_t<decltype(selector)>, Log>);
    Log log{7};
    Session session(log);
    const std::byte text[] = {std::byte{1}, std::byte{2}};
    Request ping(qbipc::bytes(0, qbipc::MessageId(99), text));
    CHECK(selector(session, ping));
    CHECK(ping.port.reply == std::vector<std::byte>(std::begin(text), std::end(text)));
    CHECK(answer_of(selector, session, Get{}) == 7);
    CHECK(answer_of(selector, session, Vote{}) == 2);
    CHECK(answer_of(selector, session, Elsewhere{}) == -1);
}

TEST_CASE("first_of runs both's hooks, at the end in reverse", "[selector]") {
    auto selector = qbipc::first_of(routes<Log>(qbipc::on_connect(note("a")), qbipc::on_disconnect(note("1"))),
                                    routes<Log>(qbipc::on_connect(note("b")), qbipc::on_disconnect(note("2"))));
    Log log;
    Session session(log);
    selector.connected(session);
    selector.disconnected(session);
    CHECK(log.text == "ab21");
}

TEST_CASE("in first_of either may refuse, and the one with private data makes it", "[selector]") {
    const auto refuse = [](errc why) {
        return qbipc::on_accept([why](const qbipc::Credentials& who) -> qbipc::Result<void> {
            if (who.uid == 5) return qbipc::fail(make_error_code(why));
            return {};
        });
    };
    const auto make = [] {
        return qbipc::on_accept([](const qbipc::Credentials& who) { return Voter(int(who.uid)); });
    };
    auto after = qbipc::first_of(routes<Voter>(make()), routes(refuse(errc::busy)));
    auto before = qbipc::first_of(routes(refuse(errc::busy)), routes<Voter>(make()));
    CHECK(qbipc::detail::accept(after, {1, 4, 4, {}})->votes == 4);
    CHECK(qbipc::detail::accept(before, {1, 4, 4, {}})->votes == 4);
    CHECK(qbipc::detail::accept(after, {1, 5, 4, {}}).error() == errc::busy);
    CHECK(qbipc::detail::accept(before, {1, 5, 4, {}}).error() == errc::busy);
    auto second_makes =
        qbipc::first_of(routes<Log>(), routes<Log>(qbipc::on_accept([](const qbipc::Credentials&) { return Log{3}; })));
    CHECK(qbipc::detail::accept(second_makes, {})->value == 3);
    static_assert(!qbipc::detail::Accepts<decltype(qbipc::first_of(Ping{}, routes<Log>()))>);
}

TEST_CASE("a decorator that inherits keeps data, hooks and checks", "[selector]") {
    auto inner =
        routes<Voter>(qbipc::on_accept([](const qbipc::Credentials&) { return Voter(1); }),
                      qbipc::on_connect(note("c")), on<Vote>([](auto& s, const Vote&) { return Value{s->votes}; }));
    Counted counted(std::move(inner));
    static_assert(std::is_same_v<qbipc::private_data_t<decltype(counted)>, Voter>);
    Voter voter = *qbipc::detail::accept(counted, {});
    Session session(voter);
    counted.connected(session);
    CHECK(voter.text == "c");
    CHECK(answer_of(counted, session, Vote{}) == 1);
    CHECK(counted.count == 1);

    auto shared = qbipc::first_of(std::ref(counted), Ping{});  // the very object
    static_assert(std::is_same_v<qbipc::private_data_t<decltype(shared)>, Voter>);
    shared.connected(session);
    CHECK(answer_of(shared, session, Vote{}) == 1);
    CHECK(counted.count == 2);
    CHECK(voter.text == "cc");
}

TEST_CASE("selectors side by side are picked by service id and see their own data", "[selector]") {
    auto selector = qbipc::side_by_side(
        routes<Log>(on<Get>([](auto& s, const Get&) { return Value{s->value}; }),
                    on<Put>([](auto& s, const Put& p) { s->value = p.value; }), qbipc::on_connect(note("a")),
                    qbipc::on_disconnect([](auto& s) { s->text += "1"; })),
        routes<Voter>(qbipc::on_accept([](const qbipc::Credentials& who) -> qbipc::Result<Voter> {
                          if (who.pid <= 0) return qbipc::fail(make_error_code(std::errc::permission_denied));
                          return Voter(who.uid == 0 ? 2 : 1);
                      }),
                      on<Vote>([](auto& s, const Vote&) { return Value{s->votes}; }), qbipc::on_connect(note("b"))),
        Ping{});
    using Data = qbipc::private_data_t<decltype(selector)>;
    static_assert(std::is_same_v<Data, std::tuple<Log, Voter, qbipc::NoData>>);
    CHECK(qbipc::detail::accept(selector, {0, 0, 0, {}}).error() == std::errc::permission_denied);
    auto data = qbipc::detail::accept(selector, {1, 0, 0, {}});
    REQUIRE(data);
    Session session(*data);
    selector.connected(session);
    CHECK(answer_of(selector, session, Vote{}) == 2);
    CHECK(answer_of(selector, session, Put{5}) == -2);  // one-way: taken, not answered
    CHECK(answer_of(selector, session, Get{}) == 5);
    CHECK(answer_of(selector, session, Elsewhere{}) == -1);
    Request unknown(qbipc::bytes(1, qbipc::MessageId(3))), ping(qbipc::bytes(9, qbipc::MessageId(99)));
    CHECK_FALSE(selector(session, unknown));
    CHECK(selector(session, ping));  // names no service: asked about those that nobody names
    selector.disconnected(session);
    CHECK(std::get<0>(*data).text == "a1");
    CHECK(std::get<1>(*data).text == "b");
}

TEST_CASE("a message of a named service is not offered to other selectors", "[selector]") {
    auto selector = qbipc::side_by_side(routes(on<Get>([](const Get&) { return Value{1}; })), Ping{});
    std::tuple<qbipc::NoData, qbipc::NoData> data;
    Session session(data);
    Request ping(qbipc::bytes(1, qbipc::MessageId(99)));
    CHECK_FALSE(selector(session, ping));
}

TEST_CASE("a refusal stops the selectors that come after it", "[selector]") {
    int asked = 0;
    const auto accept = [&](int limit) {
        return qbipc::on_accept([&asked, limit](const qbipc::Credentials&) -> qbipc::Result<void> {
            if (++asked >= limit) return qbipc::fail(make_error_code(errc::busy));
            return {};
        });
    };
    auto selector = qbipc::side_by_side(routes(accept(9)), routes(accept(2)), routes(accept(9)));
    CHECK(qbipc::detail::accept(selector, {}).error() == errc::busy);
    CHECK(asked == 2);
}

TEST_CASE("event routes stand side by side for a client", "[selector]") {
    int changed = 0, elected = 0;
    auto selector = qbipc::side_by_side(routes(on<Changed>([&](const Changed&) { ++changed; })),
                                        routes(on<Elected>([&](selecting::Client&, const Elected&) { ++elected; })));
    selecting::Client client;
    selecting::Event one(Changed{}), two(Elected{});
    CHECK((selector(client, one) && selector(client, two) && selector(client, two)));
    CHECK(changed == 1);
    CHECK(elected == 2);
}

TEST_CASE("selectors side by side hear of the end in reverse", "[selector]") {
    std::string order;
    const auto tell = [&](char c) { return [&order, c](auto&) { order += c; }; };
    auto selector = qbipc::side_by_side(routes(qbipc::on_connect(tell('a')), qbipc::on_disconnect(tell('1'))),
                                        routes(qbipc::on_connect(tell('b')), qbipc::on_disconnect(tell('2'))));
    std::tuple<qbipc::NoData, qbipc::NoData> data;
    Session session(data);
    selector.connected(session);
    selector.disconnected(session);
    CHECK(order == "ab21");
}

TEST_CASE("side_by_side nests", "[selector]") {
    auto selector = qbipc::side_by_side(
        qbipc::side_by_side(routes<Log>(on<Get>([](auto& s, const Get&) { return Value{s->value}; })),
                            routes(on<Vote>([](const Vote&) { return Value{8}; }))),
        routes<Log>(on<Elsewhere>([](auto& s, const Elsewhere&) { return Value{s->value}; })));
    std::tuple<std::tuple<Log, qbipc::NoData>, Log> data{std::tuple(Log{1}, qbipc::NoData{}), Log{2}};
    Session session(data);
    CHECK(answer_of(selector, session, Get{}) == 1);
    CHECK(answer_of(selector, session, Vote{}) == 8);
    CHECK(answer_of(selector, session, Elsewhere{}) == 2);
}
