// SPDX-License-Identifier: BSL-1.0
// A service's view of a session whose client may write anything into its area and onto its socket, at any moment: the
// shipped service, its loop, routes and answers, over the shipped end.
//
// An input: u8 limits, u8 number of rewrites, u16 bytes of image, u64 where the lanes stand; the rewrites, each {u16
// after which load, u16 place, u64 value}; the image of the requests lane; then what happens, one step after the other.
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include <qbipc/service.hpp>

#include "fuzz/heap.hpp"
#include "fuzz/hostile_ring.hpp"
#include "fuzz/hostile_writer.hpp"
#include "fuzz/planting.hpp"

namespace qbipc::fuzz {
namespace {

using Memory = HostileMemory;
using Kernel = ScriptedKernel;
using End = HostileRing::ServiceEnd;

struct Sum {
    std::uint64_t value = 0;
};
struct Add {
    static constexpr MessageId id = 1;
    using Reply = Sum;
    std::uint64_t a = 0, b = 0;
};
struct Note {
    static constexpr MessageId id = 2;
    using Tail = char;
    std::uint64_t stamp = 0;
};
struct Look {
    static constexpr MessageId id = 3;
    using Reply = Sum;
    using Tail = std::uint32_t;
    std::uint64_t stamp = 0;
};
struct Later {
    static constexpr MessageId id = 4;
    using Reply = Sum;
    std::uint64_t a = 0;
};
struct Block1K {
    using Tail = std::byte;
};
struct Fetch {  ///< answered with so many bytes
    static constexpr MessageId id = 5;
    using Reply = Block1K;
    std::uint32_t size = 0;
};
struct Fail {
    static constexpr MessageId id = 6;
    using Reply = Sum;
};
struct Leave {
    static constexpr MessageId id = 7;
};
struct News {
    static constexpr EventId id = 1;
    using Tail = std::byte;
};

/// An endless lane is no longer of interest: each look at it is bounded, and what comes after this many is the same.
constexpr std::uint64_t enough_frames = 64;

struct Run {
    std::uint64_t calls = 0;     ///< delivered
    std::uint64_t messages = 0;  ///< delivered, calls included
    std::uint64_t fetched = 0;   ///< bytes of answers
    int thrown = 0;              ///< by handlers: slow, so not without end
    bool over = false;           ///< the session has ended
    std::vector<Answer<Sum>> later;
};
Run* run;

/// What a handler got is what was copied last, and checked.
template <class M>
void expect_copied(const M& message) {
    expect(Memory::last_size == sizeof message && std::memcmp(&message, Memory::last_bytes.data(), sizeof message) == 0,
           "a handler got other bytes than were copied");
}

struct Data {};

constexpr std::array<std::byte, 2048> zeros{};

auto service_routes() {
    return routes<Data>(on_disconnect([](auto& session) {
                            run->over = true;
                            expect(session.reason() != EndReason::none, "a session ended for no reason");
                        }),
                        on<Add>([](auto&, const Add& add) {
                            expect_copied(add);
                            return Sum{add.a + add.b};
                        }),
                        on<Note>([](auto& session, const Note& note, std::string_view text) {
                            std::uint64_t sum = note.stamp;
                            for (const char c : text.substr(0, 64)) sum += static_cast<unsigned char>(c);
                            if (sum % 7 == 0) (void)session.send(with_tail(News{}, std::array<std::byte, 9>{}));
                        }),
                        on<Look>([](auto&, const View<Look>& look) { return Sum{look->stamp + look.tail().size()}; }),
                        on<Later>([](auto&, const Later&, Answer<Sum> answer) {
                            if (run->later.size() < 8) run->later.push_back(std::move(answer));
                        }),
                        on<Fetch>([](auto&, const Fetch& fetch) -> Result<Copy<Block1K>> {
                            // Two pieces; and not more in one run than make all of them.
                            if (fetch.size > 20000 || run->fetched > 60000) return fail(errc::message_too_large);
                            run->fetched += fetch.size;
                            return Copy<Block1K>(Block1K{}, std::vector<std::byte>(fetch.size));
                        }),
                        on<Fail>([](auto&, const Fail&) {
                            if (++run->thrown < 2) throw std::runtime_error("a handler that throws");
                            return Sum{};
                        }),
                        on<Leave>([](auto& session, const Leave&) { session.disconnect(); }));
}

/// Sees each message before the routes do.
struct Watching : decltype(service_routes()) {
    using Routes = decltype(service_routes());
    explicit Watching(Routes routes) : Routes(std::move(routes)) {}
    template <class Session, class Request>
    bool operator()(Session& session, Request& request) {
        expect(!run->over, "a message was given to a session that had ended");
        ++run->messages;
        run->calls += request.is_call();
        expect(request.size() <= HostileRing::beginning.max_message || request.size() <= largest_payload,
               "a message was given that is larger than any may be");
        return Routes::operator()(session, request);
    }
};

/// A turn of the loop takes `budget` frames at most; work and memory go with what was taken.
template <class Service>
void turn(Service& service, std::size_t budget) {
    Kernel::next_step();
    const Account before = End::account;
    const std::uint64_t loads = Memory::loads, copied = Memory::copied, calls = Kernel::calls;
    const auto taken = service.dispatch(Budget{budget});
    expect(taken && *taken <= budget, "a turn took more than its budget");
    const Account& after = End::account;
    const std::uint64_t frames = after.frames - before.frames;
    expect(frames <= budget, "more frames were taken than the budget allows");
    expect(
        copied == Memory::copied || Memory::copied - copied <= after.frame_bytes - before.frame_bytes + largest_payload,
        "more was copied than was sent");
    // Each frame: two words, maybe a marker, two copies; each answer: credit and two flags; and what a turn does
    // anyway.
    expect(Memory::loads - loads <= 64 + 24 * (budget + frames + after.committed - before.committed),
           "a turn loaded more than its frames are worth");
    expect(Kernel::calls - calls <= 64 + 4 * (budget + frames + after.committed - before.committed),
           "a turn called the kernel more often than its frames are worth");
}

template <class Service>
void steps(Service& service, Input& input, HostileWriter& peer) {
    using S = detail::ServiceArea;
    using C = detail::ClientArea;
    bool hung_up = false;
    std::uint64_t at_hang_up = 0;
    for (int count = 0; count < 64 && !input.empty() && End::account.frames < enough_frames; ++count) {
        const std::uint8_t what = input.u8();
        switch (what % 16) {
            case 0:
            case 1:
                turn(service, 1 + (what >> 4) % 4);
                break;
            case 2:
                turn(service, 64);
                break;
            case 3:
            case 4:
            case 5:
                peer.publish(input, 0);
                break;
            case 6:
                peer.wrap();
                break;
            case 7: {
                std::uint64_t* const place = Memory::place(input.u16());
                Memory::write(place, input.u64());
                break;
            }
            case 8:
                Kernel::streams[0].add(static_cast<std::byte>(what >> 4));
                break;
            case 9:
                Kernel::streams[0].ended = true;
                break;
            case 10:
                for (auto& session : service.sessions())
                    (void)session.send(with_tail(News{}, std::span(zeros).first(std::size_t{what} * 8)));
                break;
            case 11:
                if (!run->later.empty()) {
                    Answer<Sum> answer = std::move(run->later.back());
                    run->later.pop_back();
                    if (what >> 4 != 0) (void)answer.send(Sum{7});
                }
                break;
            case 12:  // shows the credit that an honest reader would
                if (End* const end = End::current) {
                    Memory::write(Memory::at(C::responses_credit), end->published(Lane::responses));
                    Memory::write(Memory::at(C::events_credit), end->published(Lane::events));
                }
                break;
            case 13:  // arms its flags, or takes them down
                Memory::write(Memory::at(C::responses_asleep + (what >> 4) % 3 * detail::word_stride), input.u8());
                break;
            case 14: {
                static constexpr std::array errors{0, -EAGAIN, -EPIPE, -ECONNRESET, -ENOBUFS};
                Kernel::send_result = errors[(what >> 4) % errors.size()];
                break;
            }
            case 15:
                Kernel::fail_call(Kernel::calls + 1 + (what >> 4), 1 + input.u8() % 110);
                break;
        }
        if (End* const end = End::current) {
            const bool ended = static_cast<bool>(end->ended());
            if (ended && !hung_up) at_hang_up = end->taken(Lane::requests);
            hung_up = ended;
            // One lap, from the next credit step on.
            constexpr auto shape = detail::LaneShape::of(lane_size);
            expect(!hung_up || end->taken(Lane::requests) - at_hang_up <= shape.size + shape.step + shape.largest,
                   "more than a lap was taken after the end");
            expect(Memory::own_word(S::requests_credit) <= end->taken(Lane::requests), "credit for what wasn't taken");
        }
        expect(End::account.answers <= run->calls, "more answers than calls");
    }
}

void play(Input input) {
    Heap::begin();
    Kernel::begin();
    Memory::begin(areas.own, areas.peers, true);
    End::account = {};
    const std::uint8_t limits = input.u8();
    const std::size_t rewrites = input.u8() % 16, image = input.u16() % 1024;
    const std::uint64_t at = input.u64() / detail::line * detail::line;
    static constexpr std::array<std::size_t, 4> sizes{64, 4096, 65536, std::size_t{1} << 20};
    // Cursors of bytes don't wrap in the life of a machine: what they do at 2^64 is for tests/detail/lane_limits.cpp.
    HostileRing::beginning = {at % power(63), sizes[limits % 4], (limits & 4) != 0 ? 4096 : lane_size};
    Memory::starts_at(0, HostileRing::beginning.at % lane_size);
    for (std::size_t i = 0; i < rewrites; ++i) {
        const std::uint64_t after = input.u16() % 512;
        std::uint64_t* const place = Memory::place(input.u16());
        Memory::rewrite(after, place, input.u64());
    }
    Memory::write(0, HostileRing::beginning.at % lane_size, input.bytes(image));
    for (const std::uint64_t credit : {detail::ClientArea::responses_credit, detail::ClientArea::events_credit})
        Memory::write(Memory::at(credit), HostileRing::beginning.at);

    {
        Run this_run;
        run = &this_run;
        ServiceOptions options;
        options.limits.unanswered = (limits & 8) != 0 ? 2 : 64;
        options.limits.user_bytes = (limits & 16) != 0 ? 1024 : std::size_t{1} << 21;
        options.limits.session_bytes = (limits & 32) != 0 ? 512 : std::size_t{1} << 20;
        auto service = listen<HostileRing>("fuzz", Watching(service_routes()), Anyone{}, options);
        expect(service.has_value(), "the service can't be made");
        if ((limits & 64) == 0) Kernel::streams[0].add(std::byte{1});  // the ack
        turn(*service, 1);
        HostileWriter peer(0, HostileRing::beginning.at);
        steps(*service, input, peer);
        // Whatever it was, it comes to an end: nothing is given without end, and the session ends with its socket.
        Kernel::send_result = 0;
        Kernel::streams[0].ended = true;
        std::uint64_t most = 4 * lane_size / detail::line;
        while (End::current != nullptr && most-- > 0) {
            turn(*service, 64);
            // Answers without room: the client is gone, nobody waits for it.
        }
        expect(End::current == nullptr, "a session outlives its client");
        this_run.later.clear();
    }
    run = nullptr;
    expect(Kernel::open_descriptors() == 0, "descriptors are left over");
    expect(Heap::live == 0, "memory is left over");
    expect(Heap::largest <= (std::size_t{96} << 10) + 4 * Memory::copied, "memory was got for what was only announced");
    Memory::clean();
}

}  // namespace
}  // namespace qbipc::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    qbipc::fuzz::play(qbipc::fuzz::Input(data, size));
    return 0;
}
