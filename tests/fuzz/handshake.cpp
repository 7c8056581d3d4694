// SPDX-License-Identifier: BSL-1.0
// Handshakes and what follows on the sockets, from either side and over both transports: bytes in any pieces, control
// messages with any descriptors, memory of any kind, and a kernel that fails any call. The shipped connect(), visitors
// and ends over ScriptedKernel.
//
// An input: u8 who the victim is, u8 how many of each follow; patches of an honest greeting {u8 where, u8 how, value};
// control messages {u8 kind, u8 count}; what is wrong with memory; sizes of the pieces; failing calls {u16, u8 errno};
// then steps of the end that came out of it.
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include <qbipc/transport/shm_ring.hpp>
#include <qbipc/transport/unix_socket.hpp>

#include "fuzz/boundaries.hpp"
#include "fuzz/heap.hpp"
#include "fuzz/hostile_memory.hpp"
#include "fuzz/planting.hpp"
#include "fuzz/scripted_kernel.hpp"

namespace qbipc::fuzz {
namespace {

using namespace detail;
using Kernel = ScriptedKernel;
using Ring = BasicShmRing<Block, Kernel, HostileMemory>;
using Socket = BasicUnixSocket<Block, Kernel>;

constexpr auto patience = std::chrono::milliseconds(100);

Speaker speaker(TransportId transport) {
    Speaker ours;
    ours.transport = transport;
    return ours;
}

/// What an honest service says.
HandshakeBytes honest_reply(TransportId transport) {
    Reply reply;
    reply.speaker = speaker(transport);
    reply.status = Status::ok;
    reply.max_message = 4096;
    if (transport == TransportId::shm_ring) {
        reply.lane_size = lane_size;
        reply.max_frame = largest_payload;
        reply.areas = areas_of(lane_size);
        reply.descriptors = 3;
    } else {
        reply.max_frame = max_socket_frame;
        reply.descriptors = 1;
    }
    return encode(reply);
}

/// Whether only what the other side may choose differs from the honest greeting.
bool agrees(const HandshakeBytes& said, const HandshakeBytes& honest, bool is_reply) {
    const bool no_memory = honest[at::transport] == static_cast<std::byte>(TransportId::unix_socket);
    for (std::size_t i = 0; i < handshake_size; ++i) {
        const bool free = (i >= at::max_message && i < at::lane_size) ||
                          (i >= at::error_domain && i < at::max_message) ||
                          (!is_reply && ((i >= at::lane_size && i < at::max_frame) || i == at::status ||
                                         (i >= at::features && i < at::error_domain)));
        const bool said_nothing = (i >= 60 && i < 64) || i >= 104 || (!is_reply && i >= at::max_frame) ||
                                  (no_memory && ((i >= at::lane_size && i < at::max_frame) || i >= at::service_size));
        if (!free && !said_nothing && said[i] != honest[i]) return false;
    }
    return true;
}

struct Script {
    HandshakeBytes greeting;
    bool honest_memory = true;
    bool honest = false;  ///< nothing is wrong with it, and no call fails
};

Script read_script(Input& input, const HandshakeBytes& honest, std::uint8_t honest_descriptors) {
    Script script{honest};
    const std::uint8_t counts = input.u8(), more = input.u8();
    script.honest = counts == 0 && more == 0;
    for (int i = counts & 3; i > 0; --i) {
        const std::uint8_t where = input.u8(), how = input.u8();
        const std::uint64_t value = how < 128 ? input.u8() : boundary_values[how % boundary_values.size()];
        const std::size_t width = how < 128 ? 1 : std::size_t{1} << (how >> 3) % 4;
        std::memcpy(script.greeting.data() + where, &value, std::min(width, handshake_size - where));
    }
    static constexpr std::array<std::size_t, 8> numbers{0, 1, 2, 3, 4, 16, 252, 253};
    static constexpr std::array<std::pair<int, int>, 4> kinds{
        {{SOL_SOCKET, SCM_RIGHTS}, {SOL_SOCKET, SCM_CREDENTIALS}, {SOL_SOCKET, 4 /* SCM_PIDFD */}, {41, 77}}};
    const std::size_t place = (more & 128) != 0 ? input.u8() : 0;
    if ((counts >> 2 & 3) == 0) Kernel::add_control({SOL_SOCKET, SCM_RIGHTS, honest_descriptors}, place);
    for (int i = counts >> 2 & 3; i > 0; --i) {
        const auto [level, type] = kinds[input.u8() % kinds.size()];
        Kernel::add_control({level, type, numbers[input.u8() % numbers.size()]}, place);
    }
    const detail::Areas sizes = areas_of(lane_size);
    Kernel::facts = {MemoryFacts{},
                     {service_area_seals, TMPFS_MAGIC, sizes.service_size},
                     {client_area_seals, TMPFS_MAGIC, sizes.client_size}};
    if ((counts & 16) != 0) {
        MemoryFacts& wrong = Kernel::facts[1 + input.u8() % 2];
        const MemoryFacts right = wrong;
        switch (const std::uint8_t what = input.u8(); what % 4) {
            case 0:
                wrong.seals = what >> 2;
                break;
            case 1:
                wrong.file_system = (what >> 2 & 1) != 0 ? HUGETLBFS_MAGIC : long{0xef53};
                break;
            case 2:
                wrong.size = boundary_values[(what >> 2) % boundary_values.size()];
                break;
            case 3:
                wrong.mode = (what >> 2 & 1) != 0 ? S_IFIFO : S_IFCHR;
                break;
        }
        script.honest_memory = (wrong.seals & right.seals) == right.seals && wrong.file_system == right.file_system &&
                               wrong.size == right.size && wrong.mode == right.mode;
    }
    for (int i = more & 15; i > 0; --i) Kernel::add_chunk(input.u8());
    for (int i = more >> 4 & 3; i > 0; --i) {
        const std::uint64_t call = 1 + input.u16() % 64;
        Kernel::fail_call(call, 1 + input.u8() % 133);
    }
    if ((counts & 32) != 0) Kernel::send_result = -(1 + input.u8() % 133);
    if ((counts & 64) != 0) Kernel::user = input.u32();
    return script;
}

/// Puts what comes after the greeting onto the sockets.
void add_rest(Input& input) {
    const auto count = input.u8();
    const auto call = input.bytes(count);
    Kernel::streams[Kernel::call_stream].add(call.data(), call.size());
    const auto event = input.bytes(input.u8() % 64);
    Kernel::streams[Kernel::event_stream].add(event.data(), event.size());
}

/// Frames on a socket are the bytes of the stream, one behind the other.
class StreamCheck {
public:
    StreamCheck(std::size_t stream, std::size_t begin) noexcept : stream_(stream), at_(begin) {}
    void see(const Frame& frame) {
        const Stream& stream = Kernel::streams[stream_];
        expect(at_ + stream_span(frame.header.size) <= stream.at, "a frame was given that isn't here as a whole");
        std::uint64_t words[2];
        std::memcpy(words, stream.bytes.data() + at_, sizeof words);
        expect(frame.header == Header::from_words(words[0], words[1]) && words[0] % power(32) <= max_socket_frame &&
                   frame.header.kind != Kind{} && frame.header.kind != Kind::wrap,
               "a frame was given that no sender sends");
        expect(std::memcmp(frame.payload, stream.bytes.data() + at_ + header_size, frame.header.size) == 0,
               "a payload was given that isn't the one that came");
        at_ += stream_span(frame.header.size);
    }

private:
    std::size_t stream_, at_;
};

template <class End>
void take(End& end, Lane lane, StreamCheck* check) {
    // Over shared memory a lap is still given, and of a client the other lane: what was published before.
    const bool over = check != nullptr && lane == Lane::requests && end.ended() == errc::protocol_violation;
    Frame frame;
    for (int most = 64; most > 0 && end.peek(lane, frame); --most) {
        expect(!over, "a frame was given after a violation");
        if (check != nullptr) check->see(frame);
        end.release(lane);
    }
}

/// The same steps for every end.
template <class End>
bool common_step(End& end, std::uint8_t what, Lane out) {
    switch (what % 16) {
        case 0:
            if (end.reserve(out, std::size_t{what} * 16) != nullptr)
                end.commit(out, Header{std::uint32_t{what}, Kind::event, 0, 0, 1, 1});
            else
                expect(static_cast<bool>(end.refused(out)), "no room and no reason");
            return true;
        case 1:
            end.shutdown();
            return true;
        case 2:
            Kernel::streams[what >> 4 & 1].ended = true;
            return true;
        case 3:
            Kernel::fail_call(Kernel::calls + 1 + (what >> 4), 1 + what % 100);
            return true;
        default:
            return false;
    }
}

template <class End>
void client_steps(End& end, Input& input, bool over_socket) {
    StreamCheck call(Kernel::call_stream, handshake_size), event(Kernel::event_stream, 0);
    for (int count = 0; count < 24 && !input.empty(); ++count) {
        Kernel::next_step();
        const std::uint8_t what = input.u8();
        const bool was_over = static_cast<bool>(end.ended());
        if (common_step(end, what, Lane::requests)) continue;
        const Interest all{Lane::responses | Lane::events, (what >> 4 & 1) != 0 ? LaneSet(Lane::requests) : LaneSet()};
        switch (what % 16) {
            case 4:
            case 5:
                (void)end.wait(all, Party::whole, TimeLimit(std::chrono::microseconds(what >> 5)), -1);
                break;
            case 6:
                (void)end.wait(all, Party::receiver, TimeLimit(std::chrono::microseconds(8)), -1);
                break;
            case 7:
                (void)end.wait(all, Party::sender, TimeLimit(std::chrono::microseconds(8)), -1);
                break;
            case 8:
                end.quiet();
                break;
            case 9:
                (void)end.descriptors();
                (void)end.arm(all);
                break;
            case 10:
                (void)end.alive();
                break;
            case 11:
            case 12:
                take(end, Lane::responses, over_socket ? &call : nullptr);
                break;
            case 13:
                take(end, Lane::events, over_socket ? &event : nullptr);
                break;
            case 14:
                add_rest(input);
                break;
        }
        expect(!was_over || end.ended(), "an end that was over goes on");
    }
}

template <class End>
void service_steps(End& end, Input& input, bool over_socket) {
    StreamCheck call(Kernel::call_stream, handshake_size + 1);
    const Descriptor epoll(Kernel::epoll_create1(0));
    bool established = false;
    {
        const auto attached = epoll && end.attach(epoll.get(), 8).has_value();
        for (int count = 0; attached && count < 24 && !input.empty(); ++count) {
            Kernel::next_step();
            const std::uint8_t what = input.u8();
            const bool was_over = static_cast<bool>(end.ended());
            if (common_step(end, what, (what >> 4 & 1) != 0 ? Lane::events : Lane::responses)) continue;
            const Interest interest{Lane::requests, (what >> 4 & 1) != 0 ? LaneSet(Lane::responses) : LaneSet()};
            switch (what % 16) {
                case 4:
                case 5:
                case 6:
                    if (!was_over) end.drain();  // who has left its epoll isn't announced any more
                    break;
                case 7:
                case 8:
                    end.arm(interest);
                    End::fence();
                    (void)end.look(interest);
                    break;
                case 9:
                case 10:
                case 11:
                    take(end, Lane::requests, over_socket ? &call : nullptr);
                    break;
                case 12:
                    add_rest(input);
                    break;
            }
            expect(!was_over || end.ended(), "an end that was over goes on");
            expect(!established || end.established(), "a session that was open is half-open again");
            established = end.established();
            expect(!established || Kernel::streams[0].bytes[handshake_size] == std::byte{1},
                   "a session was opened without an ack");
        }
    }
    // In front of its epoll.
    const End gone = std::move(end);
}

template <class Transport>
void connect(Input& input, TransportId transport) {
    HostileMemory::begin(areas.own, areas.peers, false);
    const HandshakeBytes honest = honest_reply(transport);
    const std::size_t descriptors = transport == TransportId::shm_ring ? 3 : 1;
    const Script script = read_script(input, honest, static_cast<std::uint8_t>(descriptors));
    Kernel::may_receive_descriptors = true;
    Kernel::streams[0].add(script.greeting.data(), script.greeting.size());
    add_rest(input);
    bool refused = false;
    const auto check = [&](const Credentials& who) -> std::error_code {
        refused = who.uid != LinuxKernel::geteuid();
        return refused ? make_error_code(errc::wrong_service) : std::error_code();
    };
    auto end = Transport::connect(Address::path("/service"), Options{}, TimeLimit(patience), CredentialCheck(check));
    expect(end || !script.honest, "an honest service was refused");
    if (!end) {
        expect(static_cast<bool>(end.error()), "an error that is none");
        return;
    }
    expect(!refused, "a service was accepted that the policy refuses");
    expect(agrees(script.greeting, honest, true) || Kernel::streams[0].at > handshake_size,
           "a reply was accepted that says something wrong");
    expect(Kernel::received == descriptors && !Kernel::truncated,
           "descriptors were accepted that aren't those promised");
    expect(script.honest_memory || descriptors == 1, "memory was accepted that could be resized, or isn't memory");
    client_steps(*end, input, transport == TransportId::unix_socket);
}

template <class Transport>
void visit(Input& input, TransportId transport) {
    HostileMemory::begin(areas.own, areas.peers, true);
    Hello hello;
    hello.speaker = speaker(transport);
    hello.max_message = 4096;
    hello.lane_size = lane_size;
    const HandshakeBytes honest = encode(hello);
    const Script script = read_script(input, honest, 0);
    Kernel::streams[0].add(script.greeting.data(), script.greeting.size());
    add_rest(input);
    const Descriptor epoll(Kernel::make(Kernel::Kind::epoll));
    typename Transport::Visitor visitor(Guest<Kernel>(
        Descriptor(Kernel::make(Kernel::Kind::socket, Kernel::call_stream)), {42, Kernel::user, 42, {}}, transport));
    if (!visitor.attach(epoll.get(), 3)) return;
    Result<bool> heard = false;
    for (int tries = 0; tries < 20 && heard && !*heard; ++tries) heard = visitor.hello();
    expect((heard && *heard) || !script.honest, "an honest client was refused");
    if (!heard || !*heard) {
        visitor.refuse(errc::timed_out);
        return;
    }
    expect(Kernel::streams[0].at == handshake_size, "more was read than the hello");
    expect(agrees(script.greeting, honest, false), "a hello was accepted that says something wrong");
    ServiceOptions options;
    options.lane_size = lane_size;
    auto end = visitor.admit(options);
    expect(end || !script.honest, "an honest client got no session");
    if (!end) return;
    service_steps(*end, input, transport == TransportId::unix_socket);
}

void play(Input input) {
    Heap::begin();
    Kernel::begin();
    using Mapping = detail::Mapping<Kernel>;
    Mapping::next_writable = areas.own;
    Mapping::next_readable = areas.peers;
    switch (input.u8() % 4) {
        case 0:
            connect<Ring>(input, TransportId::shm_ring);
            break;
        case 1:
            connect<Socket>(input, TransportId::unix_socket);
            break;
        case 2:
            visit<Ring>(input, TransportId::shm_ring);
            break;
        case 3:
            visit<Socket>(input, TransportId::unix_socket);
            break;
    }
    expect(Kernel::open_descriptors() == 0, "descriptors are left over");
    expect(Kernel::calls < 5000, "calls of the kernel without end");
    expect(Heap::largest <= std::size_t{96} << 10, "memory was got for what was only announced");
    expect(Heap::live == 0, "memory is left over");
    HostileMemory::clean();
}

}  // namespace
}  // namespace qbipc::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    qbipc::fuzz::play(qbipc::fuzz::Input(data, size));
    return 0;
}
