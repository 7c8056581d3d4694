// SPDX-License-Identifier: BSL-1.0
// What a service may answer besides a reply: errors of its own, of the application, and of messages it does not know.
#include <cerrno>
#include <stdexcept>
#include <string_view>

#include "conformance/kept.hpp"
#include "conformance/messages.hpp"
#include "conformance/running.hpp"
#include "conformance/transports.hpp"

namespace {

using namespace conformance;
using qbipc::Answer;
using qbipc::fail;
using qbipc::on;
using qbipc::Result;
using qbipc::routes;

struct ElsewhereDouble {
    static constexpr qbipc::MessageId id = 1;
    static constexpr qbipc::ServiceId service = 9;
    using Reply = Number;
    std::uint64_t value;
};

/// A peer that was built with other structs of the same ids.
struct Small {
    static constexpr qbipc::MessageId id = 1;
    using Reply = Number;
    std::uint32_t value;
};
struct OtherReply {
    std::uint64_t value, more;
};
struct WithOtherReply {
    static constexpr qbipc::MessageId id = 1;
    using Reply = OtherReply;
    std::uint64_t value;
};
struct OtherNote {
    static constexpr qbipc::MessageId id = 3;
    std::uint16_t number;
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("a handler's error travels to the caller", "[error]", Transports) {
    auto service =
        run<TestType>(routes(on<Try>([](const Try& m) -> Result<Number> {
                                 switch (m.value) {
                                     case 0:
                                         return fail(Trouble::broken);
                                     case 1:
                                         return fail(errc::not_permitted);
                                     case 2:
                                         return qbipc::fail_system(EXDEV);
                                     case 3:
                                         return fail(std::make_error_code(std::errc::no_space_on_device));
                                     case 4:
                                         return fail(Trouble::huge);
                                     case 5:
                                         return fail(Trouble::negative);
                                     default:
                                         return Number{m.value};
                                 }
                             }),
                             on<Double>([](const Double&) -> Result<Number> { return fail(Trouble::lost); })));
    auto client = connect<TestType>(service.name);
    CHECK(why(client.call(Try{0}, patience)) == Trouble::broken);
    CHECK(why(client.call(Try{1}, patience)) == errc::not_permitted);
    CHECK(why(client.call(Try{2}, patience)) == std::error_code(EXDEV, std::system_category()));
    CHECK(why(client.call(Try{3}, patience)) == std::errc::no_space_on_device);
    CHECK(why(client.call(Try{4}, patience)) == Trouble::huge);
    CHECK(why(client.call(Try{5}, patience)) == Trouble::negative);
    CHECK(client.call(Try{6}, patience)->value == 6);
    // A message that names no Error: the value, in the category that stands for all others.
    CHECK(why(client.call(Double{1}, patience)) == std::error_code(1, qbipc::application_category()));
    auto pending = must(client.start(Try{0}));
    CHECK(why(client.wait(pending, patience)) == Trouble::broken);
    CHECK(why(client.call(Try{0}, patience, [](const qbipc::View<Number>&) {})) == Trouble::broken);
}

TEMPLATE_LIST_TEST_CASE("what the service doesn't know is refused by name, and it goes on", "[error]", Transports) {
    auto service = run<TestType>(doubling());
    auto client = connect<TestType>(service.name);
    CHECK(why(client.call(Echo{1}, patience)) == errc::no_such_message);
    CHECK(why(client.call(ElsewhereDouble{1}, patience)) == errc::no_such_message);
    CHECK(client.send(Note{1}));  // nobody is told
    CHECK(client.call(Double{1}, patience)->value == 2);
    CHECK(service.statistics().one_way_failures == 1);
}

TEMPLATE_LIST_TEST_CASE("a message of another size is refused by name, and it goes on", "[error]", Transports) {
    Log<std::uint64_t> notes;
    auto service =
        run<TestType>(routes(on<Double>([](const Double& m) { return Number{2 * m.value}; }),
                             on<Note>([&](const Note& m) { notes.add(m.number); }),
                             on<Greet>([](const Greet&, std::string_view) { return qbipc::Copy<Greeting>(); })));
    auto client = connect<TestType>(service.name);
    CHECK(why(client.call(Small{1}, patience)) == errc::wrong_size);
    CHECK(why(client.call(WithOtherReply{1}, patience)) == errc::wrong_size);
    CHECK(client.send(OtherNote{1}));
    CHECK(why(client.call(qbipc::bytes(0, qbipc::MessageId(1)), patience)) == errc::wrong_size);
    CHECK(client.call(Double{1}, patience)->value == 2);
    CHECK(notes.size() == 0);
    CHECK(service.statistics().one_way_failures == 1);
}

TEMPLATE_LIST_TEST_CASE("a handler that throws costs its caller an error, the service nothing", "[error]", Transports) {
    auto service =
        run<TestType>(routes(on<Double>([](const Double& m) -> Number {
                                 if (m.value == 0) throw std::runtime_error("on purpose");
                                 if (m.value == 1) throw 5;
                                 return {m.value};
                             }),
                             on<Note>([](const Note&) { throw std::runtime_error("on purpose"); }),
                             on<Later>([](const Later&, Answer<Number>) { throw std::runtime_error("on purpose"); })));
    auto client = connect<TestType>(service.name);
    CHECK(why(client.call(Double{0}, patience)) == errc::handler_failed);
    CHECK(why(client.call(Double{1}, patience)) == errc::handler_failed);
    CHECK(client.send(Note{1}));
    CHECK(why(client.call(Later{1}, patience)) == errc::handler_failed);
    CHECK(client.call(Double{2}, patience)->value == 2);
    CHECK(service.statistics().one_way_failures == 1);
    CHECK(service.statistics().calls_waiting == 0);
}
