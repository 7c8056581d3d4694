// SPDX-License-Identifier: BSL-1.0
// A client's view of a session whose service may write anything into its area and onto both sockets, at any moment,
// while the client waits too: answers with wrong ids, sizes, order, twice, never. The shipped client over the shipped
// end.
//
// An input: u8 limits, u8 number of rewrites, u16 bytes of image, u64 where the lanes stand; the rewrites, each {u16
// after which load, u16 place, u64 value}; the image of the responses lane; then what happens, step by step: the
// client's own steps, and, whenever it sleeps, the service's.
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include <qbipc/client.hpp>
#include <qbipc/selector.hpp>

#include "fuzz/heap.hpp"
#include "fuzz/hostile_ring.hpp"
#include "fuzz/hostile_writer.hpp"
#include "fuzz/planting.hpp"

namespace qbipc::fuzz {
namespace {

using Memory = HostileMemory;
using Kernel = ScriptedKernel;
using End = HostileRing::ClientEnd;
/// Time is counted in looks at the clock, a microsecond each.
constexpr auto a_while = std::chrono::microseconds(4);

struct Sum {
    std::uint64_t value = 0;
};
struct Add {
    static constexpr MessageId id = 1;
    using Reply = Sum;
    std::uint64_t a = 0, b = 0;
};
struct Text {
    using Tail = char;
    std::uint64_t stamp = 0;
};
struct Fetch {
    static constexpr MessageId id = 2;
    using Reply = Text;
    std::uint32_t size = 0;
};
struct Note {
    static constexpr MessageId id = 3;
    using Tail = std::byte;
};
struct Tick {
    static constexpr EventId id = 1;
    std::uint64_t count = 0;
};
struct News {
    static constexpr EventId id = 2;
    using Tail = std::byte;
};

/// An endless lane is no longer of interest: each look at it is bounded, and what comes after this many is the same.
constexpr std::uint64_t enough_frames = 256;

struct Run {
    Input* input = nullptr;
    HostileWriter responses, events;
    std::uint64_t started = 0, ran = 0;  ///< functions of start()
    std::uint64_t given = 0;             ///< events
    bool violated = false;               ///< the client was told so
};
Run* run;

/// One step of the service.
void act(Input& input) {
    using S = detail::ServiceArea;
    const std::uint8_t what = input.u8();
    switch (what % 12) {
        case 0:
        case 1:
        case 2:
            run->responses.publish(input, End::last_sent.correlation);
            break;
        case 3:
        case 4:
            run->events.publish(input, 0);
            break;
        case 5:
            (what >> 4 & 1 ? run->responses : run->events).wrap();
            break;
        case 6: {
            std::uint64_t* const place = Memory::place(input.u16());
            Memory::write(place, input.u64());
            break;
        }
        case 7:
            Kernel::streams[what >> 4 & 1].add(static_cast<std::byte>(what >> 5));
            break;
        case 8:
            Kernel::streams[what >> 4 & 1].ended = true;
            break;
        case 9:  // shows the credit that an honest reader would
            if (End* const end = End::current)
                Memory::write(Memory::at(S::requests_credit), end->published(Lane::requests));
            break;
        case 10:
            Memory::write(Memory::at(S::requests_asleep + (what >> 4) % 3 * detail::word_stride), input.u8());
            break;
        case 11: {
            static constexpr std::array errors{0, -EAGAIN, -EPIPE, -ECONNRESET};
            Kernel::send_result = errors[(what >> 4) % errors.size()];
            break;
        }
    }
}

/// While the client sleeps.
bool service_turn() {
    if (run->input->empty()) return false;
    for (int more = 1 + run->input->u8() % 4; more > 0; --more) act(*run->input);
    return true;
}

/// What one operation may cost: as many frames as it is to take, and one more wait than the service has turns.
class Bounded {
public:
    explicit Bounded(std::uint64_t most_frames) noexcept
        : frames_(most_frames), before_(End::account), loads_(Memory::loads), copied_(Memory::copied) {}
    Bounded(const Bounded&) = delete;
    Bounded& operator=(const Bounded&) = delete;
    ~Bounded() {
        const std::uint64_t frames = End::account.frames - before_.frames;
        expect(frames <= frames_, "an operation took more frames than it may");
        expect(Memory::copied - copied_ <= End::account.frame_bytes - before_.frame_bytes + largest_payload,
               "more was copied than was sent");
        expect(Memory::loads - loads_ <= 4096 + 24 * (frames + End::account.committed - before_.committed),
               "an operation loaded more than its frames are worth");
    }

private:
    std::uint64_t frames_;
    Account before_;
    std::uint64_t loads_, copied_;
};

/// A call that succeeded was given its own answer, as it was copied.
void expect_own_answer(const Sum& sum) {
    expect(!run->violated, "a call succeeded after a violation");
    expect(End::last_header.correlation == End::last_sent.correlation && End::last_header.kind != Kind::error,
           "a call was given another call's answer");
    expect(Memory::last_size == sizeof sum && std::memcmp(&sum, Memory::last_bytes.data(), sizeof sum) == 0,
           "a call was given other bytes than were copied");
}

template <class Value>
void note(const Result<Value>& result) {
    if (!result && result.error() == errc::protocol_violation && End::current->ended() == errc::protocol_violation)
        run->violated = true;
}

auto event_routes() {
    const auto seen = [] {
        expect(!run->violated, "an event was given after a violation");
        ++run->given;
    };
    return routes(
        on<Tick>([seen](const Tick& tick) {
            seen();
            expect(Memory::last_size == sizeof tick && std::memcmp(&tick, Memory::last_bytes.data(), sizeof tick) == 0,
                   "a handler got other bytes than were copied");
        }),
        on<News>([seen](const News&, std::span<const std::byte>) { seen(); }));
}

void steps(Client<HostileRing>& client, Input& input) {
    auto selector = event_routes();
    std::array<std::optional<Pending<Add>>, 4> pending;
    constexpr std::uint64_t most_waits = 2 * 64 * a_while.count();
    for (int count = 0; count < 48 && !input.empty() && End::account.frames < enough_frames; ++count) {
        Kernel::next_step();
        const std::uint8_t what = input.u8();
        const auto arm = static_cast<unsigned>(what >> 4);
        const TimeLimit limit = (arm & 1) != 0 ? TimeLimit(a_while) : TimeLimit(std::chrono::hours(0));
        switch (what & 15) {
            case 0:
            case 1:
            case 2:
                act(input);
                break;
            case 3: {
                const Bounded bound(most_waits);
                const auto sum = client.call(Add{1, 2}, limit);
                if (sum) expect_own_answer(*sum);
                note(sum);
                break;
            }
            case 4: {
                const Bounded bound(most_waits);
                const auto text = client.call(Fetch{7}, limit);
                expect(!text || text->tail().size() <= client.max_message() || text->tail().size() <= largest_payload,
                       "an answer that is larger than any may be");
                note(text);
                break;
            }
            case 5: {
                const Bounded bound(most_waits);
                bool visited = false;
                note(client.call(Fetch{7}, limit, [&](const View<Text>& text) {
                    visited = true;
                    expect(text.tail().size() + sizeof(Text) == End::last_header.size || text.tail().size() > 0 ||
                               End::last_header.size == sizeof(Text) || End::last_header.kind == Kind::piece,
                           "an answer was shown that isn't the one that came");
                    (void)client.send(bytes(ServiceId{0}, MessageId{9}, std::array<std::byte, 3>{}));
                }));
                break;
            }
            case 6: {
                const Bounded bound(most_waits);
                static constexpr std::array<std::byte, 20000> zeros{};  // two pieces
                const auto tail = std::span(zeros).first(input.u16() % zeros.size());
                if ((arm & 2) != 0)
                    note(client.send(with_tail(Note{}, tail), limit));
                else
                    note(client.send(with_tail(Note{}, tail)));
                break;
            }
            case 7: {
                auto started = client.start(Add{3, 4});
                note(started);
                if (started) pending[arm % 4].emplace(std::move(*started));
                break;
            }
            case 8:
                if (auto& token = pending[arm / 2 % 4]) {
                    const Bounded bound(most_waits);
                    const auto sum = client.wait(*token, limit);
                    note(sum);
                    if (sum || sum.error() != errc::timed_out) token.reset();
                }
                break;
            case 9:
                pending[arm % 4].reset();
                break;
            case 10: {
                const Bounded bound(most_waits);
                const auto started = client.start(Add{5, 6}, limit, [](const Result<Sum>&) { ++run->ran; });
                run->started += started.has_value();
                break;
            }
            case 11: {
                const Bounded bound(2 * (1 + arm * 8));
                note(client.dispatch(selector, Budget{1 + arm * 8}));
                break;
            }
            case 12: {
                const Bounded bound(most_waits);
                note(client.receive(selector, limit));
                break;
            }
            case 13:
                if (arm % 4 == 0)
                    (void)client.fd();
                else
                    note(client.flush(limit));
                break;
            case 14:
                (void)client.alive();
                Kernel::fail_call(Kernel::calls + 1 + arm, 1 + input.u8() % 110);
                break;
            case 15:
                if (arm == 15) client.disconnect();
                break;
        }
    }
}

void play(Input input) {
    Heap::begin();
    Kernel::begin();
    Memory::begin(areas.own, areas.peers, false);
    End::account = {};
    End::last_header = End::last_sent = {};
    const std::uint8_t limits = input.u8();
    const std::size_t rewrites = input.u8() % 16, image = input.u16() % 1024;
    const std::uint64_t at = input.u64() / detail::line * detail::line % power(63);
    static constexpr std::array<std::size_t, 4> sizes{64, 4096, 65536, std::size_t{1} << 20};
    HostileRing::beginning = {at, sizes[limits % 4], (limits & 4) != 0 ? 4096 : lane_size};
    Memory::starts_at(0, at % lane_size);
    Memory::starts_at(1, at % lane_size);
    for (std::size_t i = 0; i < rewrites; ++i) {
        const std::uint64_t after = input.u16() % 512;
        std::uint64_t* const place = Memory::place(input.u16());
        Memory::rewrite(after, place, input.u64());
    }
    Memory::write((limits >> 3) % 2, at % lane_size, input.bytes(image));
    Memory::write(Memory::at(detail::ServiceArea::requests_credit), at);

    Run this_run{&input, HostileWriter(0, at), HostileWriter(1, at)};
    run = &this_run;
    Kernel::on_wait = service_turn;
    {
        auto client = Client<HostileRing>::connect("fuzz", a_while);
        expect(client.has_value(), "the client can't be made");
        steps(*client, input);
        Kernel::on_wait = nullptr;
        Kernel::next_step();
    }
    expect(run->ran == run->started, "a function of start() didn't run exactly once");
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
