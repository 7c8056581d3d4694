// SPDX-License-Identifier: BSL-1.0
// Strangers at the door: other versions, other machines, silent ones, slow ones, noisy ones; spoken by hand.
#include <future>

#include "process/peers.hpp"
#include "process/raw.hpp"

using namespace qbipc;
using namespace qbipc::testing;
using qbipc::detail::HandshakeBytes;
using qbipc::detail::Speaker;
using qbipc::detail::TransportId;

namespace {

/// Ways to differ, and what the error says of both sides. `theirs`: the stranger's.
struct Difference {
    const char* what;
    void (*apply)(Speaker&);
    const char* ours;
    const char* theirs;
};

const Difference differences[] = {
    {"version", [](Speaker& speaker) { speaker.version = 77; }, "1", "77"},
    {"word size", [](Speaker& speaker) { speaker.word_bits = 32; }, "64-bit", "32-bit"},
    {"byte order", [](Speaker& speaker) { speaker.byte_order = 2; }, "little-endian", "big-endian"},
    {"cache line", [](Speaker& speaker) { speaker.line_size = 128; }, "64", "128"},
    {"transport", [](Speaker& speaker) { speaker.transport = static_cast<TransportId>(9); }, "", "transport 9"},
};

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

template <class T>
RawPeer open_session(const std::string& name) {
    auto raw = RawPeer::connect(name);
    REQUIRE(raw);
    REQUIRE(raw.shake_hands(id_of<T>()));
    CHECK(raw.descriptors() == (std::is_same_v<T, ShmRing> ? 3u : 1u));
    return raw;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a client that differs is told so, with both sides named", "[process]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    for (const auto& difference : differences) {
        INFO(difference.what);
        detail::Hello hello;
        hello.speaker.transport = id_of<TestType>();
        difference.apply(hello.speaker);
        auto raw = RawPeer::connect(service.name);
        REQUIRE(raw);
        REQUIRE(raw.send(detail::encode(hello)));
        const auto reply = raw.read_reply(hello.speaker);
        REQUIRE_FALSE(reply);
        CHECK(reply.error() == errc::incompatible);
        INFO(reply.error().message());
        CHECK(mentions(reply.error().message(), difference.ours));
        CHECK(mentions(reply.error().message(), difference.theirs));
        CHECK(raw.hung_up());
    }
    auto client = Client<TestType>::connect(service.name, patience);
    REQUIRE(client);
    CHECK(client->call(Add{1, 0}, patience));
    CHECK(service.status()["refused"] == 5);
}

TEMPLATE_LIST_TEST_CASE("a service that differs is refused by name, whatever it says", "[process]", Transports) {
    for (const auto& difference : differences) {
        INFO(difference.what);
        const auto name = unique_name();
        auto house = RawPeer::listen(name);
        REQUIRE(house);
        auto connecting =
            std::async(std::launch::async, [&] { return error_of(Client<TestType>::connect(name, patience)); });
        auto visitor = house.accept();
        REQUIRE(visitor.read_block());
        detail::Reply reply;
        reply.speaker.transport = id_of<TestType>();
        difference.apply(reply.speaker);
        reply.status = detail::Status::ok;
        REQUIRE(visitor.send(detail::encode(reply)));
        const auto error = connecting.get();
        INFO(error.message());
        CHECK(error == errc::incompatible);
        CHECK(mentions(error.message(), difference.ours));
        CHECK(mentions(error.message(), difference.theirs));
    }
}

TEST_CASE("a client of another transport is told which one the service speaks", "[process]") {
    ServicePeer<UnixSocket> service;
    REQUIRE(service.ready());
    const auto error = error_of(Client<ShmRing>::connect(service.name, patience));
    CHECK(error == errc::incompatible);
    CHECK(mentions(error.message(), "ShmRing"));
    CHECK(mentions(error.message(), "UnixSocket"));
}

TEMPLATE_LIST_TEST_CASE("what isn't a handshake is a violation, on both sides", "[process]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    auto raw = RawPeer::connect(service.name);
    REQUIRE(raw.send(HandshakeBytes{}));
    Speaker speaker;
    speaker.transport = id_of<TestType>();
    CHECK(error_of(raw.read_reply(speaker)) == errc::protocol_violation);
    CHECK(raw.hung_up());

    const auto name = unique_name();
    auto house = RawPeer::listen(name);
    auto connecting =
        std::async(std::launch::async, [&] { return error_of(Client<TestType>::connect(name, patience)); });
    auto visitor = house.accept();
    REQUIRE(visitor.read_block());
    REQUIRE(visitor.send(HandshakeBytes{}));
    CHECK(connecting.get() == errc::protocol_violation);
}

TEMPLATE_LIST_TEST_CASE(
    "a service that hangs up without a word, or says nothing, costs its client no more than the deadline", "[process]",
    Transports) {
    const auto name = unique_name();
    auto house = RawPeer::listen(name);
    REQUIRE(house);
    auto connecting =
        std::async(std::launch::async, [&] { return error_of(Client<TestType>::connect(name, patience)); });
    auto visitor = house.accept();
    REQUIRE(visitor.read_block());
    visitor.close();
    CHECK(connecting.get() == errc::disconnected);
    CHECK(error_of(Client<TestType>::connect(name, 100ms)) == errc::timed_out);
}

TEMPLATE_LIST_TEST_CASE("hello and reply may come byte by byte", "[process]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    detail::Hello hello;
    hello.speaker.transport = id_of<TestType>();
    hello.max_message = 1 << 16;
    hello.lane_size = 1 << 20;
    auto raw = RawPeer::connect(service.name);
    REQUIRE(raw);
    std::size_t said = 0;
    for (const auto byte : detail::encode(hello)) {
        REQUIRE(raw.send({&byte, 1}));
        if (++said == 1) REQUIRE(service.comes_to("half_open", 1));  // so that it hears of the rest by and by
        if (said == 128) std::this_thread::sleep_for(20ms);
    }
    const auto reply = raw.read_reply(hello.speaker);
    REQUIRE(reply);
    CHECK(reply->max_message == 1 << 16);
    REQUIRE(raw.send_byte(1));
    CHECK(service.comes_to("sessions", 1));
    raw.close();
    CHECK(service.comes_to("lost", 1));

    const auto name = unique_name();
    auto house = RawPeer::listen(name);
    auto connecting =
        std::async(std::launch::async, [&] { return error_of(Client<TestType>::connect(name, patience)); });
    auto visitor = house.accept();
    REQUIRE(visitor.read_block());
    for (const auto byte : detail::encode(detail::refusal(hello.speaker, make_error_code(errc::not_permitted)))) {
        REQUIRE(visitor.send({&byte, 1}));
        std::this_thread::yield();
    }
    CHECK(connecting.get() == errc::not_permitted);
}

TEMPLATE_LIST_TEST_CASE("silent visitors hold their places only for a time, and honest ones get through", "[process]",
                        Transports) {
    // At the limit that the handshake takes here, all of the 64 places are taken by one user.
    ServicePeer<TestType> service({"handshake=2000", "half_open_per_user=64"});
    REQUIRE(service.ready());
    const auto before = service.status();
    std::vector<RawPeer> silent;
    for (int i = 0; i < 64; ++i) {
        silent.push_back(RawPeer::connect(service.name));
        REQUIRE(silent.back());
        if (i % 2 == 1) (void)silent.back().send_byte(0x71);  // one byte of hello is as good as none
        if (i % 8 == 7) (void)silent.back().send(std::array<std::byte, 200>{});
    }
    auto client = Client<TestType>::connect(service.name, patience);
    REQUIRE(client);
    CHECK(client->call(Add{1, 0}, patience));
    Speaker speaker;
    speaker.transport = id_of<TestType>();
    for (auto& one : silent) {
        CHECK(error_of(one.read_reply(speaker)) == errc::timed_out);
        CHECK(one.hung_up());
    }
    CHECK(service.comes_to("half_open", 0));
    client->disconnect();
    CHECK(service.comes_to("sessions", 0));
    CHECK(service.status()["fds"] == before.at("fds"));
}

TEMPLATE_LIST_TEST_CASE("who has taken a step of his handshake isn't refused where the service is late", "[process]",
                        Transports) {
    // Before the limit, or after it: the service hears of it behind its timer then.
    const bool in_time = GENERATE(true, false);
    constexpr int crowd = 70;  // more than are heard of at once
    ServiceOptions options;
    options.limits.handshake = 2s;
    options.limits.half_open = options.limits.half_open_per_user = 1000;
    detail::Hello hello;
    hello.speaker.transport = id_of<TestType>();
    hello.lane_size = hello.max_message = 1 << 16;
    std::vector<std::byte> hello_and_ack(sizeof(HandshakeBytes) + 1, std::byte{1});
    std::ranges::copy(detail::encode(hello), hello_and_ack.begin());
    const auto is_admitted = [&](RawPeer& visitor) { return visitor.read_reply(hello.speaker).has_value(); };

    // All is to have begun before the limit: where this machine stood still meanwhile, again.
    REQUIRE(eventually([&] {
        const auto limit = std::chrono::steady_clock::now() + options.limits.handshake;
        const auto too_late = [&] { return std::chrono::steady_clock::now() >= limit; };
        const auto name = unique_name();
        auto service = listen<TestType>(name, routes(on<Clear>([](const Clear&) {})), same_user_or_root, options);
        REQUIRE(service);
        const auto turn_until = [&](auto&& done) {
            return eventually([&] {
                REQUIRE(service->dispatch());
                return done(service->statistics());
            });
        };
        std::vector<RawPeer> confirming, speaking, silent;
        for (auto* const visitors : {&confirming, &speaking, &silent})
            for (int i = 0; i < (visitors == &silent ? 3 : crowd); ++i)
                REQUIRE(visitors->emplace_back(RawPeer::connect(name)));
        for (auto& visitor : confirming) REQUIRE(visitor.say_hello(id_of<TestType>()));
        REQUIRE(turn_until([&](const auto& now) {
            return too_late() || (now.half_open == 2 * crowd + 3 && confirming.back().readable(0ms));
        }));
        if (too_late()) return false;
        for (auto& visitor : confirming) REQUIRE(is_admitted(visitor));

        const auto later = std::chrono::steady_clock::now() + options.limits.handshake + 100ms;
        if (!in_time) std::this_thread::sleep_until(later);
        for (auto& visitor : confirming) REQUIRE(visitor.send_byte(1));
        for (auto& visitor : speaking) REQUIRE(visitor.send(hello_and_ack));
        std::this_thread::sleep_until(later);

        REQUIRE(turn_until([](const auto& now) { return now.half_open == 0; }));
        CHECK(service->statistics().sessions == 2 * crowd);
        CHECK(service->statistics().accepted == 2 * crowd);
        for (auto& visitor : speaking) CHECK(is_admitted(visitor));
        for (auto& visitor : silent) CHECK(error_of(visitor.read_reply(hello.speaker)) == errc::timed_out);
        return true;
    }));
}

TEMPLATE_LIST_TEST_CASE("one who never speaks, or never confirms, is not a session, and is dropped in time",
                        "[process]", Transports) {
    ServicePeer<TestType> service({"handshake=2000"});
    REQUIRE(service.ready());
    const auto before = service.status();
    Speaker speaker;
    speaker.transport = id_of<TestType>();
    // Nobody but the timer wakes the service for him.
    auto silent = RawPeer::connect(service.name);
    REQUIRE(silent);
    CHECK(error_of(silent.read_reply(speaker)) == errc::timed_out);
    CHECK(silent.hung_up());
    auto raw = RawPeer::connect(service.name);
    REQUIRE(raw);
    REQUIRE(raw.say_hello(id_of<TestType>()));
    REQUIRE(raw.read_reply(speaker));
    CHECK(raw.hung_up());
    const auto after = service.status();
    CHECK(after.at("connects") == 0);
    CHECK(after.at("disconnects") == 0);
    CHECK(after.at("half_open") == 0);
    CHECK(after.at("fds") == before.at("fds"));
    CHECK(after.at("maps") == 0);
}

TEST_CASE("400 clients of one user that don't take their replies keep no other user out", "[process][root]") {
    if (!is_root()) return;
    // Few descriptors, and not root: the kernel counts those on their way against the service's user [PROTOCOL P14].
    ServicePeer<ShmRing> service({"user=2001", "auth=anyone", "nofile=1024"});
    REQUIRE(service.ready());
    Child mute("peer", {"mute", "400", service.name, "user=2002"});
    REQUIRE(mute.line() == "mute");
    for (int i = 0; i < 50; ++i) {
        auto client = Client<ShmRing>::connect(service.name, patience, anyone);
        REQUIRE(client);
        REQUIRE(client->call(Add{1, 0}, patience));
    }
    CHECK(ClientPeer<ShmRing>(service.name, {"user=2003", "auth=anyone"}).connected());
    // His own others have to wait: the places of his user are taken. The last one's confirmation may be on its way.
    CHECK(service.comes_to("half_open", 16));
    mute.close_input();
    CHECK(exited_well(mute.wait()));
    CHECK(service.comes_to("half_open", 0));
    CHECK(ClientPeer<ShmRing>(service.name, {"user=2002", "auth=anyone"}).connected());
}

TEST_CASE("a flood of bells neither keeps a service from others nor leaves it spinning", "[process]") {
    ServicePeer<ShmRing> service;
    REQUIRE(service.ready());
    auto stranger = open_session<ShmRing>(service.name);
    auto client = Client<ShmRing>::connect(service.name, patience);
    REQUIRE(client);
    std::atomic<bool> enough = false;
    std::atomic<std::uint64_t> sent = 0;
    auto flooding = std::async(std::launch::async, [&] {
        const std::array<std::byte, 512> bells{};
        while (!enough) {
            sent += ::send(stranger.fd(), bells.data(), bells.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
            sent += ::send(stranger.event_socket(), bells.data(), bells.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
        }
    });
    REQUIRE(eventually([&] { return sent > 0; }));
    for (int i = 1; i <= 2'000; ++i) {
        const auto sum = client->call(Add{1, 0}, patience);
        REQUIRE(sum);
        REQUIRE(sum->value == i);
    }
    enough = true;
    flooding.get();
    CHECK(service.status()["sessions"] == 2);  // noise isn't a crime
    // Once it has heard the last of it, it sleeps: what wakes it now is this test.
    REQUIRE(service.comes_to("sessions", 2));
    const auto before = service.status()["sleeps"];
    std::this_thread::sleep_for(300ms);
    CHECK(service.status()["sleeps"] - before <= 5);
    CHECK(client->call(Add{1, 0}, patience));
}

TEMPLATE_LIST_TEST_CASE("bytes that no client sends end that session, and no other", "[process]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    auto client = Client<TestType>::connect(service.name, patience);
    REQUIRE(client);
    long long sessions = 1;
    for (const unsigned byte : {1u, 3u, 77u, 255u}) {
        auto stranger = open_session<TestType>(service.name);
        REQUIRE(service.comes_to("accepted", ++sessions));
        const std::vector<std::byte> noise(1024, static_cast<std::byte>(byte));
        REQUIRE(stranger.send(noise));
        CHECK(stranger.hung_up());
    }
    CHECK(service.comes_to("violation", 4));
    CHECK(client->call(Add{1, 0}, patience));
    CHECK(service.status()["sessions"] == 1);
}

TEMPLATE_LIST_TEST_CASE("nobody can put a descriptor into a service's queue, where the kernel knows how", "[process]",
                        Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    const auto put_a_descriptor = [](const RawPeer& raw) {
        std::byte byte{};
        iovec part{&byte, 1};
        alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        auto* const rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        const int fd = raw.fd();  // itself: it would keep itself open
        std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
        return ::sendmsg(raw.fd(), &message, MSG_NOSIGNAL) < 0 ? errno : 0;
    };
    auto raw = RawPeer::connect(service.name);
    REQUIRE(raw);
    int passes = 1;
    socklen_t size = sizeof passes;
    if (::getsockopt(raw.fd(), SOL_SOCKET, detail::so_passrights, &passes, &size) != 0) {
        WARN("not tested: this kernel has no SO_PASSRIGHTS");
        return;
    }
    CHECK(put_a_descriptor(raw) == EPERM);
    REQUIRE(raw.shake_hands(id_of<TestType>()));
    CHECK(put_a_descriptor(raw) == EPERM);
    CHECK(service.comes_to("sessions", 1));
}

TEST_CASE("a client that seals nothing can't punch holes into its area once it is let in", "[process]") {
    ServicePeer<ShmRing> service;
    REQUIRE(service.ready());
    auto raw = RawPeer::connect(service.name);
    REQUIRE(raw.say_hello(detail::TransportId::shm_ring));
    detail::Speaker speaker;
    speaker.transport = detail::TransportId::shm_ring;
    REQUIRE(raw.read_reply(speaker));
    const auto punch = [&] {
        return ::fallocate(raw.client_area(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 2 * 4096) == 0;
    };
    CHECK(punch());
    REQUIRE(raw.send_byte(1));
    REQUIRE(service.comes_to("connects", 1));
    CHECK_FALSE(punch());
    CHECK(errno == EPERM);
}
