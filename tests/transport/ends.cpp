// SPDX-License-Identifier: BSL-1.0
// The two ends of a session, over each transport: frames, room, waiting, the end. No client or service above them.
#include <algorithm>
#include <atomic>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <tuple>

#include <qbipc/transport/shm_ring.hpp>
#include <qbipc/transport/unix_socket.hpp>

#include "transport/session.hpp"

namespace {

using namespace qbipc_test;
using qbipc::errc;
using qbipc::Frame;
using qbipc::Interest;
using qbipc::Lane;
using qbipc::Party;

/// Reads come one byte at a time, writes go out in small parts, buffers are the smallest that the kernel makes.
struct StingyKernel : qbipc::LinuxKernel {
    static ssize_t recv(int fd, void* data, std::size_t size, int flags) noexcept {
        return LinuxKernel::recv(fd, data, std::min<std::size_t>(size, 1), flags);
    }
    static ssize_t send(int fd, const void* data, std::size_t size, int flags) noexcept {
        const int smallest = 1;
        LinuxKernel::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &smallest, sizeof smallest);
        return LinuxKernel::send(fd, data, std::min<std::size_t>(size, 1000), flags);
    }
};

using Stingy = qbipc::BasicUnixSocket<qbipc::Adaptive, StingyKernel>;
using Transports = std::tuple<qbipc::ShmRing, qbipc::UnixSocket>;
using Waits = std::tuple<qbipc::BasicShmRing<qbipc::Spin>, qbipc::BasicShmRing<qbipc::Block>, qbipc::ShmRing,
                         qbipc::BasicUnixSocket<qbipc::Spin>, qbipc::BasicUnixSocket<qbipc::Block>, qbipc::UnixSocket>;
using All =
    std::tuple<qbipc::BasicShmRing<qbipc::Spin>, qbipc::BasicShmRing<qbipc::Block>, qbipc::ShmRing,
               qbipc::BasicUnixSocket<qbipc::Spin>, qbipc::BasicUnixSocket<qbipc::Block>, qbipc::UnixSocket, Stingy>;

constexpr auto all_incoming = Lane::responses | Lane::events;

std::vector<std::size_t> sizes_to(std::size_t largest) {
    std::vector<std::size_t> sizes;
    for (std::size_t size = 0; size < 200; ++size) sizes.push_back(size);
    for (std::size_t size = 200; size < largest; size += largest / 53 + 13) sizes.push_back(size);
    for (std::size_t size = largest - 20; size <= largest; ++size) sizes.push_back(size);
    return sizes;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("frames of every size arrive whole and in order, both ways", "[transport]", Transports) {
    Session<TestType> session;
    std::uint32_t number = 0;
    for (const std::size_t size : sizes_to(session.client->max_frame())) {
        ++number;
        CAPTURE(size);
        Frame frame;
        REQUIRE(put(*session.client, Lane::requests, size, number));
        REQUIRE(session.request(frame));
        REQUIRE(is(frame, size, number));
        session.service->release(Lane::requests);
        REQUIRE_FALSE(session.service->peek(Lane::requests, frame));

        for (const Lane lane : {Lane::responses, Lane::events}) {
            REQUIRE(put(*session.service, lane, size, number));
            REQUIRE(session.incoming(lane, frame));
            REQUIRE(is(frame, size, number));
            session.client->release(lane);
        }
    }
    CHECK(session.client->max_frame() == session.service->max_frame());
    CHECK_FALSE(session.client->ended());
}

TEMPLATE_LIST_TEST_CASE("two threads exchange frames, and sleep and wake as they go", "[transport]", All) {
    qbipc::Options wishes;
    wishes.lane_size = 1;  // the smallest
    Session<TestType> session(wishes);
    constexpr std::uint32_t count = std::is_same_v<TestType, Stingy> ? 60 : 3000;
    const std::size_t largest = std::is_same_v<TestType, Stingy> ? 5000 : session.client->max_frame();
    const auto size_of = [&](std::uint32_t i) { return i % 16 == 0 ? largest - i % 7 : i * 37 % 300; };
    std::atomic<bool> good{true};

    // The client sends and takes the answers; the service answers each, and sends an event for every third.
    std::thread client([&] {
        auto& end = *session.client;
        std::uint32_t sent = 0, answers = 0, events = 0;
        while (good && (answers < count || events < count / 3)) {
            Frame frame;
            bool moved = false;
            while (sent < count && put(end, Lane::requests, size_of(sent), sent)) ++sent, moved = true;
            while (end.peek(Lane::responses, frame)) {
                good = good && is(frame, size_of(answers), answers);
                end.release(Lane::responses), ++answers, moved = true;
            }
            while (end.peek(Lane::events, frame)) {
                good = good && is(frame, 8, events);
                end.release(Lane::events), ++events, moved = true;
            }
            if (moved) continue;
            const Interest interest{all_incoming, sent < count ? qbipc::LaneSet(Lane::requests) : qbipc::LaneSet()};
            qbipc::TimeLimit limit = patience;
            if (!end.wait(interest, Party::whole, limit, -1) || end.ended()) good = false;
        }
    });
    std::uint32_t taken = 0, events = 0;
    bool answer_waits = false;
    std::size_t size = 0;
    while (good && (taken < count || answer_waits || events < count / 3)) {
        Frame frame;
        auto& end = *session.service;
        bool moved = false;
        if (events < taken / 3 && put(end, Lane::events, 8, events)) ++events, moved = true;
        if (answer_waits && put(end, Lane::responses, size, taken - 1)) answer_waits = false, moved = true;
        if (!answer_waits && end.peek(Lane::requests, frame)) {
            good = good && is(frame, size_of(taken), taken);
            size = frame.header.size;
            end.release(Lane::requests), ++taken, answer_waits = moved = true;
        }
        if (moved) continue;
        Interest interest;
        if (answer_waits)
            interest.room = Lane::responses;
        else
            interest.frames = Lane::requests;
        if (events < taken / 3) interest.room = interest.room | Lane::events;
        if (!session.serve(interest)) good = false;
    }
    client.join();
    CHECK(good);
    CHECK(taken == count);
    CHECK(events == count / 3);
}

TEMPLATE_LIST_TEST_CASE("a full lane says so and stands in no other lane's way", "[transport]", Transports) {
    Session<TestType> session;
    std::uint32_t events = 0;
    while (put(*session.service, Lane::events, 5000, events)) REQUIRE(++events < 100000);
    CHECK(events > 0);
    CHECK(session.service->refused(Lane::events) == errc::lane_full);

    Frame frame;
    CHECK(put(*session.client, Lane::requests, 100, 1));
    REQUIRE(session.request(frame));
    CHECK(is(frame, 100, 1));
    CHECK(put(*session.service, Lane::responses, 100, 2));
    REQUIRE(session.incoming(Lane::responses, frame));
    CHECK(is(frame, 100, 2));

    // Nothing of it was lost, and then there is room again.
    for (std::uint32_t i = 0; i < events; ++i) {
        REQUIRE(session.incoming(Lane::events, frame));
        REQUIRE(is(frame, 5000, i));
        session.client->release(Lane::events);
    }
    CHECK_FALSE(session.client->peek(Lane::events, frame));
    CHECK(put(*session.service, Lane::events, 5000, 0));
}

TEMPLATE_LIST_TEST_CASE("a cancelled reservation leaves no trace", "[transport]", Transports) {
    Session<TestType> session;
    REQUIRE(session.client->reserve(Lane::requests, 300) != nullptr);
    session.client->cancel(Lane::requests);
    REQUIRE(session.client->reserve(Lane::requests, 30) != nullptr);
    REQUIRE(put(*session.client, Lane::requests, 10, 5));
    Frame frame;
    REQUIRE(session.request(frame));
    CHECK(is(frame, 10, 5));
    session.service->release(Lane::requests);
    CHECK_FALSE(session.service->peek(Lane::requests, frame));
}

TEMPLATE_LIST_TEST_CASE("a frame may be smaller than what was reserved for it", "[transport]", Transports) {
    Session<TestType> session;
    for (std::uint32_t i = 0; i < 3; ++i) {
        std::byte* const to = session.client->reserve(Lane::requests, 4000);
        REQUIRE(to != nullptr);
        std::memset(to, 1, 4000);
        session.client->commit(Lane::requests, {5, qbipc::Kind::call, 0, 0, i, 0});
        Frame frame;
        REQUIRE(session.request(frame));
        CHECK(frame.header.size == 5);
        CHECK(frame.header.id == i);
        session.service->release(Lane::requests);
    }
}

TEMPLATE_LIST_TEST_CASE("a wait ends when its frame comes, for each party", "[transport]", All) {
    const auto party = GENERATE(Party::whole, Party::receiver);
    const auto lane = GENERATE(Lane::responses, Lane::events);
    Session<TestType> session;
    std::atomic<bool> waiting{false};
    auto waited = std::async(std::launch::async, [&] {
        waiting = true;
        Frame frame;
        const bool came = session.incoming(lane, frame, party);
        return came && is(frame, 77, 9);
    });
    while (!waiting) std::this_thread::yield();
    REQUIRE(put(*session.service, lane, 77, 9));
    CHECK(waited.get());
}

TEMPLATE_LIST_TEST_CASE("a wait for room ends when the service has taken frames", "[transport]", Waits) {
    const auto party = GENERATE(Party::whole, Party::sender);
    Session<TestType> session;
    std::uint32_t sent = 0;
    while (put(*session.client, Lane::requests, 9000, sent)) ++sent;
    REQUIRE(session.client->refused(Lane::requests) == errc::lane_full);
    auto waited = std::async(std::launch::async, [&] {
        while (!put(*session.client, Lane::requests, 9000, sent)) {
            if (session.client->refused(Lane::requests) != errc::lane_full) return false;
            if (!session.client->wait({{}, Lane::requests}, party, patience, -1)) return false;
        }
        return true;
    });
    Frame frame;
    for (std::uint32_t i = 0; i <= sent; ++i) {
        REQUIRE(session.request(frame));
        REQUIRE(is(frame, 9000, i));
        session.service->release(Lane::requests);
    }
    CHECK(waited.get());
}

TEMPLATE_LIST_TEST_CASE("a service's loop learns of room once it asks for it", "[transport]", Transports) {
    const auto lane = GENERATE(Lane::responses, Lane::events);
    Session<TestType> session;
    std::uint32_t sent = 0;
    while (put(*session.service, lane, 3000, sent)) ++sent;
    CHECK_FALSE(session.serve({{}, lane}, 0ms));
    Frame frame;
    for (std::uint32_t i = 0; i < sent; ++i) {
        REQUIRE(session.incoming(lane, frame));
        session.client->release(lane);
        session.client->peek(lane, frame);
    }
    // It is told without asking again.
    REQUIRE(readable(session.house.epoll.get(), patience));
    session.service->drain();
    for (int turn = 0; !put(*session.service, lane, 3000, sent); ++turn) {
        REQUIRE(turn < 100);
        REQUIRE(session.serve({{}, lane}));
    }
    // And hears no more of it when it doesn't; but for a bell that was on its way.
    session.serve({Lane::requests, {}}, 0ms);
    CHECK_FALSE(session.serve({Lane::requests, {}}, 0ms));
}

TEMPLATE_LIST_TEST_CASE("a service that doesn't read a session isn't told of its frames", "[transport]", Transports) {
    Session<TestType> session;
    session.service->arm({{}, {}});
    for (std::uint32_t i = 0; i < 5; ++i) REQUIRE(put(*session.client, Lane::requests, 40, i));
    CHECK_FALSE(readable(session.house.epoll.get(), 0ms));
    CHECK(session.serve({Lane::requests, {}}));
    Frame frame;
    REQUIRE(session.request(frame));
    CHECK(is(frame, 40, 0));
}

TEMPLATE_LIST_TEST_CASE("a loop that watches a client's descriptors is told of each frame once armed", "[transport]",
                        Transports) {
    Session<TestType> session;
    const auto descriptors = session.client->descriptors();
    const int fd = *descriptors.begin();
    const auto again = session.client->descriptors();
    CHECK(*again.begin() == fd);
    for (std::uint32_t i = 0; i < 50; ++i) {
        const Lane lane = i % 2 == 0 ? Lane::events : Lane::responses;
        CAPTURE(i);
        session.client->quiet();
        Frame frame;
        REQUIRE_FALSE(session.client->peek(lane, frame));
        REQUIRE(session.client->arm({all_incoming, {}}));
        CHECK_FALSE(readable(fd, 0ms));
        REQUIRE(put(*session.service, lane, 20, i));
        REQUIRE(readable(fd, patience));
        // A call that waits in between takes its own answer, not the loop's bell.
        REQUIRE(put(*session.service, Lane::responses, 30, i));
        REQUIRE(session.incoming(Lane::responses, frame));
        session.client->release(Lane::responses);
        if (lane == Lane::events) CHECK(readable(fd, 0ms));
        session.client->quiet();
        REQUIRE(session.client->peek(lane, frame));
        session.client->release(lane);
        while (session.client->peek(Lane::responses, frame)) session.client->release(Lane::responses);
    }
    // What is there already is said at once.
    REQUIRE(put(*session.service, Lane::events, 20, 1));
    Frame frame;
    REQUIRE(session.incoming(Lane::events, frame));
    CHECK_FALSE(session.client->arm({all_incoming, {}}));
}

TEMPLATE_LIST_TEST_CASE("a wait ends at its limit, or when the alarm is readable", "[transport]", All) {
    Session<TestType> session;
    const auto party = GENERATE(Party::whole, Party::receiver, Party::sender);
    const auto late = session.client->wait({all_incoming, {}}, party, 3ms, -1);
    REQUIRE_FALSE(late);
    CHECK(late.error() == errc::timed_out);
    const auto at_once = session.client->wait({all_incoming, {}}, party, 0ms, -1);
    REQUIRE_FALSE(at_once);
    CHECK(at_once.error() == errc::timed_out);
    const qbipc::detail::Descriptor alarm(::eventfd(1, EFD_CLOEXEC));
    CHECK(session.client->wait({all_incoming, {}}, party, qbipc::forever, alarm.get()));
    CHECK_FALSE(session.client->ended());
}

TEMPLATE_LIST_TEST_CASE("what was sent before the end is delivered, then the end is told", "[transport]", Waits) {
    Session<TestType> session;
    for (std::uint32_t i = 0; i < 20; ++i) {
        REQUIRE(put(*session.client, Lane::requests, 60, i));
        REQUIRE(put(*session.service, Lane::responses, 60, i));
        REQUIRE(put(*session.service, Lane::events, 60, i));
    }
    Frame frame;
    SECTION("the client goes") {
        session.client.reset();
        for (std::uint32_t i = 0; i < 20; ++i) {
            REQUIRE(session.request(frame));
            REQUIRE(is(frame, 60, i));
            session.service->release(Lane::requests);
        }
        CHECK_FALSE(session.request(frame));
        CHECK(session.service->ended() == errc::disconnected);
        CHECK(session.service->said_bye());
        CHECK(session.service->reserve(Lane::events, 1) == nullptr);
        CHECK(session.service->refused(Lane::events) == errc::disconnected);
        // The hang-up isn't announced for ever.
        CHECK_FALSE(readable(session.house.epoll.get(), 0ms));
    }
    SECTION("the service goes") {
        session.service.reset();
        for (const Lane lane : {Lane::responses, Lane::events}) {
            for (std::uint32_t i = 0; i < 20; ++i) {
                REQUIRE(session.incoming(lane, frame));
                REQUIRE(is(frame, 60, i));
                session.client->release(lane);
            }
            CHECK_FALSE(session.incoming(lane, frame));
        }
        CHECK(session.client->ended() == errc::disconnected);
        CHECK(session.client->said_bye());
        CHECK_FALSE(session.client->alive());
        CHECK(session.client->reserve(Lane::requests, 1) == nullptr);
        CHECK(session.client->refused(Lane::requests) == errc::disconnected);
    }
}

TEMPLATE_LIST_TEST_CASE("the peer's end wakes whoever waits, whatever for", "[transport]", Waits) {
    const auto party = GENERATE(Party::whole, Party::receiver, Party::sender);
    Session<TestType> session;
    CHECK(session.client->alive());
    std::atomic<bool> waiting{false};
    auto waited = std::async(std::launch::async, [&] {
        waiting = true;
        const qbipc::LaneSet frames = party == Party::sender ? qbipc::LaneSet() : all_incoming;
        while (!session.client->ended()) {
            Frame frame;
            if (!session.client->wait({frames, {}}, party, patience, -1)) return false;
            if (session.client->peek(Lane::responses, frame)) return false;
        }
        return session.client->ended() == errc::disconnected;
    });
    while (!waiting) std::this_thread::yield();
    SECTION("the service goes") { session.service.reset(); }
    SECTION("another thread disconnects") { session.client->shutdown(); }
    CHECK(waited.get());
}

TEMPLATE_LIST_TEST_CASE("a forked child can neither use nor disturb the connection", "[transport]", Transports) {
    Session<TestType> session;
    REQUIRE(put(*session.service, Lane::events, 9, 1));
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        bool good = true;
        Frame frame;
        good = good && session.client->reserve(Lane::requests, 1) == nullptr;
        good = good && session.client->refused(Lane::requests) == errc::used_after_fork;
        good = good && !session.client->peek(Lane::events, frame) && session.client->ended() == errc::used_after_fork;
        good = good && session.client->wait({all_incoming, {}}, Party::whole, qbipc::forever, -1);
        good = good && !session.client->arm({all_incoming, {}}) && !session.client->alive();
        good = good && session.service->reserve(Lane::events, 1) == nullptr;
        good = good && !session.service->peek(Lane::requests, frame);
        good = good && session.service->ended() == errc::used_after_fork;
        session.service->drain();
        session.client->quiet();
        session.client->shutdown();
        session.client.reset();
        session.service.reset();
        ::_exit(good ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    Frame frame;
    REQUIRE(session.incoming(Lane::events, frame));
    CHECK(is(frame, 9, 1));
    REQUIRE(put(*session.client, Lane::requests, 9, 2));
    REQUIRE(session.request(frame));
    CHECK(is(frame, 9, 2));
    CHECK_FALSE(session.client->ended());
}

TEMPLATE_LIST_TEST_CASE("sizes are negotiated: cut to the service's cap, raised to what it enforces", "[transport]",
                        Transports) {
    House<TestType> house;
    REQUIRE(house.listener);
    qbipc::Options wishes;
    const auto [wanted, cap, least, expected] = GENERATE(table<std::size_t, std::size_t, std::size_t, std::size_t>(
        {{1000, 5000, 0, 1000}, {9000, 5000, 0, 5000}, {1000, 5000, 3000, 3000}, {9000, 5000, 7000, 7000}}));
    wishes.max_message = wanted;
    house.options.max_message = cap;
    house.options.min_message = least;
    auto connected = house.connecting(wishes);
    auto service = house.admitted();
    const auto client = connected.get();
    REQUIRE(client);
    CHECK(client->max_message() == expected);
    CHECK(service.max_message() == expected);
}

TEST_CASE("a lane's size is what both agree about, in ShmRing", "[transport]") {
    House<qbipc::ShmRing> house;
    REQUIRE(house.listener);
    house.options.lane_size = 256 << 10;
    qbipc::Options wishes;
    wishes.lane_size = 100 << 20;
    auto connected = house.connecting(wishes);
    auto service = house.admitted();
    const auto client = connected.get();
    REQUIRE(client);
    CHECK(client->max_frame() == (64 << 10) - 16);
    CHECK(service.max_frame() == client->max_frame());
}

TEMPLATE_LIST_TEST_CASE("both ends can be moved, and assigned", "[transport]", Transports) {
    Session<TestType> one, two;
    REQUIRE(put(*one.client, Lane::requests, 5, 1));
    auto moved = std::move(*one.client);
    two.client = std::move(moved);  // the second session's client says bye
    Frame frame;
    CHECK_FALSE(two.request(frame));
    CHECK(two.service->said_bye());
    auto service = std::move(*one.service);
    one.service.emplace(std::move(service));
    REQUIRE(one.request(frame));
    CHECK(is(frame, 5, 1));
    REQUIRE(put(*two.client, Lane::requests, 6, 2));
    one.service->release(Lane::requests);
    REQUIRE(one.request(frame));
    CHECK(is(frame, 6, 2));
}

// ---- the service against a client that is played by hand

namespace {

/// A client's side of the handshake, step by step, without the library's.
class ByHand {
public:
    explicit ByHand(const std::string& name) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        const auto address = qbipc::detail::SocketAddress::abstract(name);
        REQUIRE(address);
        REQUIRE(::connect(socket_.get(), address->get(), address->size()) == 0);
    }
    void send(const void* data, std::size_t size) {
        REQUIRE(::send(socket_.get(), data, size, MSG_NOSIGNAL) == static_cast<ssize_t>(size));
    }
    void send_byte(int value) {
        const auto byte = static_cast<unsigned char>(value);
        send(&byte, 1);
    }
    /// The reply's bytes; what comes with them is kept in `descriptors`.
    qbipc::detail::HandshakeBytes reply() {
        qbipc::detail::HandshakeBytes bytes{};
        iovec part{bytes.data(), bytes.size()};
        alignas(cmsghdr) std::array<std::byte, 256> control{};
        msghdr message{};
        message.msg_iov = &part, message.msg_iovlen = 1;
        message.msg_control = control.data(), message.msg_controllen = control.size();
        REQUIRE(::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC) == static_cast<ssize_t>(bytes.size()));
        qbipc::detail::take_descriptors(message, descriptors, 0);
        return bytes;
    }
    std::array<qbipc::detail::Descriptor, 3> descriptors;

    bool hung_up() {
        char byte;
        REQUIRE(readable(socket_.get(), patience));
        return ::recv(socket_.get(), &byte, 1, MSG_DONTWAIT) <= 0;
    }
    void close() { socket_.reset(); }

private:
    qbipc::detail::Descriptor socket_;
};

template <class T>
constexpr auto id_of = std::is_same_v<T, qbipc::UnixSocket> ? qbipc::detail::TransportId::unix_socket
                                                            : qbipc::detail::TransportId::shm_ring;

template <class T>
qbipc::detail::Hello own_hello() {
    return qbipc::detail::hello_for(id_of<T>, qbipc::Options{});
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a hello that comes byte by byte is as good as another", "[transport]", Transports) {
    House<TestType> house;
    REQUIRE(house.listener);
    ByHand client(house.name);
    auto guest = house.visitor();
    CHECK(guest.peer().uid == ::geteuid());
    REQUIRE(guest.attach(house.epoll.get(), 5));
    const auto bytes = encode(own_hello<TestType>());
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const auto heard = guest.hello();
        REQUIRE(heard);
        REQUIRE_FALSE(*heard);
        client.send(&bytes[i], 1);
        REQUIRE(readable(house.epoll.get(), patience));
    }
    const auto heard = guest.hello();
    REQUIRE(heard);
    CHECK(*heard);
    CHECK(guest.admit(house.options));
}

TEMPLATE_LIST_TEST_CASE("a session is half-open until the ack, and whatever else comes first ends it", "[transport]",
                        Transports) {
    House<TestType> house;
    REQUIRE(house.listener);
    ByHand client(house.name);
    const auto bytes = encode(own_hello<TestType>());
    client.send(bytes.data(), bytes.size());
    auto end = house.admitted();
    const auto reply = qbipc::detail::check_reply(client.reply(), own_hello<TestType>().speaker);
    REQUIRE(reply);
    CHECK_FALSE(end.established());
    end.drain();
    CHECK_FALSE(end.established());
    CHECK_FALSE(end.ended());
    SECTION("the ack") {
        client.send_byte(1);
        REQUIRE(readable(house.epoll.get(), patience));
        end.drain();
        CHECK(end.established());
        CHECK_FALSE(end.ended());
    }
    SECTION("a bell, or what would be a frame") {
        client.send_byte(0);
        REQUIRE(readable(house.epoll.get(), patience));
        end.drain();
        CHECK_FALSE(end.established());
        CHECK(end.ended() == errc::protocol_violation);
    }
    SECTION("an ack behind it") {
        // As much as is heard at once.
        const auto said = std::string(std::is_same_v<TestType, qbipc::ShmRing> ? 512 : 1, '\3') + '\1';
        client.send(said.data(), said.size());
        REQUIRE(readable(house.epoll.get(), patience));
        for (int again = 0; again < 3; ++again) end.drain();
        CHECK_FALSE(end.established());
        CHECK(end.ended() == errc::protocol_violation);
    }
    SECTION("the end of E alone, which keeps nobody awake, and is known behind the ack") {
        client.descriptors[0].reset();
        if (readable(house.epoll.get(), 0ms)) end.drain();
        const auto announced = [&] {
            epoll_event event{};
            return ::epoll_wait(house.epoll.get(), &event, 1, 0) == 1;
        };
        for (int again = 0; again < 3 && announced(); ++again) end.drain();
        CHECK_FALSE(announced());
        CHECK_FALSE(end.ended());
        client.send_byte(1);
        REQUIRE(readable(house.epoll.get(), patience));
        end.drain();
        CHECK(end.established());
        if (std::is_same_v<TestType, qbipc::UnixSocket>) {
            if (!end.ended()) {
                end.arm({});
                REQUIRE(readable(house.epoll.get(), patience));
                end.drain();
            }
            CHECK(end.ended() == errc::disconnected);
        }
        return;
    }
    SECTION("the end") {
        client.close();
        REQUIRE(readable(house.epoll.get(), patience));
        end.drain();
        CHECK_FALSE(end.established());
        CHECK(end.ended() == errc::disconnected);
    }
    if (end.ended()) CHECK_FALSE(readable(house.epoll.get(), 0ms));
}

TEMPLATE_LIST_TEST_CASE("a client that vanishes is told from one that says bye", "[transport]", Transports) {
    House<TestType> house;
    REQUIRE(house.listener);
    ByHand client(house.name);
    const auto bytes = encode(own_hello<TestType>());
    client.send(bytes.data(), bytes.size());
    auto end = house.admitted();
    client.reply();
    client.send_byte(1);
    client.close();
    Frame frame;
    for (int turn = 0; !end.ended(); ++turn) {
        REQUIRE(turn < 10);
        REQUIRE(readable(house.epoll.get(), patience));
        end.drain();
        CHECK_FALSE(end.peek(Lane::requests, frame));
    }
    CHECK(end.ended() == errc::disconnected);
    CHECK_FALSE(end.said_bye());
}

TEST_CASE("bytes on a session's socket that mean nothing are a violation, in ShmRing", "[transport]") {
    const int byte = GENERATE(1, 3, 4, 128, 255);
    House<qbipc::ShmRing> house;
    REQUIRE(house.listener);
    ByHand client(house.name);
    const auto bytes = encode(own_hello<qbipc::ShmRing>());
    client.send(bytes.data(), bytes.size());
    auto end = house.admitted();
    client.reply();
    client.send_byte(1);
    client.send_byte(0);
    client.send_byte(byte);
    for (int turn = 0; !end.ended(); ++turn) {
        REQUIRE(turn < 10);
        REQUIRE(readable(house.epoll.get(), patience));
        end.drain();
    }
    CHECK(end.ended() == errc::protocol_violation);
    CHECK(client.hung_up());
}

TEST_CASE("a frame header out of bounds is a violation, in UnixSocket", "[transport]") {
    const auto word = GENERATE(std::uint64_t{0},                   // no kind
                               std::uint64_t{1} << 32 | 65537,     // larger than any frame
                               std::uint64_t{1} << 32 | 1u << 24,  // a reserved bit
                               std::uint64_t{8} << 32);            // wrap, which is ShmRing's
    House<qbipc::UnixSocket> house;
    REQUIRE(house.listener);
    ByHand client(house.name);
    const auto bytes = encode(own_hello<qbipc::UnixSocket>());
    client.send(bytes.data(), bytes.size());
    auto end = house.admitted();
    client.reply();
    client.send_byte(1);
    const std::uint64_t words[2] = {word, 0};
    client.send(words, sizeof words);
    Frame frame;
    for (int turn = 0; !end.ended(); ++turn) {
        REQUIRE(turn < 10);
        REQUIRE(readable(house.epoll.get(), patience));
        end.drain();
        CHECK_FALSE(end.peek(Lane::requests, frame));
    }
    CHECK(end.ended() == errc::protocol_violation);
    CHECK_FALSE(readable(house.epoll.get(), 0ms));
}

TEMPLATE_LIST_TEST_CASE("a client of the other transport is refused by name, on both sides", "[transport]",
                        Transports) {
    using Other = std::conditional_t<std::is_same_v<TestType, qbipc::ShmRing>, qbipc::UnixSocket, qbipc::ShmRing>;
    House<TestType> house;
    REQUIRE(house.listener);
    auto connected = std::async(std::launch::async, [&] { return Other::connect(house.name, {}, patience, anybody); });
    auto guest = house.visitor();
    REQUIRE(guest.attach(house.epoll.get(), 5));
    auto heard = guest.hello();
    while (heard && !*heard) {
        REQUIRE(readable(house.epoll.get(), patience));
        heard = guest.hello();
    }
    REQUIRE_FALSE(heard);
    CHECK(heard.error() == errc::incompatible);
    const auto client = connected.get();
    REQUIRE_FALSE(client);
    CHECK(client.error() == errc::incompatible);
    const std::string ours = std::is_same_v<Other, qbipc::ShmRing> ? "ShmRing" : "UnixSocket";
    CHECK(client.error().message().find("this side speaks " + ours) != std::string::npos);
}

TEMPLATE_LIST_TEST_CASE("a refusal reaches the client, before and after his hello", "[transport]", Transports) {
    House<TestType> house;
    REQUIRE(house.listener);
    const bool early = GENERATE(true, false);
    const std::error_code why =
        GENERATE(std::error_code(errc::too_many_sessions), std::error_code(77, qbipc::application_category()));
    auto connected = house.connecting();
    {
        auto guest = house.visitor();
        if (!early) House<TestType>::read_hello(guest, house.epoll.get());
        guest.refuse(why);
    }
    const auto client = connected.get();
    REQUIRE_FALSE(client);
    CHECK(client.error() == why);
    CHECK_FALSE(readable(house.epoll.get(), 0ms));
}

TEMPLATE_LIST_TEST_CASE("a service that doesn't please the client's policy hears nothing from it", "[transport]",
                        Transports) {
    House<TestType> house;
    REQUIRE(house.listener);
    auto connected = std::async(std::launch::async, [&] {
        const auto nobody = [](const qbipc::Credentials&) { return make_error_code(errc::wrong_service); };
        return TestType::connect(house.name, {}, patience, nobody);
    });
    auto guest = house.visitor();
    const auto client = connected.get();
    REQUIRE_FALSE(client);
    CHECK(client.error() == errc::wrong_service);
    const auto heard = guest.hello();
    REQUIRE_FALSE(heard);
    CHECK(heard.error() == errc::disconnected);
}

TEMPLATE_LIST_TEST_CASE("a service that never answers is given up at the deadline", "[transport]", Transports) {
    House<TestType> house;
    REQUIRE(house.listener);
    const auto client = TestType::connect(house.name, {}, 10ms, anybody);
    REQUIRE_FALSE(client);
    CHECK(client.error() == errc::timed_out);
}

TEST_CASE("nobody can write a service's area, or resize either, once the session is open", "[transport]") {
    House<qbipc::ShmRing> house;
    REQUIRE(house.listener);
    ByHand client(house.name);
    const auto bytes = encode(own_hello<qbipc::ShmRing>());
    client.send(bytes.data(), bytes.size());
    auto end = house.admitted();
    client.reply();
    const int service_area = client.descriptors[1].get(), client_area = client.descriptors[2].get();
    CHECK(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, service_area, 0) == MAP_FAILED);
    CHECK(::ftruncate(service_area, 0) < 0);
    CHECK(::ftruncate(client_area, 0) < 0);
    CHECK(::fallocate(service_area, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) < 0);
    void* const mine = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, client_area, 0);
    REQUIRE(mine != MAP_FAILED);
    client.send_byte(1);
    while (!end.established()) end.drain();
    CHECK(::fallocate(client_area, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) < 0);
    CHECK(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, client_area, 0) == MAP_FAILED);
    ::munmap(mine, 4096);
}
