// SPDX-License-Identifier: BSL-1.0
// split_model.hpp: the two sleeping halves of a split client, and a service that is awake, on a weak memory.
//
// The client's sending half sends requests into a lane that holds one, and sleeps on C until there is room. Its
// receiving half sleeps on E until answers come. The service sleeps on its own bell until requests come. Lanes are
// counters here: how they work inside is lane_model.hpp's matter.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "explorer.hpp"
#include "weak_memory.hpp"

namespace qbipc::testing::split_model {

constexpr std::uint8_t requests = 2;

enum class Fault {
    none,
    one_bell,  ///< both halves sleep on C
    no_fence_after_credit,
    no_fence_after_answer,
    no_fence_before_sleep,
    generation_stands_still,
};

enum Place : std::size_t { request_lane, answer_lane, credit, wants_room, half_asleep, places };
enum Bell : std::size_t { c, e };
enum Who : std::size_t { sending_half, receiving_half, service };

using Machine = WeakMachine<3, places, 2, 4>;
using Value = Machine::Value;

/// What each knows: how many it sent or took, what it knows of the other end, its bell's generation, and whom it rang.
enum Knows : std::size_t { count, seen, generation, rung };
enum RungByService : std::size_t { rung_sender = seen, rung_receiver = rung };

enum Step : Value {
    begin,
    publish,
    fence_published,
    look_flag,
    ring,
    answer,
    fence_answer,
    look_receiver,
    ring_receiver,
    fence_armed,
    look_again,
    asleep,
    awake,
};

struct Model {
    Fault fault;

    std::string operator()(const Machine& now, std::vector<Machine>& next) const {
        send(now, next);
        receive(now, next);
        serve(now, next);
        const bool done =
            now.threads[sending_half].reg[count] == requests && now.threads[receiving_half].reg[count] == requests;
        return next.empty() && !done ? "asleep for ever" : "";
    }

private:
    static Value armed(const Machine::Thread& thread) { return static_cast<Value>(2 * thread.reg[generation] + 1); }

    void fence(Machine& state, Who who, Fault left_out) const {
        if (fault != left_out) state.fence(who);
    }

    /// The steps that all sleepers share: fence, look again, sleep, disarm. `place` moves past `than` when there is
    /// work.
    void sleep(const Machine& now, std::vector<Machine>& next, Who who, Place place, Value than, Place flag,
               Bell bell) const {
        const auto& me = now.threads[who];
        Machine after = now;
        auto& then = after.threads[who];
        switch (static_cast<Step>(me.at)) {
            case fence_armed:
                fence(after, who, Fault::no_fence_before_sleep);
                then.at = look_again;
                break;
            case look_again:
                now.load(who, place, Order::synchronizing, [&](Machine& state, Value value) {
                    state.threads[who].at = value > than ? awake : asleep;
                    next.push_back(state);
                });
                return;
            case asleep:
                if (!now.rung(bell)) return;
                after.drain(who, bell);
                if (fault != Fault::generation_stands_still) ++then.reg[generation];
                then.at = awake;
                break;
            case awake:
                after.store(who, flag, 0);
                then.at = begin;
                break;
            default:
                return;
        }
        next.push_back(after);
    }

    /// A look at somebody's flag: ring once for each generation.
    static void look(const Machine& now, std::vector<Machine>& next, Who who, Place flag, std::size_t last, Step yes,
                     Step no) {
        now.load(who, flag, Order::relaxed, [&](Machine& state, Value value) {
            auto& thread = state.threads[who];
            const bool due = value != 0 && value != thread.reg[last];
            if (due) thread.reg[last] = value;
            thread.at = due ? yes : no;
            next.push_back(state);
        });
    }

    void send(const Machine& now, std::vector<Machine>& next) const {
        const auto& me = now.threads[sending_half];
        Machine after = now;
        auto& then = after.threads[sending_half];
        switch (static_cast<Step>(me.at)) {
            case begin:
                if (me.reg[count] == requests) return;
                now.load(sending_half, credit, Order::synchronizing, [&](Machine& state, Value value) {
                    auto& thread = state.threads[sending_half];
                    thread.at = value == thread.reg[count] ? publish : fence_armed;
                    if (thread.at == fence_armed) state.store(sending_half, wants_room, armed(thread));
                    next.push_back(state);
                });
                return;
            case publish:
                after.store(sending_half, request_lane, ++then.reg[count], Order::synchronizing);
                then.at = begin;
                break;
            default:
                // Room: all but what lies in the lane was taken, so credit is what was sent.
                sleep(now, next, sending_half, credit, static_cast<Value>(me.reg[count] - 1), wants_room, c);
                return;
        }
        next.push_back(after);
    }

    void receive(const Machine& now, std::vector<Machine>& next) const {
        const auto& me = now.threads[receiving_half];
        if (me.at != begin) {
            sleep(now, next, receiving_half, answer_lane, me.reg[count], half_asleep, fault == Fault::one_bell ? c : e);
            return;
        }
        if (me.reg[count] == requests) return;
        now.load(receiving_half, answer_lane, Order::synchronizing, [&](Machine& state, Value value) {
            auto& thread = state.threads[receiving_half];
            if (value > thread.reg[count]) {
                ++thread.reg[count];
            } else {
                state.store(receiving_half, half_asleep, armed(thread));
                thread.at = fence_armed;
            }
            next.push_back(state);
        });
    }

    void serve(const Machine& now, std::vector<Machine>& next) const {
        const auto& me = now.threads[service];
        Machine after = now;
        auto& then = after.threads[service];
        switch (static_cast<Step>(me.at)) {
            case begin:
                if (me.reg[count] == requests) return;
                now.load(service, request_lane, Order::synchronizing, [&](Machine& state, Value value) {
                    if (value == me.reg[count]) return;  // nothing yet: the same state
                    state.threads[service].at = publish;
                    next.push_back(state);
                });
                return;
            case publish:
                after.store(service, credit, ++then.reg[count], Order::synchronizing);
                then.at = fence_published;
                break;
            case fence_published:
                fence(after, service, Fault::no_fence_after_credit);
                then.at = look_flag;
                break;
            case look_flag:
                look(now, next, service, wants_room, rung_sender, ring, answer);
                return;
            case ring:
                after.ring(service, c);
                then.at = answer;
                break;
            case answer:
                after.store(service, answer_lane, me.reg[count], Order::synchronizing);
                then.at = fence_answer;
                break;
            case fence_answer:
                fence(after, service, Fault::no_fence_after_answer);
                then.at = look_receiver;
                break;
            case look_receiver:
                look(now, next, service, half_asleep, rung_receiver, ring_receiver, begin);
                return;
            case ring_receiver:
                after.ring(service, fault == Fault::one_bell ? c : e);
                then.at = begin;
                break;
            default:
                return;
        }
        next.push_back(after);
    }
};

inline Explored search(Fault fault) { return explore(Machine{}, Model{fault}); }

}  // namespace qbipc::testing::split_model
