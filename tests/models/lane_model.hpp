// SPDX-License-Identifier: BSL-1.0
// lane_model.hpp: a lane with its credit and both its sleepers, step by step, on a weak memory.
//
// The sender sends frames of one or two lines, whose second line looks like a published word, also where two lines were
// reserved and written, and one is used; the receiver takes them. Once a frame is out the sender clears the place after
// the next one, if that is to be as long. Either sleeps when it has nothing to do: the receiver until frames come, the
// sender until room comes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "explorer.hpp"
#include "weak_memory.hpp"

namespace qbipc::testing::lane_model {

constexpr std::uint8_t lines = 3, step = 2;  // the lane, and the receiver's credit step

enum class Fault {
    none,
    next_not_cleared,
    cleared_after_commit,
    cleared_ahead_is_trusted,  ///< though a payload may have covered it since
    commit_is_relaxed,
    no_fence_after_commit,
    no_fence_before_sleep,
    no_second_look,
    credit_wakes_nobody,
    credit_after_fence,
};

enum Place : std::size_t { word, payload = word + lines, credit = payload + lines, asleep, wants_room, places };
enum Bell : std::size_t { frames_came, room_came };

using Machine = WeakMachine<2, places, 2, 6>;
using Value = Machine::Value;
constexpr std::size_t sender = 0, receiver = 1;

enum Sending : Value {
    find_room,
    write_frame,
    fence_frame,
    look_asleep,
    ring_receiver,
    fence_want,
    look_room,
    sleep_room,
    awake_room
};
enum SenderKnows : std::size_t { next_frame, head, credit_seen, room_generation, asleep_rung, cleared };
enum Receiving : Value {
    look_word,
    read_payload,
    take,
    fence_credit,
    look_wants,
    ring_sender,
    arm,
    fence_arm,
    look_wants_asleep,
    look_again,
    sleep_frames,
    awake_frames
};
enum ReceiverKnows : std::size_t { taken, tail, shown, frames_generation, room_rung };

constexpr Value armed(Value generation) { return static_cast<Value>(2 * generation + 1); }

/// One configuration: how many frames, what each is (a digit to the base of three: one line, two, two of which one is
/// used), and what is broken.
struct Model {
    Value frames;
    unsigned row;
    Fault fault = Fault::none;

    unsigned kind(Value frame) const {
        unsigned rest = row;
        for (Value i = 0; i < frame; ++i) rest /= 3;
        return rest % 3;
    }
    Value reserved(Value frame) const { return kind(frame) == 0 ? 1 : 2; }
    Value length(Value frame) const { return kind(frame) == 1 ? 2 : 1; }
    static std::size_t at(Place base, int line) { return base + static_cast<std::size_t>(line % lines); }

    std::string operator()(const Machine& now, std::vector<Machine>& next) const {
        std::string wrong;
        send(now, next);
        receive(now, next, wrong);
        const bool done = now.threads[sender].reg[next_frame] == frames && now.threads[receiver].reg[taken] == frames;
        if (wrong.empty() && next.empty() && !done) {
            const bool receiver_sleeps = now.threads[receiver].at == sleep_frames;
            const bool sender_sleeps = now.threads[sender].at == sleep_room;
            wrong = receiver_sleeps && sender_sleeps ? "both asleep"
                    : receiver_sleeps                ? "receiver asleep for ever"
                                                     : "sender asleep for ever";
        }
        return wrong;
    }

private:
    void send(const Machine& now, std::vector<Machine>& next) const {
        const auto& me = now.threads[sender];
        const Value frame = me.reg[next_frame];
        const Value span = frame < frames ? reserved(frame) : Value{0};
        const auto has_room = [&](Value seen) { return me.reg[head] + span + 1 - seen <= lines; };
        Machine after = now;
        auto& then = after.threads[sender];
        switch (static_cast<Sending>(me.at)) {
            case find_room:
                if (frame == frames) return;
                if (has_room(me.reg[credit_seen])) {
                    then.at = write_frame;
                    break;
                }
                now.load(sender, credit, Order::synchronizing, [&](Machine& state, Value value) {
                    auto& thread = state.threads[sender];
                    thread.reg[credit_seen] = value;
                    thread.at = has_room(value) ? write_frame : fence_want;
                    if (thread.at == fence_want) state.store(sender, wants_room, armed(thread.reg[room_generation]));
                    next.push_back(state);
                });
                return;
            case write_frame: {
                // What was cleared ahead counts only if this payload ends before it.
                if (me.reg[head] + span != me.reg[cleared] && fault != Fault::cleared_ahead_is_trusted)
                    then.reg[cleared] = 0;
                after.store(sender, at(payload, me.reg[head]), static_cast<Value>(frame + 1));
                if (span == 2) {
                    after.store(sender, at(word, me.reg[head] + 1), 1);  // payload, but looks like a frame
                    after.store(sender, at(payload, me.reg[head] + 1), 100);
                }
                const Value used = length(frame);
                const auto end = static_cast<Value>(me.reg[head] + used);
                const bool clear = end != then.reg[cleared] && fault != Fault::next_not_cleared;
                if (clear && fault != Fault::cleared_after_commit) after.store(sender, at(word, end), 0);
                after.store(sender, at(word, me.reg[head]), used,
                            fault == Fault::commit_is_relaxed ? Order::relaxed : Order::synchronizing);
                if (clear && fault == Fault::cleared_after_commit) after.store(sender, at(word, end), 0);
                then.reg[head] = end;
                if (end + used + 1 - me.reg[credit_seen] <= lines && fault != Fault::next_not_cleared) {
                    then.reg[cleared] = static_cast<Value>(end + used);
                    after.store(sender, at(word, end + used), 0);
                }
                ++then.reg[next_frame];
                then.at = fence_frame;
                break;
            }
            case fence_frame:
                if (fault != Fault::no_fence_after_commit) after.fence(sender);
                then.at = look_asleep;
                break;
            case look_asleep:
                now.load(sender, asleep, Order::relaxed, [&](Machine& state, Value value) {
                    auto& thread = state.threads[sender];
                    const bool ring = value != 0 && value != thread.reg[asleep_rung];
                    if (ring) thread.reg[asleep_rung] = value;
                    thread.at = ring ? ring_receiver : find_room;
                    next.push_back(state);
                });
                return;
            case ring_receiver:
                after.ring(sender, frames_came);
                then.at = find_room;
                break;
            case fence_want:
                after.fence(sender);
                then.at = look_room;
                break;
            case look_room:
                now.load(sender, credit, Order::synchronizing, [&](Machine& state, Value value) {
                    state.threads[sender].reg[credit_seen] = value;
                    state.threads[sender].at = has_room(value) ? awake_room : sleep_room;
                    next.push_back(state);
                });
                return;
            case sleep_room:
                if (!now.rung(room_came)) return;
                after.drain(sender, room_came);
                ++then.reg[room_generation];
                then.at = awake_room;
                break;
            case awake_room:
                after.store(sender, wants_room, 0);
                then.at = find_room;
                break;
        }
        next.push_back(after);
    }

    /// A look at the sender's flag, from two places.
    void look_for_sender(const Machine& now, std::vector<Machine>& next, Value if_not) const {
        now.load(receiver, wants_room, Order::relaxed, [&](Machine& state, Value value) {
            auto& thread = state.threads[receiver];
            const bool ring = value != 0 && value != thread.reg[room_rung];
            if (ring) thread.reg[room_rung] = value;
            thread.at = if_not;
            if (ring && if_not == look_word) thread.at = ring_sender;
            if (ring && if_not == look_again) state.ring(receiver, room_came);
            if (if_not == look_again && fault == Fault::credit_after_fence) show(state);
            next.push_back(state);
        });
    }

    static void show(Machine& state) {
        auto& thread = state.threads[receiver];
        if (thread.reg[shown] == thread.reg[tail]) return;
        thread.reg[shown] = thread.reg[tail];
        state.store(receiver, credit, thread.reg[tail], Order::synchronizing);
    }

    void receive(const Machine& now, std::vector<Machine>& next, std::string& wrong) const {
        const auto& me = now.threads[receiver];
        Machine after = now;
        auto& then = after.threads[receiver];
        switch (static_cast<Receiving>(me.at)) {
            case look_word:
                if (me.reg[taken] == frames) return;
                now.load(receiver, at(word, me.reg[tail]), Order::synchronizing, [&](Machine& state, Value value) {
                    if (value != 0 && value != length(me.reg[taken]))
                        wrong = "a stale or foreign word was taken for a frame";
                    state.threads[receiver].at = value != 0 ? read_payload : arm;
                    next.push_back(state);
                });
                return;
            case read_payload:
                now.load(receiver, at(payload, me.reg[tail]), Order::relaxed, [&](Machine& state, Value value) {
                    if (value != me.reg[taken] + 1) wrong = "the payload of another frame was read";
                    state.threads[receiver].at = take;
                    next.push_back(state);
                });
                return;
            case take:
                then.reg[tail] = static_cast<Value>(me.reg[tail] + length(me.reg[taken]));
                ++then.reg[taken];
                then.at = look_word;
                if (then.reg[tail] - me.reg[shown] >= step) {
                    show(after);
                    if (fault != Fault::credit_wakes_nobody) then.at = fence_credit;
                }
                break;
            case fence_credit:
                after.fence(receiver);
                then.at = look_wants;
                break;
            case look_wants:
                look_for_sender(now, next, look_word);
                return;
            case ring_sender:
                after.ring(receiver, room_came);
                then.at = look_word;
                break;
            case arm:
                if (fault != Fault::credit_after_fence && fault != Fault::credit_wakes_nobody) show(after);
                after.store(receiver, asleep, armed(me.reg[frames_generation]));
                then.at = fence_arm;
                break;
            case fence_arm:
                if (fault != Fault::no_fence_before_sleep) after.fence(receiver);
                then.at = look_wants_asleep;
                break;
            case look_wants_asleep:
                if (fault != Fault::credit_wakes_nobody) return look_for_sender(now, next, look_again);
                then.at = look_again;
                break;
            case look_again:
                if (fault == Fault::no_second_look) {
                    then.at = sleep_frames;
                    break;
                }
                now.load(receiver, at(word, me.reg[tail]), Order::synchronizing, [&](Machine& state, Value value) {
                    state.threads[receiver].at = value != 0 ? awake_frames : sleep_frames;
                    next.push_back(state);
                });
                return;
            case sleep_frames:
                if (!now.rung(frames_came)) return;
                after.drain(receiver, frames_came);
                ++then.reg[frames_generation];
                then.at = awake_frames;
                break;
            case awake_frames:
                after.store(receiver, asleep, 0);
                then.at = look_word;
                break;
        }
        next.push_back(after);
    }
};

/// All rows of `frames` frames, from this one on; stops at the first error.
inline Explored search(Value frames, Fault fault, unsigned first_row = 0) {
    Explored sum;
    unsigned rows = 1;
    for (Value i = 0; i < frames; ++i) rows *= 3;
    for (unsigned row = first_row; row < rows && sum.error.empty(); ++row) {
        const Explored one = explore(Machine{}, Model{frames, row, fault});
        sum.states += one.states;
        sum.complete = sum.complete && one.complete;
        sum.error = one.error;
    }
    return sum;
}

}  // namespace qbipc::testing::lane_model
