// SPDX-License-Identifier: BSL-1.0
// What can be sent and how it is received: structs, tails, gathered, built in place, raw bytes, views; every size.
#include <algorithm>
#include <array>
#include <cstring>
#include <malloc.h>
#include <new>
#include <string>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance/messages.hpp"
#include "conformance/running.hpp"
#include "conformance/transports.hpp"

namespace {

using namespace conformance;
using qbipc::Answer;
using qbipc::build;
using qbipc::bytes;
using qbipc::Copy;
using qbipc::fail;
using qbipc::MessageId;
using qbipc::on;
using qbipc::Result;
using qbipc::routes;
using qbipc::TailView;
using qbipc::View;
using qbipc::with_tail;

auto echoing() {
    return routes(
        on<Echo>([](const Echo& m, TailView<std::byte> tail) { return Copy<Echoed>(Echoed{m.number}, tail); }),
        on<Greet>([](const Greet&, std::string_view name, Answer<Greeting> answer) {
            (void)answer.send(with_tail(Greeting{}, "hello, ", name));
        }),
        on<Double>([](const Double& m) { return Number{2 * m.value}; }));
}

struct Padded {
    static constexpr MessageId id = 50;
    using Reply = Padded;
    std::byte flag{};
    std::uint64_t value = 0;
};

/// Sizes around everything that could be a boundary, up to `largest`.
std::vector<std::size_t> sizes_to(std::size_t largest) {
    std::vector<std::size_t> sizes;
    for (std::size_t size = 0; size <= 160 && size <= largest; ++size) sizes.push_back(size);
    for (std::size_t edge = 256; edge <= largest; edge *= 2)
        for (const std::ptrdiff_t off : {-33, -24, -17, -16, -9, -8, -1, 0, 1, 16, 63})
            if (const auto size = static_cast<std::size_t>(static_cast<std::ptrdiff_t>(edge) + off); size <= largest)
                sizes.push_back(size);
    return sizes;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("messages of every size arrive whole, there and back", "[size]", Transports) {
    auto service = run<TestType>(echoing());
    auto client = connect<TestType>(service.name);
    constexpr std::size_t head = sizeof(std::uint64_t);
    const std::size_t largest = client.max_message() - head;
    CHECK(client.max_message() == std::size_t{1} << 20);
    std::uint64_t number = 0;
    auto sizes = sizes_to(largest);
    sizes.insert(sizes.end(), {largest, largest - 1, 0, largest});
    for (const std::size_t size : sizes) {
        CAPTURE(size);
        const auto tail = patterned(++number, size);
        const auto answer = client.call(with_tail(Echo{number}, tail), patience);
        REQUIRE(answer);
        REQUIRE((*answer)->number == number);
        REQUIRE(is_patterned(answer->tail(), number, size));
    }
    // One byte more: nothing is sent, and nothing is broken.
    const auto more = patterned(0, largest + 1);
    CHECK(why(client.call(with_tail(Echo{0}, more), patience)) == errc::message_too_large);
    CHECK(why(client.start(with_tail(Echo{0}, more))) == errc::message_too_large);
    CHECK(why(client.start(with_tail(Echo{0}, more), patience, [](Result<Copy<Echoed>>) {})) ==
          errc::message_too_large);
    CHECK(why(client.send(with_tail(Parcel{0}, more))) == errc::message_too_large);
    CHECK(why(client.send(with_tail(Parcel{0}, more), patience)) == errc::message_too_large);
    bool filled = false;
    const auto fill = [&](Echo&, std::span<std::byte>) { filled = true; };
    CHECK(why(client.call(build<Echo>(largest + 1, fill), patience)) == errc::message_too_large);
    CHECK_FALSE(filled);
    CHECK(client.call(Double{1}, patience)->value == 2);
    CHECK(service.statistics().requests == sizes.size() + 1);
}

TEMPLATE_LIST_TEST_CASE("an answer or event over the limit is refused at the service, nothing is sent", "[size]",
                        Transports) {
    std::atomic<bool> event_refused = false, event_taken = false;
    auto service =
        run<TestType>(routes(on<Echo>([&](auto& session, const Echo& m, TailView<std::byte>, Answer<Echoed> answer) {
            const std::size_t head = sizeof(std::uint64_t);
            const std::size_t size = session.max_message() - head + m.number;
            const auto sent = session.send(with_tail(Chunk{m.number}, patterned(m.number, size)));
            if (!sent && sent.error() == errc::message_too_large) event_refused = true;
            if (sent) event_taken = true;
            const auto answered = answer.send(with_tail(Echoed{m.number}, patterned(m.number, size)));
            if (!answered && answered.error() != errc::message_too_large) std::abort();
        })));
    auto client = connect<TestType>(service.name);
    const std::size_t largest = client.max_message() - sizeof(std::uint64_t);
    CHECK(why(client.call(with_tail(Echo{1}), patience)) == errc::message_too_large);
    CHECK(event_refused);
    CHECK_FALSE(event_taken);
    const auto answer = client.call(with_tail(Echo{0}), patience);
    REQUIRE(answer);
    CHECK(is_patterned(answer->tail(), 0, largest));
    int events = 0;
    REQUIRE(client.receive(routes(on<Chunk>([&](const Chunk&, TailView<std::byte> tail) {
                               CHECK(is_patterned(tail, 0, largest));
                               ++events;
                           })),
                           patience));
    CHECK(events == 1);
    CHECK(client.statistics().events_missed == 1);  // the one that was too large counts as offered
}

TEMPLATE_LIST_TEST_CASE("the largest message is the client's wish, raised to what the service enforces, cut to its cap",
                        "[size]", Transports) {
    qbipc::ServiceOptions options;
    options.max_message = 300'000;
    options.min_message = 5'000;
    auto service = run<TestType>(echoing(), qbipc::same_user_or_root, options);
    const auto wishing = [&](std::size_t wish) {
        qbipc::Options wishes;
        wishes.max_message = wish;
        return connect<TestType>(service.name, wishes);
    };
    for (const auto& [wish, given] :
         {std::pair<std::size_t, std::size_t>{100, 5'000}, {20'000, 20'000}, {1'000'000, 300'000}}) {
        CAPTURE(wish);
        auto client = wishing(wish);
        CHECK(client.max_message() == given);
        const auto head = sizeof(std::uint64_t);
        const auto answer = client.call(with_tail(Echo{1}, patterned(1, given - head)), patience);
        REQUIRE(answer);
        CHECK(is_patterned(answer->tail(), 1, given - head));
        CHECK(why(client.call(with_tail(Echo{1}, patterned(1, given - head + 1)), patience)) ==
              errc::message_too_large);
        // The session knows it too.
        CHECK(service.ask([](auto& s) {
            std::size_t largest = 0;
            for (auto& session : s.sessions()) largest = std::max(largest, session.max_message());
            return largest;
        }) >= given);
    }
}

TEMPLATE_LIST_TEST_CASE("a message may be larger than its lane", "[size]", Transports) {
    qbipc::ServiceOptions options;
    options.max_message = std::size_t{8} << 20;
    options.limits.session_bytes = std::size_t{32} << 20;
    auto service = run<TestType>(echoing(), qbipc::same_user_or_root, options);
    qbipc::Options wishes;
    wishes.max_message = std::size_t{8} << 20;
    wishes.lane_size = 64 << 10;
    auto client = connect<TestType>(service.name, wishes);
    for (const std::size_t size : {std::size_t{100'000}, std::size_t{3'000'000}, (std::size_t{8} << 20) - 8}) {
        const auto answer = client.call(with_tail(Echo{1}, patterned(1, size)), patience);
        REQUIRE(answer);
        CHECK(is_patterned(answer->tail(), 1, size));
    }
}

TEMPLATE_LIST_TEST_CASE("a tail is gathered from several ranges; of char, from any text", "[shape]", Transports) {
    auto service = run<TestType>(echoing());
    auto client = connect<TestType>(service.name);
    const char array[] = "array";
    const char full[3] = {'a', 'b', 'c'};
    const auto greeted = [&](auto&& x) {
        return std::string(std::string_view(must(client.call(std::forward<decltype(x)>(x), patience)).tail()));
    };
    CHECK(greeted(with_tail(Greet{})) == "hello, ");
    CHECK(greeted(with_tail(Greet{}, "world")) == "hello, world");
    CHECK(greeted(with_tail(Greet{}, std::string("one "), std::string_view("two "), array, std::vector<char>{'!'})) ==
          "hello, one two array!");
    CHECK(greeted(with_tail(Greet{}, std::span<const char>(full))) == "hello, abc");
    CHECK(greeted(with_tail(Greet{}, std::string(), "", std::string("x"), std::string())) == "hello, x");
    // Across the pieces of a row.
    const auto a = patterned(1, 70'000), b = patterned(2, 1), c = patterned(3, 200'001);
    const auto answer = client.call(with_tail(Echo{9}, a, b, std::vector<std::byte>(), c), patience);
    REQUIRE(answer);
    REQUIRE(answer->tail().size() == a.size() + b.size() + c.size());
    CHECK(is_patterned(std::span(answer->tail().data(), a.size()), 1, a.size()));
    CHECK(answer->tail()[a.size()] == b[0]);
    CHECK(is_patterned(std::span(answer->tail().data() + a.size() + 1, c.size()), 3, c.size()));
    // A Copy that was received may be sent.
    const Copy<Echo> copy(Echo{4}, patterned(4, 100));
    CHECK(is_patterned(must(client.call(copy, patience)).tail(), 4, 100));
}

TEMPLATE_LIST_TEST_CASE("a tail is cut by the lengths that the peer wrote, never beyond its end", "[shape]",
                        Transports) {
    Log<std::string> got;
    auto service = run<TestType>(routes(on<Greet>([&](const Greet&, TailView<char> tail) -> Result<Copy<Greeting>> {
        auto first = tail.take(3);
        if (!first) return fail(first.error());
        auto second = tail.take(2);
        if (!second) return fail(second.error());
        got.add(std::string(std::string_view(*first)) + "|" + std::string(std::string_view(*second)) + "|" +
                std::string(std::string_view(tail)));
        return Copy<Greeting>();
    })));
    auto client = connect<TestType>(service.name);
    CHECK(client.call(with_tail(Greet{}, "abcdefg"), patience));
    CHECK(client.call(with_tail(Greet{}, "abcde"), patience));
    CHECK(why(client.call(with_tail(Greet{}, "abcd"), patience)) == errc::wrong_size);
    CHECK(why(client.call(with_tail(Greet{}), patience)) == errc::wrong_size);
    CHECK(got.all() == std::vector<std::string>{"abc|de|fg", "abc|de|"});
}

TEMPLATE_LIST_TEST_CASE("a message is built in place, once, and may use less than it asked for", "[shape]",
                        Transports) {
    auto service = run<TestType>(echoing());
    auto client = connect<TestType>(service.name);
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{100}, std::size_t{60'000}, std::size_t{200'000}, std::size_t{1'000'000}}) {
        CAPTURE(size);
        int ran = 0;
        const auto all = [&](Echo& m, std::span<std::byte> tail) {
            ++ran;
            m.number = 7;
            REQUIRE(tail.size() == size);
            for (std::size_t i = 0; i < size; ++i) tail[i] = pattern(7, i);
        };
        auto answer = client.call(build<Echo>(size, all), patience);
        REQUIRE(answer);
        CHECK((*answer)->number == 7);
        CHECK(is_patterned(answer->tail(), 7, size));
        const auto half = [&](Echo& m, std::span<std::byte> tail) {
            all(m, tail);
            return size / 2;
        };
        answer = client.call(build<Echo>(size, half), patience);
        REQUIRE(answer);
        CHECK(is_patterned(answer->tail(), 7, size / 2));
        const auto maybe = [&](Echo& m, std::span<std::byte> tail) -> Result<std::size_t> {
            all(m, tail);
            return size / 3;
        };
        answer = client.call(build<Echo>(size, maybe), patience);
        REQUIRE(answer);
        CHECK(is_patterned(answer->tail(), 7, size / 3));
        CHECK(ran == 3);
    }
    // Without a tail.
    CHECK(client.call(build<Double>(0, [](Double& m) { m.value = 21; }), patience)->value == 42);
}

TEMPLATE_LIST_TEST_CASE("a function gets an answer as a copy, or as it lies, or without its tail", "[shape]",
                        Transports) {
    auto service = run<TestType>(echoing());
    auto client = connect<TestType>(service.name);
    for (const std::size_t size : {std::size_t{0}, std::size_t{100}, std::size_t{50'000}, std::size_t{500'000}}) {
        CAPTURE(size);
        const auto tail = patterned(7, size);
        int right = 0;
        REQUIRE(client.call(with_tail(Echo{7}, tail), patience, [&](const Echoed& echoed, TailView<std::byte> copy) {
            right += echoed.number == 7 && is_patterned(copy, 7, size);
        }));
        REQUIRE(client.call(with_tail(Echo{7}, tail), patience,
                            [&](const Echoed&, std::span<const std::byte> copy) { right += copy.size() == size; }));
        REQUIRE(client.call(with_tail(Echo{7}, tail), patience, [&](const qbipc::View<Echoed>& echoed) {
            right += echoed->number == 7 && is_patterned(echoed.tail(), 7, size);
        }));
        REQUIRE(client.call(with_tail(Echo{7}, tail), patience,
                            [&](const Echoed& echoed) { right += echoed.number == 7; }));
        // One that would take anything gets all there is.
        REQUIRE(client.call(with_tail(Echo{7}, tail), patience,
                            [&](const auto& echoed) { right += echoed.tail().size() == size; }));
        REQUIRE(client.call(Double{4}, patience, [&](const auto& number) { right += number->value == 8; }));
        REQUIRE(client.call(Double{4}, patience, [&](const Number& number) { right += number.value == 8; }));
        CHECK(right == 7);
    }
}

TEMPLATE_LIST_TEST_CASE("a build that gives an error sends nothing, and its place isn't lost", "[shape]", Transports) {
    auto service = run<TestType>(echoing());
    auto client = connect<TestType>(service.name);
    for (int round = 0; round < 300; ++round)
        for (const std::size_t size : {std::size_t{0}, std::size_t{50'000}, std::size_t{300'000}}) {
            const auto refuses = [&](Echo&, std::span<std::byte>) -> Result<std::size_t> {
                return fail(Trouble::lost);
            };
            REQUIRE(why(client.call(build<Echo>(size, refuses), patience)) == Trouble::lost);
        }
    const auto refuses = [&](Double&) -> Result<void> { return fail(Trouble::lost); };
    CHECK(why(client.call(build<Double>(0, refuses), patience)) == Trouble::lost);
    const auto throws = [&](Echo&, std::span<std::byte>) { throw 1; };
    CHECK_THROWS(client.call(build<Echo>(100, throws), patience));
    CHECK_THROWS(client.call(build<Echo>(300'000, throws), patience));
    CHECK(client.call(Double{1}, patience)->value == 2);
    CHECK(service.statistics().requests == 1);
}

TEMPLATE_LIST_TEST_CASE("an answer is built in place, and its error goes to the caller", "[shape]", Transports) {
    auto service = run<TestType>(routes(on<Echo>([](const Echo& m, TailView<std::byte> tail, Answer<Echoed> answer) {
        const auto fill = [&](Echoed& reply, std::span<std::byte> to) -> Result<std::size_t> {
            if (m.number == 0) return fail(Trouble::broken);
            reply.number = m.number;
            std::copy(tail.begin(), tail.end(), to.begin());
            return tail.size();
        };
        (void)answer.send(build<Echoed>(tail.size() + 10, fill));
    })));
    auto client = connect<TestType>(service.name);
    for (const std::size_t size : {std::size_t{0}, std::size_t{10'000}, std::size_t{500'000}}) {
        const auto answer = client.call(with_tail(Echo{3}, patterned(3, size)), patience);
        REQUIRE(answer);
        CHECK(is_patterned(answer->tail(), 3, size));
        CHECK(why(client.call(with_tail(Echo{0}, patterned(3, size)), patience)).value() ==
              static_cast<int>(Trouble::broken));
    }
}

TEMPLATE_LIST_TEST_CASE("a build of an answer that throws costs its caller an error", "[shape]", Transports) {
    auto service = run<TestType>(routes(on<Echo>([&](const Echo& m, TailView<std::byte>, Answer<Echoed> answer) {
        const auto throws = [](Echoed&, std::span<std::byte>) { throw 1; };
        const std::size_t size = m.number % 2 == 0 ? 10 : 500'000;
        if (m.number < 2) {
            (void)answer.send(build<Echoed>(size, throws));
        } else {
            std::thread([&] {
                try {
                    (void)answer.send(build<Echoed>(size, throws));
                } catch (int) {
                }
            }).join();
        }
    })));
    auto client = connect<TestType>(service.name);
    for (std::uint64_t i = 0; i < 4; ++i) CHECK(why(client.call(with_tail(Echo{i}), patience)) == errc::handler_failed);
    CHECK(service.statistics().responses == 4);
    CHECK(service.statistics().calls_waiting == 0);
}

TEMPLATE_LIST_TEST_CASE("raw bytes carry ids known only at run time, both ways", "[shape]", Transports) {
    auto service = run<TestType>(routes(
        on<Double>([](const Double& m) { return Number{2 * m.value}; }), qbipc::otherwise([](auto&, auto& request) {
            if (request.message() == MessageId(77)) {
                const auto all = request.copy();
                (void)request.reply(bytes(request.service(), request.message(), all, std::array{'!'}));
                return true;
            }
            return false;
        })));
    auto client = connect<TestType>(service.name);
    const std::uint64_t value = 21;
    const auto raw = client.call(bytes(0, MessageId(1), std::span(&value, 1)), patience);
    REQUIRE(raw);
    std::uint64_t answer = 0;
    REQUIRE(raw->tail().size() == sizeof answer);
    std::memcpy(&answer, raw->tail().data(), sizeof answer);
    CHECK(answer == 42);
    const std::array<char, 3> word{'a', 'b', 'c'};
    const auto echoed = client.call(bytes(5, MessageId(77), word, std::string("def")), patience);
    REQUIRE(echoed);
    CHECK(std::string(reinterpret_cast<const char*>(echoed->tail().data()), echoed->tail().size()) == "abcdef!");
    const auto large = patterned(8, 400'000);
    const auto row = client.call(bytes(5, MessageId(77), large), patience);
    REQUIRE(row);
    CHECK(is_patterned(std::span(row->tail().data(), large.size()), 8, large.size()));
    CHECK(why(client.call(bytes(5, MessageId(78), word), patience)) == errc::no_such_message);
}

TEMPLATE_LIST_TEST_CASE("views look at requests, answers and events where they lie, of every size", "[shape]",
                        Transports) {
    std::atomic<std::uint64_t> good = 0;
    auto service = run<TestType>(routes(on<Echo>([&](auto& session, const View<Echo>& m, Answer<Echoed> answer) {
        good += is_patterned(m.tail(), m->number, (*m).number * 1000);
        (void)session.send(with_tail(Chunk{m->number}, m.tail()));
        (void)answer.send(with_tail(Echoed{m->number}, m.tail()));
    })));
    auto client = connect<TestType>(service.name);
    for (const std::uint64_t thousands : {0u, 1u, 60u, 100u, 131u, 140u, 900u}) {
        CAPTURE(thousands);
        good = 0;
        const std::size_t size = static_cast<std::size_t>(thousands) * 1000;
        bool visited = false;
        REQUIRE(client.call(with_tail(Echo{thousands}, patterned(thousands, size)), patience,
                            [&](const View<Echoed>& answer) {
                                visited = true;
                                CHECK(answer->number == thousands);
                                CHECK(is_patterned(answer.tail(), thousands, size));
                            }));
        CHECK(visited);
        CHECK(good == 1);
        int events = 0;
        REQUIRE(client.receive(routes(on<Chunk>([&](const View<Chunk>& event) {
                                   CHECK(event->number == thousands);
                                   CHECK(is_patterned(event.tail(), thousands, size));
                                   ++events;
                               })),
                               patience));
        CHECK(events == 1);
    }
}

TEMPLATE_LIST_TEST_CASE("padding bytes arrive as zeros, whatever they held", "[shape]", Transports) {
    std::atomic<int> clean = 0;
    auto service = run<TestType>(routes(qbipc::otherwise([&](auto&, auto& request) {
        const auto all = request.copy();
        if (all.size() == sizeof(Padded) &&
            std::all_of(all.begin() + 1, all.begin() + 8, [](std::byte b) { return b == std::byte{0}; }))
            ++clean;
        (void)request.reply(Padded{all[0], 5});
    })));
    auto client = connect<TestType>(service.name);
    alignas(Padded) std::byte dirty[sizeof(Padded)];
    std::fill(std::begin(dirty), std::end(dirty), std::byte{0xee});
    auto& message = *new (dirty) Padded;
    message.flag = std::byte{1};
    message.value = 2;
    std::fill(dirty + 1, dirty + 8, std::byte{0xee});
    const auto answer = client.call(message, patience);
    REQUIRE(answer);
    CHECK(answer->flag == std::byte{1});
    CHECK(clean == 1);
}

TEMPLATE_LIST_TEST_CASE("what a build() function leaves unwritten is nothing of this process'", "[shape]", Transports) {
    // Whatever is allocated from here on is full of it; sanitizers fill it by themselves.
    (void)::mallopt(M_PERTURB, 0x5a);
    auto service =
        run<TestType>(routes(on<Echo>([](const Echo& m, qbipc::TailView<std::byte>, qbipc::Answer<Echoed> answer) {
            (void)answer.send(
                (qbipc::build<Echoed>(m.number, [](Echoed& reply, std::span<std::byte>) { reply.number = 1; })));
        })));
    auto client = connect<TestType>(service.name);
    for (const std::size_t size : {100u, 5'000u, 30'000u, 60'000u, 200'000u}) {
        const auto answer = client.call(with_tail(Echo{size}, std::vector<std::byte>(1)), patience);
        REQUIRE(answer);
        REQUIRE(answer->tail().size() == size);
        CHECK(std::all_of(answer->tail().begin(), answer->tail().end(), [](std::byte b) { return b == std::byte{0}; }));
    }
    (void)::mallopt(M_PERTURB, 0);
}

TEST_CASE("a child that comes back from a build() function sends nothing of it", "[shape]") {
    std::uint64_t notes = 0;
    auto service = step<qbipc::UnixSocket>(routes(on<Parcel>([&](const Parcel&, TailView<std::byte>) { ++notes; })));
    auto client = service.connect();
    pid_t child = -1;
    const auto sent = client.send(build<Parcel>(8, [&](Parcel& parcel, std::span<std::byte>) {
        parcel.number = 1;
        child = ::fork();
    }));
    if (child == 0) ::_exit(0);
    REQUIRE(sent);
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    service.settle();
    CHECK(notes == 1);
    CHECK(client.alive());
}
