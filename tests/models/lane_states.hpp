// SPDX-License-Identifier: BSL-1.0
// lane_states.hpp: a lane must never refuse a frame for ever. All states of small lanes, driven by LaneWriter and
// LaneReader themselves: every row of frame sizes, each taken or not taken at every moment. Stuck: the receiver has
// taken all there was, has shown its credit and sleeps; the sender has no room, and so nobody moves.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <qbipc/detail/lane_reader.hpp>
#include <qbipc/detail/lane_writer.hpp>

#include "explorer.hpp"
#include "support/lane_probe.hpp"

namespace qbipc::testing::lane_states {

using namespace qbipc::detail;

constexpr std::uint64_t most_lines = 16;

/// The one lane that all states share: each state puts its words here before it acts. Payloads are never written.
alignas(line) inline std::array<std::byte, most_lines * line> arena;
inline std::uint64_t credit_word;
inline bool lose_credit;  ///< a fault: credit stored now doesn't arrive

struct ModelMemory : PlainMemory {
    static void store_release(std::uint64_t* word, std::uint64_t value) noexcept {
        if (word != &credit_word || !lose_credit) PlainMemory::store_release(word, value);
    }
};

/// Which rules hold.
struct Rules {
    std::uint64_t lines = 8;           ///< of the lane
    std::uint64_t largest = 2;         ///< frame, in lines
    std::uint64_t window = 8;          ///< in lines
    std::uint64_t step = 1;            ///< of credit, in lines
    bool credit_between_steps = true;  ///< stored at each release, and when the lane is found empty
    bool lone_marker = true;
    bool marker_wakes = false;  ///< a marker that went alone wakes a reader that sleeps; not needed up to a quarter
};

inline std::uint64_t& word_at(std::uint64_t at) { return *reinterpret_cast<std::uint64_t*>(arena.data() + at); }

using Writer = LaneWriter<ModelMemory>;
using Reader = LaneReader<ModelMemory>;

struct State {
    std::array<std::uint64_t, most_lines> words{};  ///< the first word of each line
    std::uint64_t credit = 0;
    Writer writer;
    Reader reader;
    bool drained = false;  ///< the reader has just found the lane empty

    explicit State(const Rules& rules)
        : State(LaneShape{rules.lines * line, rules.window * line, rules.step * line, rules.largest * line}) {}
    explicit State(const LaneShape& shape)
        : writer(arena.data(), shape, &credit_word, shape.size), reader(arena.data(), shape, &credit_word) {}

    void put() const {
        for (std::uint64_t i = 0; i < most_lines; ++i) word_at(i * line) = words[i];
        credit_word = credit;
    }
    void take() {
        for (std::uint64_t i = 0; i < most_lines; ++i) words[i] = word_at(i * line);
        credit = credit_word;
        LaneProbe::rebase(writer, reader, credit);
    }
    /// Words outside the frames under way are left out: whoever took one of them for a frame would find other sizes.
    std::string key() const {
        const auto [head, limit, turn, easy_end, cleared, refused] = LaneProbe::state(writer);
        const auto [tail, announced, stop, found] = LaneProbe::state(reader);
        std::string text;
        for (const std::uint64_t value : {head, limit, turn, easy_end, cleared, tail, announced, credit})
            text += static_cast<char>(value / line);
        text += static_cast<char>(drained);
        for (std::uint64_t at = reader.taken(); at != writer.published();) {
            const std::uint64_t word = words[at % writer.shape().size / line];
            const std::uint64_t span =
                word == wrap_marker ? writer.shape().size - at % writer.shape().size : frame_span(word & 0xffffffff);
            text += static_cast<char>(word == wrap_marker ? 0 : span / line);
            at += span;
        }
        return text;
    }
};

inline std::uint32_t payload_of(std::uint64_t frame_lines) {
    return static_cast<std::uint32_t>(frame_lines * line - header_size);
}

inline Explored search(const Rules& rules) {
    arena.fill(std::byte{0});
    const auto reserve = [&](State& state, std::uint64_t frame_lines) {
        const State before = state;
        std::byte* const to = state.writer.reserve(payload_of(frame_lines));
        if (to == nullptr && !rules.lone_marker && state.writer.published() != before.writer.published()) {
            state = before;
            state.put();
        }
        return to;
    };
    return explore(State(rules), [&](const State& state, std::vector<State>& next) -> std::string {
        for (std::uint64_t frame_lines = 1; frame_lines <= rules.largest; ++frame_lines) {
            State sent = state;
            sent.put();
            if (reserve(sent, frame_lines) != nullptr) {
                sent.writer.commit(Header{.size = payload_of(frame_lines), .kind = Kind::one_way});
                sent.drained = false;
            } else if (sent.writer.refused() != Room::full) {
                return "a writer found fault with an honest reader";
            } else if (state.drained) {
                if (!rules.marker_wakes || sent.writer.published() == state.writer.published()) return "stuck";
                sent.drained = false;
            }
            sent.take();
            next.push_back(sent);
        }
        State received = state;
        received.put();
        lose_credit = !rules.credit_between_steps;
        Frame frame;
        const bool there = received.reader.peek(frame);
        lose_credit = false;
        if (received.reader.violated()) return "a reader found fault with an honest writer";
        if (there) {
            const std::uint64_t before = credit_word;
            received.reader.release();
            if (!rules.credit_between_steps && !received.reader.take_shown()) credit_word = before;
        } else if (received.reader.taken() != received.writer.published()) {
            return "a published frame was not found";
        }
        received.drained = !there;
        received.take();
        next.push_back(received);
        return {};
    });
}

}  // namespace qbipc::testing::lane_states
