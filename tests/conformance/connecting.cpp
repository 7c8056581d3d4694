// SPDX-License-Identifier: BSL-1.0
// Connecting, and every way not to: absent, refused, too slow, the wrong service, too many.
#include <memory>
#include <utility>

#include "conformance/messages.hpp"
#include "conformance/running.hpp"
#include "conformance/transports.hpp"

namespace {

using namespace conformance;
using qbipc::Credentials;
using qbipc::fail;
using qbipc::on;
using qbipc::Options;
using qbipc::Result;
using qbipc::routes;

auto doubling() {
    return routes(on<Double>([](const Double& m) { return Number{2 * m.value}; }));
}
const auto nobody = [](const Credentials&) { return false; };

}  // namespace

TEMPLATE_LIST_TEST_CASE("where nobody listens there is no service", "[connect]", Transports) {
    const auto name = unique_name();
    CHECK(why(qbipc::Client<TestType>::connect(name, patience)) == errc::no_service);
    {
        auto service = run<TestType>(doubling());
        CHECK(connect<TestType>(service.name).alive());
        CHECK(why(qbipc::Client<TestType>::connect(service.name + "x", patience)) == errc::no_service);
    }
}

TEMPLATE_LIST_TEST_CASE("an address is free again once its service is gone", "[connect]", Transports) {
    const auto name = unique_name();
    for (int round = 0; round < 3; ++round) {
        auto service = must(qbipc::listen<TestType>(name, doubling()));
        CHECK(why(qbipc::listen<TestType>(name, doubling())) == errc::address_in_use);
    }
    CHECK(why(qbipc::Client<TestType>::connect(name, patience)) == errc::no_service);
}

TEMPLATE_LIST_TEST_CASE("a policy's no is the client's reason, in its own words where it has some", "[connect]",
                        Transports) {
    {
        auto service = run<TestType>(doubling(), nobody);
        CHECK(why(qbipc::Client<TestType>::connect(service.name, patience)) == errc::not_permitted);
        CHECK(why(qbipc::Client<TestType>::connect(service.name, patience)) == errc::not_permitted);
        CHECK(service.statistics().refused == 2);
        CHECK(service.statistics().accepted == 0);
    }
    {
        auto service = run<TestType>(
            doubling(), [](const Credentials&) -> std::error_code { return std::make_error_code(std::errc::no_link); });
        CHECK(why(qbipc::Client<TestType>::connect(service.name, patience)) == std::errc::no_link);
    }
    {
        auto service = run<TestType>(doubling(), [](const Credentials&) -> std::error_code { return Trouble::broken; });
        CHECK(why(qbipc::Client<TestType>::connect(service.name, patience)) ==
              std::error_code(2, qbipc::application_category()));
    }
    {
        auto service = run<TestType>(doubling(), qbipc::policy(nobody) || qbipc::same_user);
        CHECK(qbipc::Client<TestType>::connect(service.name, patience));
    }
}

TEMPLATE_LIST_TEST_CASE("on_accept refuses with a reason; neither on_connect nor on_disconnect runs then", "[connect]",
                        Transports) {
    std::atomic<int> connected = 0, disconnected = 0, asked = 0;
    auto service = run<TestType>(routes<int>(
        qbipc::on_accept([&](const Credentials& who) -> Result<int> {
            if (who.uid != ::geteuid()) return fail(errc::not_permitted);
            switch (asked++) {
                case 0:
                    return fail(Trouble::lost);
                case 1:
                    return fail(errc::busy);
                case 2:
                    throw 1;
                default:
                    return 5;
            }
        }),
        qbipc::on_connect([&](auto&) { ++connected; }), qbipc::on_disconnect([&](auto&) { ++disconnected; }),
        on<Double>([](auto& session, const Double&) { return Number{static_cast<std::uint64_t>(*session)}; })));
    CHECK(why(qbipc::Client<TestType>::connect(service.name, patience)) ==
          std::error_code(1, qbipc::application_category()));
    auto second = qbipc::Client<TestType>::connect(service.name, patience);
    if (second)  // busy passes: a transport may try again, and then finds the others
        FAIL("connected in spite of two refusals");
    CHECK(connected == 0);
    REQUIRE(eventually([&] { return asked >= 3 || !qbipc::Client<TestType>::connect(service.name, patience); }));
    {
        auto client = connect<TestType>(service.name);
        CHECK(client.call(Double{1}, patience)->value == 5);
    }
    REQUIRE(eventually([&] { return disconnected == 1; }));
    CHECK(connected == 1);
}

TEMPLATE_LIST_TEST_CASE("a client's policy refuses a service, before the service learns of it", "[connect]",
                        Transports) {
    auto service = run<TestType>(doubling());
    CHECK(why(qbipc::Client<TestType>::connect(service.name, patience, nobody)) == errc::wrong_service);
    const auto own_words = [](const Credentials&) -> std::error_code { return Trouble::lost; };
    CHECK(why(qbipc::Client<TestType>::connect(service.name, patience, own_words)) == Trouble::lost);
    const auto looks = [](const Credentials& who) { return who.uid == ::geteuid() && who.pid == ::getpid(); };
    auto client = qbipc::Client<TestType>::connect(service.name, patience, looks);
    REQUIRE(client);
    CHECK(client->service_credentials().uid == ::geteuid());
    CHECK(client->service_credentials().pid == ::getpid());
    CHECK(service.statistics().accepted <= 1);
}

TEMPLATE_LIST_TEST_CASE("a service that doesn't answer in time is a timeout, and finds nobody later", "[connect]",
                        Transports) {
    std::atomic<int> connected = 0;
    auto service = step<TestType>(routes(qbipc::on_connect([&](auto&) { ++connected; })));
    CHECK(why(qbipc::Client<TestType>::connect(service.name, shortly)) == errc::timed_out);
    service.settle();
    CHECK(service.service.statistics().sessions == 0);
    CHECK(connected == 0);
    auto client = service.connect();
    CHECK(connected == 1);
}

TEMPLATE_LIST_TEST_CASE("both sides know whom they talk to", "[connect]", Transports) {
    Log<std::uint64_t> seen;
    auto service = run<TestType>(
        routes(qbipc::on_accept([&](const Credentials& who) { seen.add(who.uid); }),
               qbipc::on_connect([&](auto& session) { seen.add(session.credentials().uid); }),
               on<Double>([&](auto& session, const Double&) { return Number{session.credentials().gid}; })));
    auto client = connect<TestType>(service.name);
    CHECK(client.call(Double{1}, patience)->value == ::getegid());
    CHECK(seen.all() == std::vector<std::uint64_t>(2, ::geteuid()));
}

TEMPLATE_LIST_TEST_CASE("a service takes no more sessions than it may, in all and for one user", "[connect][limits]",
                        Transports) {
    qbipc::ServiceOptions options;
    SECTION("in all") { options.limits.sessions = 3; }
    SECTION("for one user") { options.limits.sessions_per_user = 3; }
    auto service = run<TestType>(doubling(), qbipc::same_user_or_root, options);
    std::vector<qbipc::Client<TestType>> clients;
    for (int i = 0; i < 3; ++i) {
        clients.push_back(connect<TestType>(service.name));
        CHECK(clients.back().call(Double{1}, patience));
    }
    CHECK(why(qbipc::Client<TestType>::connect(service.name, patience)) == errc::too_many_sessions);
    CHECK(service.statistics().refused == 1);
    CHECK(service.statistics().sessions == 3);
    clients.pop_back();
    REQUIRE(eventually([&] { return service.statistics().sessions == 2; }));
    CHECK(connect<TestType>(service.name).call(Double{1}, patience));
    for (auto& client : clients) CHECK(client.call(Double{4}, patience)->value == 8);
}

TEMPLATE_LIST_TEST_CASE("hundreds of clients come and go, each with a session of its own", "[connect]", Transports) {
    std::atomic<std::uint64_t> connected = 0, disconnected = 0;
    auto service = run<TestType>(routes<std::uint64_t>(
        qbipc::on_connect([&](auto&) { ++connected; }), qbipc::on_disconnect([&](auto&) { ++disconnected; }),
        on<Double>([](auto& session, const Double& m) { return Number{*session += m.value}; })));
    const std::uint64_t count = times(300);
    for (std::uint64_t i = 0; i < count; ++i) {
        auto client = connect<TestType>(service.name);
        REQUIRE(client.call(Double{i}, patience)->value == i);
        REQUIRE(client.call(Double{1}, patience)->value == i + 1);
    }
    REQUIRE(eventually([&] { return disconnected == count; }));
    CHECK(connected == count);
    CHECK(service.count_sessions() == 0);
    CHECK(service.statistics().accepted == count);
    CHECK(service.statistics().ended == count);
}

TEMPLATE_LIST_TEST_CASE("clients and services are moved, and go on where they were", "[connect]", Transports) {
    auto service = step<TestType>(doubling());
    auto first = service.connect();
    auto pending = must(first.start(Double{1}));
    auto moved = std::move(first);
    auto elsewhere = std::move(service.service);
    CHECK(elsewhere.dispatch());
    CHECK(must(moved.wait(pending, patience)).value == 2);
    auto token = must(moved.start(Double{2}));
    auto same_token = std::move(token);
    service.service = std::move(elsewhere);
    service.settle();
    CHECK(must(moved.wait(same_token, patience)).value == 4);
    auto other = service.connect();
    CHECK(service.service.statistics().sessions == 2);
    other = std::move(moved);  // the one it was is disconnected
    REQUIRE(service.turn_until([&] { return service.service.statistics().sessions == 1; }));
    auto third = must(other.start(Double{3}));
    service.settle();
    CHECK(must(other.wait(third, patience)).value == 6);
}

TEMPLATE_LIST_TEST_CASE("several clients of one process talk to several services", "[connect]", Transports) {
    auto doubles = run<TestType>(doubling());
    auto triples = run<TestType>(routes(on<Double>([](const Double& m) { return Number{3 * m.value}; })));
    auto a = connect<TestType>(doubles.name), b = connect<TestType>(triples.name), c = connect<TestType>(doubles.name);
    for (std::uint64_t i = 0; i < 100; ++i) {
        CHECK(a.call(Double{i}, patience)->value == 2 * i);
        CHECK(b.call(Double{i}, patience)->value == 3 * i);
        CHECK(c.call(Double{i}, patience)->value == 2 * i);
    }
}
