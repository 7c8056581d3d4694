// SPDX-License-Identifier: BSL-1.0
// What both sides ask of their sockets: no call waits for the peer, no peer's end is a signal, and each end is noticed.
#include <atomic>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <optional>
#include <sys/time.h>

#include <qbipc/detail/frame_sender.hpp>
#include <qbipc/detail/names.hpp>
#include <qbipc/transport/shm_ring.hpp>
#include <qbipc/transport/unix_socket.hpp>

#include "transport/session.hpp"

namespace {

using namespace qbipc_test;
using qbipc::errc;
using qbipc::Lane;

/// Sockets as they are once somebody who shares them has cleared O_NONBLOCK, which is the open description's and not a
/// descriptor's: a forked child may. And where `full` is set, their peers read nothing. No wait is for ever here, so
/// that a test that fails ends too.
struct WaitingKernel : qbipc::LinuxKernel {
    static constexpr timeval long_wait{6, 0};
    static inline std::atomic<bool> full = false;
    static inline std::atomic<int> calls = 0;
    static inline std::atomic<std::chrono::nanoseconds::rep> longest = 0;
    static void begin() { full = false, calls = 0, longest = 0; }

    static ssize_t send(int fd, const void* data, std::size_t size, int flags) noexcept {
        if (full) fill(fd);
        return timed(fd, [&] { return LinuxKernel::send(fd, data, size, flags); });
    }
    static ssize_t recv(int fd, void* data, std::size_t size, int flags) noexcept {
        return timed(fd, [&] { return LinuxKernel::recv(fd, data, size, flags); });
    }
    static ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept {
        if (full) fill(fd);
        return timed(fd, [&] { return LinuxKernel::sendmsg(fd, message, flags); });
    }
    static ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept {
        return timed(fd, [&] { return LinuxKernel::recvmsg(fd, message, flags); });
    }

private:
    static void fill(int fd) noexcept {
        const std::array<std::byte, 4096> nothing{};
        for (std::size_t size = nothing.size(); size > 0;)
            if (LinuxKernel::send(fd, nothing.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL) <= 0) size /= 2;
    }
    template <class Call>
    static ssize_t timed(int fd, Call call) noexcept {
        LinuxKernel::fcntl(fd, F_SETFL, 0);
        for (const int option : {SO_SNDTIMEO, SO_RCVTIMEO})
            LinuxKernel::setsockopt(fd, SOL_SOCKET, option, &long_wait, sizeof long_wait);
        const auto start = std::chrono::steady_clock::now();
        const auto result = call();
        const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - start;
        auto before = longest.load();
        while (before < took.count() && !longest.compare_exchange_weak(before, took.count())) {
        }
        ++calls;
        return result;
    }
};

using Waiting =
    std::tuple<qbipc::BasicShmRing<qbipc::Block, WaitingKernel>, qbipc::BasicUnixSocket<qbipc::Block, WaitingKernel>>;
using Transports = std::tuple<qbipc::ShmRing, qbipc::UnixSocket>;

/// Nobody reads what is sent, or ever will, where `gone` is set; the sender learns it as he sends.
struct ForsakenKernel : qbipc::LinuxKernel {
    static inline std::atomic<bool> gone = false, after_the_reply = false;
    static inline std::atomic<int> calls = 0;
    static void begin(bool from_the_start) { gone = from_the_start, after_the_reply = false, calls = 0; }

    static ssize_t send(int fd, const void* data, std::size_t size, int flags) noexcept {
        forsake(fd);
        return LinuxKernel::send(fd, data, size, flags);
    }
    static ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept {
        if (after_the_reply)
            gone = true;  // for what the client sends then
        else
            forsake(fd);
        return LinuxKernel::sendmsg(fd, message, flags);
    }

private:
    static void forsake(int fd) noexcept {
        if (!gone) return;
        LinuxKernel::shutdown(fd, SHUT_WR);
        ++calls;
    }
};

using Forsaken =
    std::tuple<qbipc::BasicShmRing<qbipc::Block, ForsakenKernel>, qbipc::BasicUnixSocket<qbipc::Block, ForsakenKernel>>;

/// Keeps SIGPIPE from ending this thread, and says whether it was raised.
class PipeSignal {
public:
    PipeSignal() {
        ::sigemptyset(&pipe_);
        ::sigaddset(&pipe_, SIGPIPE);
        ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    }
    PipeSignal(const PipeSignal&) = delete;
    PipeSignal& operator=(const PipeSignal&) = delete;
    ~PipeSignal() {
        (void)raised();
        ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
    bool raised() const {
        const timespec at_once{};
        return ::sigtimedwait(&pipe_, nullptr, &at_once) == SIGPIPE;
    }

private:
    sigset_t pipe_, before_;
};

/// A visitor without the library.
qbipc::detail::Descriptor knock(const std::string& name) {
    qbipc::detail::Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto address = qbipc::detail::SocketAddress::abstract(name);
    REQUIRE(address);
    REQUIRE(::connect(socket.get(), address->get(), address->size()) == 0);
    return socket;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("no call waits for a peer, though somebody has made its socket wait", "[transport][sockets]",
                        Waiting) {
    WaitingKernel::begin();
    {
        Session<TestType> session;
        const auto loop = [&] { return session.client->arm({Lane::responses | Lane::events, {}}); };
        qbipc::Frame frame;
        // With nothing to read: none of these finds out by waiting.
        session.service->drain();
        CHECK_FALSE(session.client->peek(Lane::events, frame));
        CHECK_FALSE(session.service->peek(Lane::requests, frame));
        session.client->quiet();
        CHECK(loop());
        REQUIRE(put(*session.service, Lane::events, 100, 1));
        REQUIRE(session.incoming(Lane::events, frame));
        session.client->release(Lane::events);
        // And with nobody who reads: what has no room doesn't wait for it.
        REQUIRE(session.serve({Lane::requests, {}}, std::chrono::milliseconds(0)) == false);
        session.client->quiet();
        REQUIRE(loop());
        WaitingKernel::full = true;
        REQUIRE(put(*session.service, Lane::events, 100, 2));
        REQUIRE(put(*session.client, Lane::requests, 100, 3));
        REQUIRE(put(*session.service, Lane::responses, 100, 4));
        session.service->shutdown();
        session.client->shutdown();
    }
    {
        House<TestType> house;
        REQUIRE(house.listener);
        const auto visitor = knock(house.name);
        house.visitor().refuse(make_error_code(errc::not_permitted));
    }
    CHECK(WaitingKernel::calls > 10);
    CHECK(WaitingKernel::longest < std::chrono::nanoseconds(std::chrono::seconds(4)).count());
    WaitingKernel::full = false;
}

TEMPLATE_LIST_TEST_CASE("a peer that is gone is an error for whoever sends to it, never a signal",
                        "[transport][sockets]", Forsaken) {
    const PipeSignal signal;
    SECTION("frames, or bells for them") {
        const auto lane = GENERATE(Lane::events, Lane::responses);
        ForsakenKernel::begin(false);
        Session<TestType> session;
        session.client->quiet();
        REQUIRE(session.client->arm({Lane::responses | Lane::events, {}}));
        ForsakenKernel::gone = true;
        (void)put(*session.service, lane, 100, 1);
        CHECK_FALSE(put(*session.service, lane, 100, 2));
        CHECK(session.service->refused(lane) == errc::disconnected);
    }
    SECTION("a request, or the bell for it") {
        ForsakenKernel::begin(false);
        Session<TestType> session;
        REQUIRE_FALSE(session.serve({Lane::requests, {}}, 0ms));
        ForsakenKernel::gone = true;
        (void)put(*session.client, Lane::requests, 100, 1);
        CHECK_FALSE(put(*session.client, Lane::requests, 100, 2));
    }
    SECTION("a bye") {
        ForsakenKernel::begin(false);
        Session<TestType> session;
        ForsakenKernel::gone = true;
        session.service->shutdown();
        session.client->shutdown();
    }
    SECTION("a reply") {
        ForsakenKernel::begin(true);
        House<TestType> house;
        REQUIRE(house.listener);
        const auto visitor = knock(house.name);
        house.visitor().refuse(make_error_code(errc::not_permitted));
    }
    SECTION("a hello") {
        ForsakenKernel::begin(true);
        House<TestType> house;
        REQUIRE(house.listener);
        const auto hung_up_upon = [&](const qbipc::Credentials&) {
            (void)house.visitor();
            return std::error_code();
        };
        const auto end = TestType::connect(house.name, {}, patience, hung_up_upon);
        REQUIRE_FALSE(end);
        CHECK(end.error() == errc::disconnected);
    }
    SECTION("an ack") {
        ForsakenKernel::begin(false);
        House<TestType> house;
        REQUIRE(house.listener);
        auto connected = std::async(std::launch::async, [&] {
            const PipeSignal its_own;
            const auto end = TestType::connect(house.name, {}, patience, anybody);
            return !its_own.raised() && !end && end.error() == errc::disconnected;
        });
        auto guest = house.visitor();
        House<TestType>::read_hello(guest, house.epoll.get());
        ForsakenKernel::after_the_reply = true;
        CHECK(guest.admit(house.options));
        CHECK(connected.get());
    }
    CHECK(ForsakenKernel::calls > 0);
    CHECK_FALSE(signal.raised());
}

TEMPLATE_LIST_TEST_CASE("a visitor who hangs up in the middle of his hello is known to be gone", "[transport][sockets]",
                        Transports) {
    House<TestType> house;
    REQUIRE(house.listener);
    auto visitor = knock(house.name);
    auto guest = house.visitor();
    REQUIRE(guest.attach(house.epoll.get(), 5));
    REQUIRE(::send(visitor.get(), "qbipc", 5, MSG_NOSIGNAL) == 5);
    REQUIRE(readable(house.epoll.get(), patience));
    const auto begun = guest.hello();
    REQUIRE(begun);
    CHECK_FALSE(*begun);
    visitor.reset();
    REQUIRE(readable(house.epoll.get(), patience));
    const auto gone = guest.hello();
    REQUIRE_FALSE(gone);
    CHECK(gone.error() == errc::disconnected);
}

TEMPLATE_LIST_TEST_CASE("a service that hangs up in the middle of its reply is known to be gone",
                        "[transport][sockets]", Transports) {
    House<TestType> house;
    REQUIRE(house.listener);
    auto connected = house.connecting();
    {
        auto guest = house.visitor();
        House<TestType>::read_hello(guest, house.epoll.get());
    }
    const auto client = connected.get();
    REQUIRE_FALSE(client);
    CHECK(client.error() == errc::disconnected);
}

TEST_CASE("a frame of the largest size goes out while the one before it is unread", "[transport][sockets]") {
    long most = 0;
    REQUIRE(std::ifstream("/proc/sys/net/core/wmem_max") >> most);
    if (most < 212992) return;  // this system doesn't give that much
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    const qbipc::detail::Descriptor ours(pair[0]), theirs(pair[1]);
    qbipc::detail::FrameSender<qbipc::LinuxKernel> out(ours.get());
    const auto room = [&] {
        int buffer = 0;
        socklen_t size = sizeof buffer;
        REQUIRE(::getsockopt(ours.get(), SOL_SOCKET, SO_SNDBUF, &buffer, &size) == 0);
        return buffer;
    };
    // Who sends nothing large takes no more of the kernel's memory than everybody.
    REQUIRE(out.reserve(ours.get(), 1000));
    REQUIRE(out.commit(ours.get(), {1000, qbipc::Kind::call, 0, 0, 1, 1}) == 0);
    const int small = room();
    constexpr auto size = static_cast<std::uint32_t>(qbipc::detail::max_socket_frame);
    for (int unread = 0; unread < 2; ++unread) {
        REQUIRE(out.reserve(ours.get(), size));
        REQUIRE(out.commit(ours.get(), {size, qbipc::Kind::call, 0, 0, 1, 1}) == 0);
        CHECK_FALSE(out.tail());
    }
    CHECK(room() > small);
}
