// SPDX-License-Identifier: BSL-1.0
// What one side can make the other hold or do, beyond what was agreed: memory, descriptors, turns.
#include <atomic>
#include <fstream>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <qbipc/detail/shm_session.hpp>

#include "process/peers.hpp"
#include "process/raw.hpp"
#include "transport/session.hpp"

using namespace qbipc;
using namespace qbipc::testing;

namespace {

/// A reply with any number of descriptors of any kind.
bool reply_with(const RawPeer& to, const detail::HandshakeBytes& reply, const std::vector<int>& descriptors) {
    auto bytes = reply;
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(253 * sizeof(int))> control{};
    if (!descriptors.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
        auto* const rights = reinterpret_cast<cmsghdr*>(control.data());
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
        std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size() * sizeof(int));
    }
    return ::sendmsg(to.fd(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
}

/// A service's admission, to be spoilt.
detail::Reply admission(detail::TransportId transport) {
    detail::Reply reply;
    reply.speaker.transport = transport;
    reply.status = detail::Status::ok;
    reply.max_message = 1 << 20;
    reply.max_frame = detail::max_socket_frame;
    reply.descriptors = 1;
    return reply;
}

/// What a client of a service that answers so gets. Nothing of it may stay with the client.
template <class T>
std::error_code connected_to(const detail::Reply& reply, const std::vector<int>& descriptors,
                             const Options& options = {}) {
    const auto name = unique_name();
    auto house = RawPeer::listen(name);
    REQUIRE(house);
    const int before = open_descriptors(), mappings = session_mappings();
    std::error_code outcome;
    {
        RawPeer visitor(-1);  // stays until the client has made up its mind
        std::jthread connecting([&] { outcome = error_of(Client<T>::connect(name, patience, {}, options)); });
        visitor = house.accept();
        REQUIRE(visitor.read_block());
        REQUIRE(reply_with(visitor, detail::encode(reply), descriptors));
    }
    CHECK(open_descriptors() == before);
    CHECK(session_mappings() == mappings);
    return outcome;
}

struct Two {
    explicit Two(int type = SOCK_STREAM) { REQUIRE(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) == 0); }
    ~Two() { ::close(fds[0]), ::close(fds[1]); }
    Two(const Two&) = delete;
    Two& operator=(const Two&) = delete;
    int fds[2];
};

}  // namespace

TEST_CASE("a client takes no descriptor but those that belong to a session, and keeps none of the others",
          "[process]") {
    const Two event;
    int pipe[2];
    REQUIRE(::pipe2(pipe, O_CLOEXEC) == 0);
    const detail::Descriptor reading(pipe[0]), writing(pipe[1]), file(::open("/dev/zero", O_RDWR | O_CLOEXEC)),
        counter(::eventfd(0, EFD_CLOEXEC)), memory(::memfd_create("test", MFD_CLOEXEC));
    auto reply = admission(detail::TransportId::unix_socket);
    CHECK_FALSE(connected_to<UnixSocket>(reply, {event.fds[1]}));
    // Of a file of who knows what kind even a poll may never return.
    for (const auto* const other : {&reading, &writing, &file, &counter, &memory})
        CHECK(connected_to<UnixSocket>(reply, {other->get()}) == errc::protocol_violation);
    // Too many, too few, and where none belongs.
    for (const std::size_t count : {2u, 3u, 4u, 16u, 253u})
        CHECK(connected_to<UnixSocket>(reply, std::vector<int>(count, event.fds[1])) == errc::protocol_violation);
    CHECK(connected_to<UnixSocket>(reply, {}) == errc::descriptors_refused);
    reply.descriptors = 0;
    CHECK(connected_to<UnixSocket>(reply, {}) == errc::protocol_violation);
    reply.descriptors = 253;
    CHECK(connected_to<UnixSocket>(reply, std::vector<int>(253, event.fds[1])) == errc::protocol_violation);
    detail::Speaker speaker;
    speaker.transport = detail::TransportId::unix_socket;
    CHECK(connected_to<UnixSocket>(detail::refusal(speaker, make_error_code(errc::not_permitted)),
                                   std::vector<int>(253, event.fds[1])) == errc::not_permitted);
}

namespace {

/// Says that some of what came with a message was cut off.
struct CuttingKernel : LinuxKernel {
    static ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept {
        const auto count = LinuxKernel::recvmsg(fd, message, flags);
        message->msg_flags |= MSG_CTRUNC;
        return count;
    }
};

}  // namespace

TEST_CASE("a control message that was cut is refused, though as much came as was announced", "[process]") {
    const Two event;
    CHECK(connected_to<BasicUnixSocket<Adaptive, CuttingKernel>>(admission(detail::TransportId::unix_socket),
                                                                 {event.fds[1]}) == errc::descriptors_refused);
}

TEST_CASE("a service can't make its client hold messages or lanes larger than it accepts", "[process]") {
    const Two event;
    auto reply = admission(detail::TransportId::unix_socket);
    Options options;
    for (const std::uint64_t size :
         {(std::uint64_t{256} << 20) + 1, std::uint64_t{1} << 32, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
        reply.max_message = size;
        CHECK(connected_to<UnixSocket>(reply, {event.fds[1]}) == errc::message_too_large);
    }
    reply.max_message = std::uint64_t{1} << 30;
    options.message_ceiling = std::size_t{1} << 30;
    CHECK_FALSE(connected_to<UnixSocket>(reply, {event.fds[1]}, options));
    options.message_ceiling = 0;  // and a client's own wish is never too much for it
    options.max_message = std::size_t{1} << 30;
    CHECK_FALSE(connected_to<UnixSocket>(reply, {event.fds[1]}, options));

    // Areas that are all they should be, but for their size.
    const auto guard = detail::ForkGuard::here();
    REQUIRE(guard);
    for (const std::uint64_t lane : {std::uint64_t{1} << 20, std::uint64_t{2} << 20, std::uint64_t{64} << 20}) {
        auto session = detail::make_shm_session<LinuxKernel>(lane, {}, *guard);
        REQUIRE(session);
        reply = admission(detail::TransportId::shm_ring);
        reply.lane_size = lane;
        reply.max_frame = detail::LaneShape::of(lane).max_payload();
        reply.areas = detail::areas_of(lane);
        reply.descriptors = 3;
        Options wish;
        wish.lane_size = (1 << 20) - 1;  // rounded up
        const auto outcome = connected_to<ShmRing>(
            reply, {session->client_event.get(), session->service_area.get(), session->client_area.get()}, wish);
        if (lane == 1 << 20)
            CHECK_FALSE(outcome);
        else
            CHECK(outcome == errc::protocol_violation);
    }
}

TEST_CASE("a service can't take pages back that its client writes to", "[process]") {
    const auto guard = detail::ForkGuard::here();
    REQUIRE(guard);
    const std::uint64_t lane = std::uint64_t{1} << 20;
    auto reply = admission(detail::TransportId::shm_ring);
    reply.lane_size = lane;
    reply.max_frame = detail::LaneShape::of(lane).max_payload();
    reply.areas = detail::areas_of(lane);
    reply.descriptors = 3;
    for (const int before : {0, F_SEAL_SEAL, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL}) {
        auto session = detail::make_shm_session<LinuxKernel>(lane, {}, *guard);
        REQUIRE(session);
        const int area = session->client_area.get();
        REQUIRE(::fcntl(area, F_ADD_SEALS, before) == 0);
        const auto outcome =
            connected_to<ShmRing>(reply, {session->client_event.get(), session->service_area.get(), area});
        // Where it was sealed for good without that, nobody could ever make sure; with it, the client can't write.
        CHECK(static_cast<bool>(outcome) == (before != 0));
        if (before == F_SEAL_SEAL) CHECK(outcome == errc::protocol_violation);
        const bool punched = ::fallocate(area, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0;
        CHECK(punched == (before == F_SEAL_SEAL));
    }
}

TEST_CASE("a user whose clients don't read costs a service no more shared memory than his quota", "[process]") {
    ServiceOptions options;
    options.limits.user_lane_bytes = 1 << 20;
    std::atomic<int> over = 0, lost = 0, wishes = 0;
    const auto name = unique_name();
    auto service = listen<ShmRing>(
        name,
        routes(on<Add>([](const Add& add) { return Sum{add.a + add.b}; }),
               on<Wish>([&](auto& session, const Wish& wish) {
                   for (std::uint32_t i = 1; i <= wish.count; ++i)
                       (void)session.send(with_tail(Tick{i}, patterned(i, wish.size)));
                   ++wishes;
               }),
               on_disconnect([&](auto& session) { ++(session.reason() == EndReason::quota ? over : lost); })),
        same_user_or_root, options);
    REQUIRE(service);
    std::jthread serving([&](std::stop_token stop) { (void)service->run(stop); });

    auto other = Client<ShmRing>::connect(name, patience);
    REQUIRE(other);
    for (int round = 1; round <= 3; ++round) {
        auto greedy = Client<ShmRing>::connect(name, patience);
        REQUIRE(greedy);
        REQUIRE(greedy->send(Wish{3000, 1000, 0, 0}));
        REQUIRE(eventually([&] { return over == round; }));
        // What had been sent is there; then comes the end.
        Events events;
        CHECK(events.take(*greedy, 3000) == errc::disconnected);
        CHECK(events.wrong == 0);
        CHECK(events.ticks >= 900);
        CHECK(events.ticks * 1024 <= (1 << 20) + (4 << 10));
        CHECK(other->call(Add{1, 2}, patience)->value == 3);
    }
    Events events;  // it was given back each time
    REQUIRE(other->send(Wish{900, 1000, 0, 0}));
    // Who reads meanwhile has the lane go round, and what finds no room in it then is dropped.
    REQUIRE(eventually([&] { return wishes == 4; }));
    CHECK_FALSE(events.take(*other, 900));
    CHECK(over == 3);
    CHECK(lost == 0);
}

TEST_CASE("who shows an impossible credit is heard for one more lap at most", "[process]") {
    qbipc::Options wishes;
    wishes.lane_size = 64 << 10;
    qbipc_test::Session<ShmRing> session(wishes);
    // The client's area: mapped once to write, by the client. Its second word is the credit for events.
    std::uint64_t* words = nullptr;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        unsigned long start = 0;
        char mode[5] = {};
        if (line.find("memfd:qbipc-client") != line.npos &&
            std::sscanf(line.c_str(), "%lx-%*x %4s", &start, mode) == 2 && mode[1] == 'w')
            words = reinterpret_cast<std::uint64_t*>(start);
    }
    REQUIRE(words != nullptr);
    std::atomic_ref(words[detail::ClientArea::events_credit / sizeof *words]).store(~std::uint64_t{63});
    std::uint32_t events = 0;
    while (qbipc_test::put(*session.service, Lane::events, 1000, events)) ++events;
    CHECK(session.service->refused(Lane::events) == errc::protocol_violation);
    CHECK(session.service->ended() == errc::protocol_violation);

    std::size_t heard = 0;
    for (std::uint32_t i = 0; i < 100'000; ++i) {  // it writes on, as fast as it is read
        (void)qbipc_test::put(*session.client, Lane::requests, 8, i);
        Frame frame;
        if (!session.service->peek(Lane::requests, frame)) break;
        session.service->release(Lane::requests);
        ++heard;
    }
    CHECK(heard <= (64 << 10) / 64);
}
