// SPDX-License-Identifier: BSL-1.0
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include <qbipc/detail/calls.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using namespace std::chrono_literals;
using qbipc::Clock;
using qbipc::errc;
using qbipc::Kind;
using qbipc::PlainMemory;
using qbipc::detail::Calls;
using qbipc::detail::CallSlot;
using qbipc::detail::Outcome;
using qbipc::detail::ReceivedMessage;

/// An answer of a few bytes.
struct AnswerTo {
    explicit AnswerTo(std::uint32_t correlation)
        : message{{{4, Kind::answer, 0, 0, 1, correlation}, bytes}, sizeof bytes} {
        std::memcpy(bytes, &correlation, sizeof correlation);
    }
    std::byte bytes[4];
    ReceivedMessage message;
};
/// Gives the answer to whoever waits for it: a token, a function, or nobody.
bool arrive(Calls& calls, std::uint32_t correlation) {
    const AnswerTo answer(correlation);
    CallSlot* slot = calls.find(correlation);
    if (slot == nullptr) return false;
    if (auto then = calls.take_waiting(*slot)) {
        then({{}, &answer.message});
        return true;
    }
    return calls.complete<PlainMemory>(*slot, answer.message);
}
CallSlot& waiting(Calls& calls) {
    CallSlot* slot = calls.open();
    REQUIRE(slot != nullptr);
    calls.await(*slot);
    return *slot;
}

}  // namespace

TEST_CASE("a slot gets its own answer, and is free once that was taken", "[calls]") {
    Calls calls;
    CallSlot& a = waiting(calls);
    CallSlot& b = waiting(calls);
    CHECK(&a != &b);
    CHECK(a.correlation != b.correlation);
    CHECK_FALSE(arrive(calls, b.correlation + 1));
    CHECK(arrive(calls, b.correlation));
    CHECK(a.state == CallSlot::waiting);
    REQUIRE(b.state == CallSlot::done);
    CHECK(b.payload.size() == 4);
    CHECK(b.header.correlation == b.correlation);
    CHECK_FALSE(arrive(calls, b.correlation));  // twice
    Calls::vacate(b);
    CHECK(b.state == CallSlot::vacant);
    CHECK(arrive(calls, a.correlation));
}

TEST_CASE("a dropped slot is free once its answer has come; its answer is late", "[calls]") {
    Calls calls;
    CallSlot& before = waiting(calls);
    CallSlot& after = waiting(calls);
    Calls::drop(before);
    CHECK(before.state == CallSlot::dropped);
    CHECK_FALSE(arrive(calls, before.correlation));
    CHECK(before.state == CallSlot::vacant);
    CHECK(arrive(calls, after.correlation));
    Calls::drop(after);
    CHECK(after.state == CallSlot::vacant);
}

TEST_CASE("a withdrawn slot is free, and a function withdrawn never runs", "[calls]") {
    Calls calls;
    int ran = 0;
    CallSlot& plain = waiting(calls);
    calls.withdraw(plain);
    CHECK(plain.state == CallSlot::vacant);
    CallSlot* slot = calls.open();
    calls.await(
        *slot, [&](const Outcome&) { ++ran; }, Clock::time_point::max());
    CHECK(calls.has_functions());
    CHECK(calls.withdraw_function(*slot));
    CHECK_FALSE(calls.has_functions());
    calls.fail_all(errc::disconnected);
    CHECK_FALSE(arrive(calls, slot->correlation));
    CHECK(ran == 0);
}

TEST_CASE("a function whose deadline comes while its request waits for room has run, and its slot is free", "[calls]") {
    Calls calls;
    int ran = 0;
    CallSlot* slot = calls.open();
    calls.await(
        *slot, [&](const Outcome& outcome) { ran += outcome.error == errc::timed_out; }, Clock::time_point{});
    calls.expire(Clock::now());
    CHECK(ran == 1);
    CHECK(slot->state == CallSlot::vacant);
    CHECK_FALSE(calls.withdraw_function(*slot));
    CHECK(slot->state == CallSlot::vacant);
    CHECK_FALSE(arrive(calls, slot->correlation));  // its answer, when one comes late
    CHECK(calls.was_issued(slot->correlation));
}

TEST_CASE("as many as there are slots are outstanding, however long some of them last", "[calls]") {
    Calls calls;
    std::vector<CallSlot*> all;
    for (std::size_t i = 0; i < Calls::most; ++i) all.push_back(&waiting(calls));
    CHECK(calls.open() == nullptr);
    CHECK(calls.open() == nullptr);
    CHECK(arrive(calls, all[1000]->correlation));
    CHECK(calls.open() == nullptr);  // its token has it
    Calls::vacate(*all[1000]);
    CallSlot* again = calls.open();
    REQUIRE(again == all[1000]);
    CHECK(calls.find(again->correlation) == nullptr);  // it doesn't wait yet
}

TEST_CASE("a correlation that was never given out is known as such, across the end of the numbers", "[calls]") {
    Calls calls;
    for (const std::uint32_t none : {0u, 1u, 2u, 0x7fff'ffffu, 0x8000'0000u, 0xffff'ffffu})
        CHECK_FALSE(calls.was_issued(none));
    CHECK(calls.issue() == 1);
    CHECK(calls.was_issued(1));
    for (const std::uint32_t none : {0u, 2u, 0x7fff'ffffu, 0x8000'0000u, 0xffff'ffffu})
        CHECK_FALSE(calls.was_issued(none));
    CallSlot& slot = waiting(calls);
    CHECK(calls.was_issued(slot.correlation));

    Calls many((std::uint64_t{1} << 32) - 2);
    CHECK(many.issue() == 0xffff'ffff);
    CHECK_FALSE(many.was_issued(0));
    CHECK(many.issue() == 0);
    // However long ago.
    for (const std::uint32_t before : {0u, 0xffff'ffffu, 0xffff'0000u, 0x8000'0000u, 0x7fff'ffffu, 1u})
        CHECK(many.was_issued(before));
}

TEST_CASE("the number of a call that waits isn't given to another, when the numbers have begun again", "[calls]") {
    Calls calls(std::uint64_t{1} << 32);
    CallSlot& slot = waiting(calls);
    REQUIRE(slot.correlation == 1);
    slot.correlation = 1 + Calls::most;  // as if it had waited for 2^32 calls, less a few
    for (std::uint32_t i = 2; i <= Calls::most; ++i) REQUIRE(calls.issue() == i);
    CHECK(calls.issue() == 2 + Calls::most);
    CHECK(arrive(calls, 1 + Calls::most));
}

TEST_CASE("a late answer isn't given to the call that has its number's slot now", "[calls]") {
    Calls calls;
    const std::uint32_t first = calls.issue();
    while (calls.issue() != first + Calls::most - 1) {
    }
    CallSlot& slot = waiting(calls);
    REQUIRE(slot.correlation == first + Calls::most);
    CHECK(calls.find(first) == nullptr);
    CHECK(calls.was_issued(first));
    CHECK_FALSE(arrive(calls, first));
    CHECK(slot.state == CallSlot::waiting);
    CHECK(arrive(calls, slot.correlation));
}

TEST_CASE("functions end at their deadlines, nearest first, and only once", "[calls]") {
    Calls calls;
    std::vector<int> order;
    const auto start = Clock::now();
    std::vector<std::uint32_t> correlations;
    for (const int seconds : {5, 2, 9, 2}) {
        CallSlot* slot = calls.open();
        correlations.push_back(slot->correlation);
        const bool nearest = calls.await(
            *slot,
            [&order, seconds](const Outcome& outcome) {
                order.push_back(outcome.error == errc::timed_out ? seconds : -seconds);
            },
            start + std::chrono::seconds(seconds));
        CHECK(nearest == (seconds == 5 || (seconds == 2 && correlations.size() == 2)));
    }
    CHECK(calls.nearest() == start + 2s);
    calls.expire(start + 1s);
    CHECK(order.empty());
    calls.expire(start + 3s);
    CHECK(order == std::vector<int>{2, 2});
    CHECK(calls.nearest() == start + 5s);
    CHECK_FALSE(arrive(calls, correlations[1]));  // late
    CHECK(arrive(calls, correlations[0]));
    CHECK(order == std::vector<int>{2, 2, -5});
    calls.fail_all(errc::disconnected);
    CHECK(order == std::vector<int>{2, 2, -5, -9});
    calls.fail_all(errc::disconnected);
    calls.expire(Clock::time_point::max());
    CHECK(order.size() == 4);
    CHECK_FALSE(calls.has_functions());
}

TEST_CASE("one thread starts calls and drops some, another answers: each answered once, or late", "[calls][threads]") {
    Calls calls;
    constexpr std::uint32_t count = 30'000;
    std::vector<std::atomic<std::uint32_t>> sent(count);
    std::atomic<std::uint32_t> published = 0, functions = 0, wrong = 0;
    std::uint32_t taken = 0, late = 0, tokens = 0;
    std::thread answering([&] {
        qbipc::testing::Random random(91);
        for (std::uint32_t next = 0; next < count;) {
            if (published.load(std::memory_order_acquire) <= next) {
                std::this_thread::yield();
                continue;
            }
            if (random.one_in(50)) calls.expire(Clock::now());
            const auto correlation = sent[next++].load(std::memory_order_relaxed);
            if (!calls.was_issued(correlation)) ++wrong;
            arrive(calls, correlation) ? ++taken : ++late;
        }
    });
    qbipc::testing::Random random(92);
    std::vector<CallSlot*> waiting_slots;
    const auto collect = [&](bool all) {
        std::erase_if(waiting_slots, [&](CallSlot* slot) {
            if (slot->state.load(std::memory_order_acquire) != CallSlot::done) {
                if (!all || !random.one_in(10)) return false;
                Calls::drop(*slot);
                return true;
            }
            std::uint32_t answer = 0;
            std::memcpy(&answer, slot->payload.data(), sizeof answer);
            if (answer != slot->correlation || slot->header.correlation != answer) ++wrong;
            ++tokens;
            Calls::vacate(*slot);
            return true;
        });
    };
    std::uint32_t ran_in_time = 0;
    for (std::uint32_t i = 0; i < count;) {
        CallSlot* slot = calls.open();
        if (slot == nullptr) {
            collect(true);
            std::this_thread::yield();
            continue;
        }
        const std::uint32_t correlation = slot->correlation;
        if (random.one_in(3)) {
            calls.await(
                *slot, [&](const Outcome&) { ++functions; },
                Clock::now() + std::chrono::microseconds(random.below(2000)));
            ++ran_in_time;
        } else {
            calls.await(*slot);
            random.one_in(4) ? Calls::drop(*slot) : waiting_slots.push_back(slot);
        }
        sent[i].store(correlation, std::memory_order_relaxed);
        published.store(++i, std::memory_order_release);
        if (random.one_in(100)) collect(false);
    }
    answering.join();
    collect(false);
    CHECK(wrong == 0);
    CHECK(functions == ran_in_time);
    CHECK(taken + late == count);
    CHECK(tokens <= taken);
    CHECK_FALSE(calls.has_functions());
}
