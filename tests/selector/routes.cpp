// SPDX-License-Identifier: BSL-1.0
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>

#include <qbipc/selector/routes.hpp>

#include "support/catch.hpp"
#include "support/selecting.hpp"

using qbipc::errc;
using qbipc::on;
using qbipc::routes;
using selecting::Request;
using selecting::Session;

namespace {

enum class Mood { bad = 7 };
struct MoodCategory : std::error_category {
    const char* name() const noexcept override { return "mood"; }
    std::string message(int) const override { return "bad"; }
};
std::error_code make_error_code(Mood mood) {
    static const MoodCategory category;
    return {static_cast<int>(mood), category};
}

}  // namespace
template <>
struct std::is_error_code_enum<Mood> : std::true_type {};

namespace {

struct Sum {
    double value;
};
struct Text {
    using Tail = char;
};
struct Add {
    static constexpr qbipc::MessageId id = 1;
    using Reply = Sum;
    double a, b;
};
struct Clear {
    static constexpr qbipc::MessageId id = 2;
};
struct Echo {
    static constexpr qbipc::MessageId id = 3;
    using Reply = Text;
    using Tail = char;
    using Error = Mood;
    std::uint32_t times;
};
struct Far {
    static constexpr qbipc::ServiceId service = 65535;
    static constexpr qbipc::MessageId id = 0xffffffff;
    using Reply = Sum;
};
struct Note {
    static constexpr qbipc::MessageId id = 4;
    using Tail = std::uint16_t;
};
struct Total {
    static constexpr qbipc::EventId id = 1;
    double value;
};
struct Names {
    static constexpr qbipc::EventId id = 2;
    using Tail = char;
};
struct Account {
    double total = 0;
    std::string log{};
};
struct Overloads {
    Sum operator()(const Add& add) { return {add.a}; }
    void operator()(auto& session, const Clear&) { session->total = -5; }
};

}  // namespace

TEST_CASE("a call is answered with what its handler returns", "[routes]") {
    auto selector =
        routes<Account>(on<Add>([](auto& session, const Add& add) { return Sum{session->total += add.a + add.b}; }),
                        on<Far>([](const Far&) -> qbipc::Result<Sum> { return Sum{-1}; }),
                        on<Echo>([](const Echo&, std::string_view text) { return qbipc::Copy<Text>(Text{}, text); }));
    Account account;
    Session session(account);
    Request add(Add{1, 2}), far(Far{}), echo(qbipc::with_tail(Echo{1}, "hello"));
    REQUIRE(selector(session, add));
    REQUIRE(selector(session, far));
    REQUIRE(selector(session, echo));
    CHECK(add.answer<Sum>()->value == 3);
    CHECK(account.total == 3);
    CHECK(far.answer<Sum>()->value == -1);
    CHECK(std::string_view(echo.answer<Text>()->tail()) == "hello");
}

TEST_CASE("handlers take their message in every shape", "[routes]") {
    Account account;
    Session session(account);
    const auto answered = [&](auto selector) {
        Request echo(qbipc::with_tail(Echo{1}, "abc"));
        REQUIRE(selector(session, echo));
        REQUIRE(echo.answer<Text>());
        return std::string(std::string_view(echo.answer<Text>()->tail()));
    };
    using Copy = qbipc::Copy<Text>;
    using View = qbipc::View<Echo>;
    using Answer = qbipc::Answer<Text>;
    const auto text = [](auto tail) { return Copy(Text{}, tail); };
    CHECK(answered(routes<Account>(on<Echo>([&](auto&, const Echo&, std::string_view t) { return text(t); }))) ==
          "abc");
    CHECK(answered(routes<Account>(on<Echo>([&](auto&, const auto&, std::span<const char> t) { return text(t); }))) ==
          "abc");
    CHECK(answered(routes<Account>(on<Echo>([&](auto&, const auto&, auto t) { return text(t); }))) == "abc");
    CHECK(answered(routes<Account>(on<Echo>([&](const Echo&, qbipc::TailView<char> t) { return text(t); }))) == "abc");
    CHECK(answered(routes<Account>(on<Echo>([&](const Echo& e) { return text(std::string(e.times, 'x')); }))) == "x");
    CHECK(answered(routes<Account>(on<Echo>([&](auto&, const Echo&) { return Text{}; }))).empty());
    CHECK(answered(routes<Account>(on<Echo>([&](const View& v) { return text(v.tail()); }))) == "abc");
    CHECK(answered(routes<Account>(on<Echo>([&](auto&, const View& v) { return text(v.tail()); }))) == "abc");
    CHECK(answered(routes<Account>(on<Echo>([&](const Echo&, Answer a) { a.send(Text{}); }))).empty());
    CHECK(answered(routes<Account>(on<Echo>([&](const Echo&, std::string_view t, Answer a) { a.send(text(t)); }))) ==
          "abc");
    CHECK(answered(routes<Account>(on<Echo>([&](const View& v, Answer a) { a.send(text(v.tail())); }))) == "abc");
    CHECK(answered(routes<Account>(on<Echo>([&](auto& s, const Echo&, Answer a) {
              s->total = 1;
              a.send(qbipc::with_tail(Text{}, "later"));
          }))) == "later");
    CHECK(answered(routes<Account>(
              on<Echo>([&](auto&, const Echo&, std::string_view t, Answer a) { a.send(text(t)); }))) == "abc");
    CHECK(answered(routes<Account>(on<Echo>([&](auto&, const View& v, Answer a) { a.send(text(v.tail())); }))) ==
          "abc");
    struct {
        Copy operator()(const Echo&, std::string_view t) { return Copy(Text{}, t); }
    } functor;
    CHECK(answered(routes<Account>(on<Echo>(functor))) == "abc");
    Copy (*function)(Session<Account>&, const Echo&) = [](Session<Account>&, const Echo&) {
        return Copy(Text{}, std::string("f"));
    };
    CHECK(answered(routes<Account>(on<Echo>(function))) == "f");
}

TEST_CASE("one handler may take several messages", "[routes]") {
    auto selector = routes<Account>(on<Add, Clear>(Overloads{}), on<Far>([](const Far&) { return Sum{9}; }));
    Account account;
    Session session(account);
    Request add(Add{4, 5}), clear(Clear{}, false), far(Far{});
    CHECK((selector(session, add) && selector(session, clear) && selector(session, far)));
    CHECK(add.answer<Sum>()->value == 4);
    CHECK(account.total == -5);
    CHECK(clear.untouched());
    CHECK(far.answer<Sum>()->value == 9);
}

TEST_CASE("what a handler fails with reaches the caller", "[routes]") {
    auto selector =
        routes(on<Echo>([](const Echo&) -> qbipc::Result<Text> { return qbipc::fail(Mood::bad); }),
               on<Add>([](const Add&) { return qbipc::fail(make_error_code(std::errc::argument_out_of_domain)); }));
    qbipc::NoData none;
    Session session(none);
    Request echo(Echo{1}), add(Add{1, 2});
    CHECK((selector(session, echo) && selector(session, add)));
    CHECK(echo.error() == Mood::bad);
    CHECK(add.error() == std::errc::argument_out_of_domain);
}

TEST_CASE("a payload of another size is refused, and its handler not run", "[routes]") {
    bool ran = false;
    auto selector = routes(on<Add>([&](const Add&) { return ran = true, Sum{}; }),
                           on<Note>([&](const Note&, qbipc::TailView<std::uint16_t>) { ran = true; }),
                           on<Clear>([&](const Clear&) { ran = true; }));
    qbipc::NoData none;
    Session session(none);
    const std::byte raw[64]{};
    for (std::size_t size : {0u, 1u, 15u, 17u, 32u}) {
        Request wrong(qbipc::bytes(0, qbipc::MessageId(1), std::span(raw, size)));
        CHECK(selector(session, wrong));
        CHECK(wrong.error() == errc::wrong_size);
    }
    Request odd(qbipc::bytes(0, qbipc::MessageId(4), std::span(raw, 3)), false),
        full(qbipc::bytes(0, qbipc::MessageId(2), std::span(raw, 1)), false);
    CHECK((selector(session, odd) && selector(session, full)));
    CHECK(odd.error() == errc::wrong_size);
    CHECK(full.error() == errc::wrong_size);
    CHECK_FALSE(ran);
}

TEST_CASE("a route's policy is asked for each message, and its refusal goes to the caller", "[routes]") {
    int runs = 0;
    const auto reason = [](const qbipc::Credentials& who) -> std::error_code {
        return who.uid == 5 ? qbipc::make_error_code(errc::busy) : std::error_code{};
    };
    auto selector = routes(on<Add>([&](const Add&) { return ++runs, Sum{}; }).only(qbipc::uids<5, 6>),
                           on<Far>([&](const Far&) { return ++runs, Sum{}; }).only(qbipc::uids<5, 6>).only(reason),
                           on<Clear>([&](const Clear&) { ++runs; }));
    qbipc::NoData none;
    Session session(none);
    const auto ask = [&](const auto& message, uid_t uid) {
        Request request(message);
        request.who.uid = uid;
        REQUIRE(selector(session, request));
        return request.error();
    };
    CHECK_FALSE(ask(Add{}, 5));
    CHECK(ask(Add{}, 7) == errc::not_permitted);
    CHECK_FALSE(ask(Far{}, 6));
    CHECK(ask(Far{}, 5) == errc::busy);
    CHECK(ask(Far{}, 7) == errc::not_permitted);
    CHECK_FALSE(ask(Clear{}, 7));
    CHECK(runs == 3);
}

TEST_CASE("what no route takes goes to otherwise, or is left", "[routes]") {
    qbipc::NoData none;
    Session session(none);
    Request far(Far{});
    auto bare = routes(on<Add>([](const Add&) { return Sum{}; }));
    CHECK_FALSE(bare(session, far));
    CHECK(far.untouched());

    int asked = 0;
    auto declining = routes(on<Add>([](const Add&) { return Sum{}; }), qbipc::otherwise([&](auto&, auto& request) {
                                asked += request.message() == Far::id;
                                return false;
                            }));
    CHECK_FALSE(declining(session, far));
    auto taking = routes(qbipc::otherwise([&](auto&, auto& request) { (void)request.reply(Sum{3}); }));
    CHECK(taking(session, far));
    CHECK(asked == 1);
    CHECK(far.answer<Sum>()->value == 3);
    CHECK_FALSE(routes()(session, far));
}

TEST_CASE("only the whole key picks a route", "[routes]") {
    auto selector = routes(on<Add>([](const Add&) { return Sum{}; }));
    qbipc::NoData none;
    Session session(none);
    const auto seed = std::random_device{}();
    INFO("QBIPC_TEST_SEED=" << seed);
    std::mt19937 random(seed);
    for (int i = 0; i < 2000; ++i) {
        const auto service = static_cast<std::uint16_t>(random() % 3 == 0 ? 0 : random());
        const auto id = static_cast<std::uint32_t>(random() % 3 == 0 ? 1 : random());
        if (service == 0 && id == 1) continue;
        Request other(qbipc::bytes(service, qbipc::MessageId(id)));
        REQUIRE_FALSE(selector(session, other));
    }
}

TEST_CASE("private data is made by on_accept, or refused there", "[routes]") {
    struct Voter {
        explicit Voter(unsigned v) : votes(v) {}
        unsigned votes;
    };
    auto selector = routes<Voter>(qbipc::on_accept([](const qbipc::Credentials& who) -> qbipc::Result<Voter> {
        if (who.uid == 5) throw std::runtime_error("five");
        if (who.uid != 0) return qbipc::fail(make_error_code(errc::busy));
        return Voter(2);
    }));
    static_assert(std::is_same_v<qbipc::private_data_t<decltype(selector)>, Voter>);
    static_assert(std::is_same_v<qbipc::private_data_t<std::reference_wrapper<decltype(selector)>>, Voter>);
    CHECK(qbipc::detail::accept(selector, {1, 0, 0, {}})->votes == 2);
    CHECK(qbipc::detail::accept(selector, {1, 1, 0, {}}).error() == errc::busy);
    CHECK(qbipc::detail::accept(selector, {1, 5, 0, {}}).error() == errc::handler_failed);

    auto refusing = routes(qbipc::on_accept(
        [](const qbipc::Credentials&) -> qbipc::Result<void> { return qbipc::fail(make_error_code(errc::busy)); }));
    CHECK(refusing.accept({}).error() == errc::busy);
    int seen = 0;
    auto watching = routes<Account>(qbipc::on_accept([&](const qbipc::Credentials&) { return ++seen, Account{5}; }));
    CHECK(watching.accept({})->total == 5);
    CHECK(seen == 1);
    static_assert(!qbipc::detail::Accepts<decltype(routes<Account>())>);
    auto reference = std::ref(selector);
    CHECK(qbipc::detail::accept(reference, {1, 0, 0, {}})->votes == 2);
}

TEST_CASE("connect hooks run in order, disconnect hooks in reverse, and one that throws costs only itself",
          "[routes]") {
    const auto note = [](const char* text) { return [text](auto& session) { session->log += text; }; };
    auto selector = routes<Account>(
        qbipc::on_connect(note("a")), qbipc::on_disconnect(note("1")),
        qbipc::on_connect([](auto&) { throw std::runtime_error("no"); }), qbipc::on_connect(note("b")),
        qbipc::on_disconnect([](auto&) { throw std::runtime_error("no"); }), qbipc::on_disconnect(note("2")));
    Account account;
    Session session(account);
    selector.connected(session);
    CHECK(account.log == "ab");
    selector.disconnected(session);
    CHECK(account.log == "ab21");
}

TEST_CASE("a client's routes take events", "[routes]") {
    double total = 0;
    std::string names;
    auto selector = routes(on<Total>([&](const Total& t) { total = t.value; }),
                           on<Names>([&](selecting::Client&, const Names&, std::string_view n) { names = n; }));
    selecting::Client client;
    selecting::Event event(Total{4}), tail(qbipc::with_tail(Names{}, "x,y")),
        broken(qbipc::bytes(0, qbipc::EventId(1))), unknown(qbipc::bytes(0, qbipc::EventId(9)));
    CHECK((selector(client, event) && selector(client, tail) && selector(client, broken)));
    CHECK_FALSE(selector(client, unknown));
    CHECK(total == 4);
    CHECK(names == "x,y");
}

TEST_CASE("handlers may be mutable and move-only; a const selector takes those that are neither", "[routes]") {
    auto selector = routes(
        on<Add>([count = std::make_unique<int>(0), n = 0](const Add&) mutable { return Sum{double(++*count + ++n)}; }));
    auto moved = std::move(selector);
    qbipc::NoData none;
    Session session(none);
    Request first(Add{}), second(Add{});
    CHECK((moved(session, first) && moved(session, second)));
    CHECK(second.answer<Sum>()->value == 4);

    const auto fixed = routes(on<Add>([offset = 7.0](const Add& add) { return Sum{add.a + offset}; }));
    Request third(Add{1, 0});
    CHECK(fixed(session, third));
    CHECK(third.answer<Sum>()->value == 8);
}

TEST_CASE("a handler's exception passes through to the service, which answers for it", "[routes]") {
    auto selector = routes(on<Add>([](const Add&) -> Sum { throw std::runtime_error("no"); }));
    qbipc::NoData none;
    Session session(none);
    Request add(Add{});
    CHECK_THROWS(selector(session, add));
}

TEST_CASE("an Answer that dies with a handler that throws says so, one that is merely dropped is unanswered",
          "[routes]") {
    auto selector = routes(on<Add>([](const Add& add, qbipc::Answer<Sum> answer) {
        if (add.a > 0) throw std::runtime_error("no");
        (void)answer;
    }));
    qbipc::NoData none;
    Session session(none);
    Request throwing(Add{1, 0}), dropping(Add{0, 0});
    CHECK_THROWS(selector(session, throwing));
    CHECK(selector(session, dropping));
    CHECK(throwing.error() == errc::handler_failed);
    CHECK(dropping.error() == errc::unanswered);
}
