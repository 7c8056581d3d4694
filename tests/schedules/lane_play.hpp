// SPDX-License-Identifier: BSL-1.0
// lane_play.hpp: a sender and a receiver, who sleep when they have nothing to do, over the shipped lane, its credit and
// both flags. What the owner of a lane must do around it is done here in the order that bell.hpp gives.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>

#include <qbipc/detail/bell.hpp>
#include <qbipc/detail/lane_reader.hpp>
#include <qbipc/detail/lane_writer.hpp>

#include "scheduled_memory.hpp"
#include "support/lane_probe.hpp"
#include "world.hpp"

namespace qbipc::testing {

/// What the owner of a lane forgets.
enum class Forgotten : std::uint8_t {
    nothing,
    second_look,               ///< before sleeping
    ringing_for_credit,        ///< credit is shown, and nobody looks who waits for it
    draining_before_counting,  ///< the generation moves though no byte was read
};

/// What two threads are to do.
struct LanePlan {
    static constexpr std::size_t most_frames = 12;

    detail::LaneShape shape;
    std::uint32_t before = 0;  ///< lines that were sent and taken before
    std::uint32_t frames = 0;
    std::array<std::uint8_t, most_frames> reserved{};   ///< lines of each frame
    std::array<std::uint8_t, most_frames> used{};       ///< of these; fewer than reserved where the payload shrank
    std::array<std::uint8_t, most_frames> cancelled{};  ///< lines reserved, written and given up before; 0: none
    std::uint32_t sender_dies = World::never, receiver_dies = World::never;
    Forgotten forgotten = Forgotten::nothing;
    Weakened weakened = Weakened::nothing;

    static LanePlan random(RandomChoices& random) {
        LanePlan plan;
        const auto shape_of = [](std::uint64_t lines, std::uint64_t window, std::uint64_t step, std::uint64_t largest) {
            return detail::LaneShape{lines * detail::line, window * detail::line, step * detail::line,
                                     largest * detail::line};
        };
        switch (random.below(6)) {
            case 0:
                plan.shape = shape_of(4, 4, 1, 2);
                break;
            case 1:
                plan.shape = shape_of(8, 8, 1, 2);
                break;
            case 2:
                plan.shape = shape_of(8, 4, 2, 2);
                break;
            case 3:
                plan.shape = shape_of(16, 8, 2, 4);
                break;
            case 4:  // only frames of a sixteenth of the window keep to it
                plan.shape = shape_of(32, 16, 4, 8);
                break;
            default:
                plan.shape = shape_of(16, 16, 2, 4);
                break;
        }
        const auto largest = plan.shape.largest / detail::line;
        plan.before = static_cast<std::uint32_t>(random.below(2 * plan.shape.size / detail::line));
        plan.frames = static_cast<std::uint32_t>(2 + random.below(most_frames - 1));
        const bool alike = random.one_in(plan.shape.window < plan.shape.size ? 2 : 3);
        for (std::size_t i = 0; i < plan.frames; ++i) {
            plan.reserved[i] = static_cast<std::uint8_t>(alike ? 1 : 1 + random.below(largest));
            plan.used[i] = plan.reserved[i];
            if (random.one_in(4)) plan.used[i] = static_cast<std::uint8_t>(1 + random.below(plan.reserved[i]));
            if (random.one_in(8)) plan.cancelled[i] = static_cast<std::uint8_t>(1 + random.below(largest));
        }
        if (random.one_in(4)) {
            auto& dies = random.one_in(2) ? plan.sender_dies : plan.receiver_dies;
            dies = static_cast<std::uint32_t>(random.below(20 * plan.frames));
        }
        return plan;
    }
};

/// Both ends, and the two threads' code.
class LanePlay {
public:
    LanePlay() : world(&shared_, sizeof shared_) {}
    LanePlay(const LanePlay&) = delete;
    LanePlay& operator=(const LanePlay&) = delete;

    /// One schedule. Gives what is wrong; empty: nothing.
    const std::string& run(const LanePlan& plan, Choices& choices) {
        play_ = this;
        plan_ = plan;
        prepare(choices);
        world.add_thread(&LanePlay::send, sender, plan.sender_dies);
        world.add_thread(&LanePlay::receive, receiver, plan.receiver_dies);
        world.run();
        return world.error();
    }

    /// All schedules of a plan, up to `most` states; stops at the first error.
    Explored run_all(const LanePlan& plan, std::uint64_t most) {
        Explored found;
        AllChoices choices;
        World::hashing = true;
        do {
            found.error = run(plan, choices);
            found.complete = found.error.empty() && choices.states() <= most;
        } while (found.complete && choices.next());
        World::hashing = false;
        found.states = choices.states();
        return found;
    }

    World world;

private:
    using Writer = detail::LaneWriter<ScheduledMemory>;
    using Reader = detail::LaneReader<ScheduledMemory>;
    enum Thread : int { sender, receiver };
    enum Socket : std::size_t { frames_came, room_came };

    struct Shared {
        alignas(detail::line) std::array<std::byte, 32 * detail::line> lane;
        std::uint64_t credit, asleep, wants_room;
    };
    /// What a thread has besides its end of the lane.
    struct Party {
        detail::Generation generation;
        detail::Sleeper<ScheduledMemory> sleeper;
        detail::Ringer<ScheduledMemory> ringer;
    };

    static std::uint32_t payload(std::uint64_t lines) {
        return static_cast<std::uint32_t>(lines * detail::line - header_size);
    }
    static Header header(std::uint32_t number, std::uint32_t size) {
        return {size, Kind::one_way, 0, 0, number, number};
    }
    /// The payload's first word; and the first of each further line, which looks like a frame of one line.
    static std::uint64_t first_word(std::uint32_t number) { return 0x1111'0000'0000'0000u + number; }
    static std::uint64_t further_word(std::uint32_t number, std::uint64_t line_number) {
        return Header{48, Kind::call, 0, static_cast<std::uint16_t>(line_number), number, 0}.first_word();
    }
    static void write_payload(std::byte* to, std::uint32_t number, std::uint64_t lines) {
        const std::uint64_t first = first_word(number);
        ScheduledMemory::copy_out(to, &first, 8);
        for (std::uint64_t i = 1; i < lines; ++i) {
            const std::uint64_t further = further_word(number, i);
            ScheduledMemory::copy_out(to + i * detail::line - header_size, &further, 8);
        }
    }

    void prepare(Choices& choices) {
        world.begin(choices);
        ScheduledMemory::lane = shared_.lane.data();
        ScheduledMemory::lane_size = plan_.shape.size;
        ScheduledMemory::credit = &shared_.credit;
        ScheduledMemory::reset(Weakened::nothing);
        // In a fixed order, so that equal states look equal.
        for (std::uint64_t at = 0; at < plan_.shape.size; at += detail::line) {
            for (const std::uint64_t word : {0u, 8u, 16u}) (void)world.load(word_at(at + word), Order::relaxed);
        }
        for (const std::uint64_t* word : {&shared_.credit, &shared_.asleep, &shared_.wants_room})
            (void)world.load(word, Order::relaxed);

        writer_ = Writer(shared_.lane.data(), plan_.shape, &shared_.credit, plan_.shape.size);
        reader_ = Reader(shared_.lane.data(), plan_.shape, &shared_.credit);
        sending_ = {{},
                    detail::Sleeper<ScheduledMemory>(&shared_.wants_room),
                    detail::Ringer<ScheduledMemory>(&shared_.asleep)};
        receiving_ = {{},
                      detail::Sleeper<ScheduledMemory>(&shared_.asleep),
                      detail::Ringer<ScheduledMemory>(&shared_.wants_room)};
        Frame frame;
        for (std::uint32_t i = 0; i < plan_.before; ++i) {
            if (writer_.reserve(payload(1)) == nullptr) return world.fail("no room in an empty lane");
            writer_.commit(header(i, payload(1)));
            if (!reader_.peek(frame)) return world.fail("a frame is not found by its own thread");
            reader_.release();
        }
        (void)reader_.take_shown();
        // Old payloads lie about, but in the places that were cleared for what comes next.
        if (plan_.before != 0) {
            for (std::uint64_t i = 2; i < plan_.shape.size / detail::line; ++i) {
                const std::uint64_t at = (writer_.published() + i * detail::line) % plan_.shape.size;
                world.store(word_at(at), further_word(99, 1), Order::relaxed);
            }
        }
        ScheduledMemory::reset(plan_.weakened);
        committed_ = 0;
    }
    std::uint64_t* word_at(std::uint64_t at) { return reinterpret_cast<std::uint64_t*>(shared_.lane.data() + at); }

    static void fence(Fence which) {
        ScheduledMemory::next_fence = which;
        ScheduledMemory::fence();
    }
    /// Nobody has more to do with it than to ring once for each sleep.
    void ring(Socket socket) { (void)world.put(socket, 0, 1); }
    /// False: nobody will ring any more.
    bool slept(Party& party, Socket socket, bool sleep) {
        int bytes = -1;
        if (sleep) {
            world.sleep(1u << socket);
            std::array<std::uint8_t, World::most_bytes> taken{};
            bytes = world.take(socket, taken.data());
        }
        if (bytes > 0 || plan_.forgotten == Forgotten::draining_before_counting) party.generation.drained();
        party.sleeper.disarm();
        return bytes != 0;
    }
    void here(int label, std::uint64_t progress, const Party& party, const auto& lane_state) {
        if (!World::hashing) return;
        std::uint64_t hash = progress;
        const auto add = [&](const auto& words) {
            for (const std::uint64_t word : words) hash = (hash ^ word) * 0x9e3779b97f4a7c15u + (hash >> 29);
        };
        add(lane_state);
        add(std::bit_cast<std::array<std::uint64_t, 2>>(party.sleeper));
        add(std::bit_cast<std::array<std::uint64_t, 3>>(party.ringer));
        world.here(label, hash, party.generation.value());
    }

    static void send(int) { play_->send_all(); }
    void send_all() {
        for (std::uint32_t number = 0; number < plan_.frames; ++number) {
            here(1, number, sending_, detail::LaneProbe::state(writer_));
            if (const std::uint64_t lines = plan_.cancelled[number]; lines != 0) {
                if (std::byte* const to = writer_.reserve(payload(lines)); to != nullptr) {
                    write_payload(to, 88, lines);
                    writer_.cancel();
                }
            }
            std::byte* const to = room_for(payload(plan_.reserved[number]));
            if (to == nullptr) return;
            write_payload(to, number, plan_.reserved[number]);
            writer_.commit(header(number, payload(plan_.used[number])));
            committed_ = number + 1;
            fence(Fence::after_frame);
            if (sending_.ringer.due() != detail::Bell::none) ring(frames_came);
        }
    }
    /// Null: the receiver is dead.
    std::byte* room_for(std::uint32_t size) {
        for (;;) {
            here(2, committed_, sending_, detail::LaneProbe::state(writer_));
            if (std::byte* const to = writer_.reserve(size)) return to;
            if (writer_.refused() != detail::Room::full) world.fail("a writer found fault with an honest reader");
            sending_.sleeper.arm(detail::Bell::call, sending_.generation);
            fence(Fence::before_waiting_for_room);
            const bool room = plan_.forgotten != Forgotten::second_look && writer_.has_room(size);
            if (!slept(sending_, room_came, !room)) return nullptr;
        }
    }

    static void receive(int) { play_->receive_all(); }
    void receive_all() {
        std::uint32_t got = 0;
        for (bool ended = false; got < plan_.frames;) {
            here(3, got, receiving_, detail::LaneProbe::state(reader_));
            Frame frame;
            if (reader_.peek(frame)) {
                take(frame, got++);
                continue;
            }
            if (reader_.violated()) world.fail("a reader found fault with an honest writer");
            if (ended) break;
            credit_shown();
            ended = !sleep_for_frames();
            if (ended) reader_.end_after_one_lap();
        }
        if (world.dead(sender) && (got < committed_ || got > committed_ + 1))
            world.fail("what was published before the death does not arrive");
    }
    void take(const Frame& frame, std::uint32_t number) {
        const std::uint64_t lines = plan_.used[number];
        if (!(frame.header == header(number, payload(lines)))) world.fail("another frame than the next one was sent");
        const auto* const words = reinterpret_cast<const std::uint64_t*>(frame.payload);
        world.copy(words, first_word(number));
        for (std::uint64_t i = 1; i < lines; ++i)
            world.copy(words + (i * detail::line - header_size) / 8, further_word(number, i));
        reader_.release();
        credit_shown();
    }
    void credit_shown() {
        if (!reader_.take_shown() || plan_.forgotten == Forgotten::ringing_for_credit) return;
        fence(Fence::after_credit);
        if (receiving_.ringer.due() != detail::Bell::none) ring(room_came);
    }
    /// False: the sender is dead.
    bool sleep_for_frames() {
        reader_.show_credit();
        receiving_.sleeper.arm(detail::Bell::call, receiving_.generation);
        fence(Fence::before_sleep);
        credit_shown();
        const bool frames = plan_.forgotten != Forgotten::second_look && reader_.promising();
        return slept(receiving_, frames_came, !frames);
    }

    static inline LanePlay* play_ = nullptr;

    Shared shared_;
    LanePlan plan_;
    Writer writer_;
    Reader reader_;
    Party sending_, receiving_;
    std::uint32_t committed_ = 0;
};

}  // namespace qbipc::testing
