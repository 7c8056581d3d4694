// SPDX-License-Identifier: BSL-1.0
// detail/calls.hpp: a client's outstanding calls: slots that one thread opens, another completes, and a third may drop.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include <qbipc/detail/message_receiver.hpp>
#include <qbipc/detail/unique_function.hpp>
#include <qbipc/error.hpp>
#include <qbipc/frame.hpp>
#include <qbipc/memory.hpp>
#include <qbipc/time.hpp>

namespace qbipc::detail {

/// What became of a call: an answer or error frame, or an error of this side.
struct Outcome {
    std::error_code error;
    const ReceivedMessage* message = nullptr;
};

/// Where the answer of a started call is awaited. Its owner (the sending thread until it is open, then whoever `state`
/// says) alone touches the other members.
struct CallSlot {
    enum State : std::uint32_t {
        vacant,   ///< the sending thread's
        waiting,  ///< for its answer: the receiving thread's
        filling,  ///< the receiving thread copies the answer
        done,     ///< the answer is here: the token's
        dropped,  ///< nobody wants it any more; the answer, when it comes, makes the slot vacant
    };
    static constexpr Clock::rep no_function = Clock::time_point::min().time_since_epoch().count();

    std::atomic<std::uint32_t> state{vacant};
    std::atomic<std::uint32_t> correlation{0};
    /// Of a call whose answer a function waits for. Who looks through the slots may read it, whosever the slot is.
    std::atomic<Clock::rep> deadline{no_function};
    UniqueFunction<void(const Outcome&)> then;
    Header header{};
    std::vector<std::byte> payload;
    bool no_memory = false;  ///< the answer has come, and there was none for it
};

/// The slots of one connection. A call's correlation says its slot: at most 4,096 are outstanding at once. No locks:
/// the state of a slot says whose it is, and each change of owner is one atomic operation.
class Calls {
public:
    static constexpr std::size_t most = 4096;

    /// `made`: calls before the first; tests begin near the end of the numbers.
    explicit Calls(std::uint64_t made = 0) noexcept : issued_(made) {}
    Calls(const Calls&) = delete;
    Calls& operator=(const Calls&) = delete;
    ~Calls() {
        for (auto& chunk : chunks_) delete chunk.load(std::memory_order_relaxed);
    }

    // ---- the sending thread

    /// A correlation for a call that is waited for at once: it has no slot.
    std::uint32_t issue() noexcept {
        std::uint64_t next = issued_.load(std::memory_order_relaxed) + 1;
        // Once the numbers began again, that of one who still waits is passed over.
        if (next >> 32 != 0) [[unlikely]]
            while (find(static_cast<std::uint32_t>(next)) != nullptr) ++next;
        issued_.store(next, std::memory_order_release);
        return static_cast<std::uint32_t>(next);
    }

    /// A slot with a correlation of its own; null when all are taken. It waits from `slot->state = waiting` on.
    CallSlot* open() {
        std::uint64_t next = issued_.load(std::memory_order_relaxed);
        for (std::size_t tried = 0; tried < most; ++tried) {
            const auto correlation = static_cast<std::uint32_t>(++next);
            CallSlot& slot = place(correlation);
            if (slot.state.load(std::memory_order_acquire) != CallSlot::vacant) continue;
            slot.correlation = correlation;
            issued_.store(next, std::memory_order_release);
            return &slot;
        }
        return nullptr;
    }

    /// A slot waits, with a function for its outcome. True: its deadline is now the nearest of all.
    bool await(CallSlot& slot, UniqueFunction<void(const Outcome&)> then, Clock::time_point deadline) {
        slot.then = std::move(then);
        slot.no_memory = false;
        slot.deadline.store(deadline.time_since_epoch().count(), std::memory_order_relaxed);
        functions_.fetch_add(1, std::memory_order_relaxed);
        slot.state.store(CallSlot::waiting, std::memory_order_release);
        return bring_forward(deadline);
    }
    void await(CallSlot& slot) noexcept {
        slot.deadline.store(CallSlot::no_function, std::memory_order_relaxed);
        slot.state.store(CallSlot::waiting, std::memory_order_release);
    }

    /// The request of an open slot, or of one with a function, could not be sent. False: its function has run already.
    void withdraw(CallSlot& slot) noexcept {
        std::uint32_t expected = CallSlot::waiting;
        if (!slot.state.compare_exchange_strong(expected, CallSlot::vacant, std::memory_order_acq_rel)) drop(slot);
    }
    bool withdraw_function(CallSlot& slot) noexcept {
        std::uint32_t expected = CallSlot::waiting;
        if (!slot.state.compare_exchange_strong(expected, CallSlot::filling, std::memory_order_acq_rel)) return false;
        take_function(slot).reset();
        slot.state.store(CallSlot::vacant, std::memory_order_release);
        return true;
    }

    // ---- the receiving thread

    /// The slot that waits for this correlation, or null: a call without a slot, or one that nobody waits for.
    CallSlot* find(std::uint32_t correlation) noexcept {
        Chunk* chunk = chunks_[index_of(correlation) / chunk_size].load(std::memory_order_acquire);
        if (chunk == nullptr) return nullptr;
        CallSlot& slot = (*chunk)[index_of(correlation) % chunk_size];
        const std::uint32_t state = slot.state.load(std::memory_order_acquire);
        if (state != CallSlot::waiting && state != CallSlot::dropped) return nullptr;
        return slot.correlation == correlation ? &slot : nullptr;
    }

    /// Whether such a call was made, however long ago: numbers are compared by distance, for they wrap.
    bool was_issued(std::uint32_t correlation) const noexcept {
        const std::uint64_t issued = issued_.load(std::memory_order_acquire);
        return static_cast<std::uint32_t>(issued) - correlation < issued;
    }

    /// The answer of a found slot has come, and a function waits for it: the function, which is the caller's to run.
    /// The slot is free then. Null: no function waits.
    UniqueFunction<void(const Outcome&)> take_waiting(CallSlot& slot) noexcept {
        if (!has_function(slot) || !claim(slot)) return {};
        auto then = take_function(slot);
        slot.state.store(CallSlot::vacant, std::memory_order_release);
        return then;
    }

    /// Whether a function waits there for an answer.
    static bool has_function(const CallSlot& slot) noexcept {
        return slot.deadline.load(std::memory_order_relaxed) != CallSlot::no_function;
    }
    /// The answer of a slot with a function has come, but there is no memory to keep it until the function may run:
    /// expire() tells it so. False: the call was withdrawn meanwhile.
    bool fail_later(CallSlot& slot) noexcept {
        if (!claim(slot)) return false;
        slot.no_memory = true;
        failed_.fetch_add(1, std::memory_order_relaxed);
        const Clock::time_point now = Clock::now();
        slot.deadline.store(now.time_since_epoch().count(), std::memory_order_relaxed);
        slot.state.store(CallSlot::waiting, std::memory_order_release);  // nobody drops one with a function
        bring_forward(now);
        return true;
    }

    /// The answer of a found slot has come, for its token. False: nobody wanted it any more.
    template <MemoryPolicy Memory>
    bool complete(CallSlot& slot, const ReceivedMessage& message) {
        std::uint32_t expected = CallSlot::waiting;
        if (!slot.state.compare_exchange_strong(expected, CallSlot::filling, std::memory_order_acq_rel)) {
            if (expected == CallSlot::dropped) slot.state.store(CallSlot::vacant, std::memory_order_release);
            return false;
        }
        slot.header = message.header;
        slot.no_memory = !copy_payload<Memory>(message, slot.payload);
        expected = CallSlot::filling;
        if (!slot.state.compare_exchange_strong(expected, CallSlot::done, std::memory_order_acq_rel))
            vacate(slot);  // dropped meanwhile
        return true;
    }

    /// Runs the functions whose deadline has passed, with timed_out; or, with another error, all of them.
    void expire(Clock::time_point now) {
        if (functions_.load(std::memory_order_relaxed) == 0 ||
            now.time_since_epoch().count() < nearest_.load(std::memory_order_relaxed))
            return;
        // A function may wait for calls itself, or throw: what is still to be done is remembered before it runs, and
        // forgotten by one more round, in which none does.
        bool ran = false;
        for (const bool may_run : {true, false}) {
            nearest_.exchange(never, std::memory_order_acq_rel);
            for_each_function([&](CallSlot& slot) {
                const Clock::time_point deadline(Clock::duration(slot.deadline.load(std::memory_order_relaxed)));
                bring_forward(deadline);
                if (!may_run || deadline > now) return;
                ran = true;
                end(slot, make_error_code(errc::timed_out), now);
            });
            if (!ran) return;
        }
    }
    void fail_all(std::error_code error) {
        if (functions_.load(std::memory_order_relaxed) == 0) return;
        for_each_function([&](CallSlot& slot) { end(slot, error); });
    }

    /// When expire() has something to do next. Threads: any.
    Clock::time_point nearest() const noexcept { return Clock::time_point(Clock::duration(nearest_.load())); }
    bool has_functions() const noexcept { return functions_.load(std::memory_order_relaxed) != 0; }
    /// Slots that fail_later() has seen, and expire() hasn't yet. Nothing else makes them vacant.
    std::size_t failed() const noexcept { return failed_.load(std::memory_order_relaxed); }

    // ---- the token's thread

    /// The token was dropped. Static: the table may outlive the connection, for as long as tokens do.
    static void drop(CallSlot& slot) noexcept {
        if (slot.state.exchange(CallSlot::dropped, std::memory_order_acq_rel) == CallSlot::done) vacate(slot);
    }
    /// The answer was taken.
    static void vacate(CallSlot& slot) noexcept {
        if (slot.payload.capacity() > 4096) std::vector<std::byte>().swap(slot.payload);
        slot.state.store(CallSlot::vacant, std::memory_order_release);
    }

private:
    static constexpr std::size_t chunk_size = 64;
    static constexpr Clock::rep never = Clock::time_point::max().time_since_epoch().count();
    using Chunk = std::array<CallSlot, chunk_size>;

    static constexpr std::size_t index_of(std::uint32_t correlation) noexcept { return correlation % most; }

    CallSlot& place(std::uint32_t correlation) {
        auto& chunk = chunks_[index_of(correlation) / chunk_size];
        Chunk* slots = chunk.load(std::memory_order_relaxed);
        if (slots == nullptr) {
            slots = new Chunk;
            chunk.store(slots, std::memory_order_release);
        }
        return (*slots)[index_of(correlation) % chunk_size];
    }

    /// Always writes: it comes either before expire()'s exchange, which then sees the slot, or after it.
    bool bring_forward(Clock::time_point deadline) noexcept {
        const Clock::rep at = deadline.time_since_epoch().count();
        Clock::rep now = nearest_.load(std::memory_order_relaxed);
        while (!nearest_.compare_exchange_weak(now, std::min(now, at), std::memory_order_acq_rel,
                                               std::memory_order_relaxed)) {
        }
        return at < now;
    }

    /// Takes a slot where a function waits. False: none does; the slot may have become another call's meanwhile.
    bool claim(CallSlot& slot) noexcept {
        std::uint32_t expected = CallSlot::waiting;
        if (!slot.state.compare_exchange_strong(expected, CallSlot::filling, std::memory_order_acq_rel)) return false;
        if (has_function(slot)) return true;
        hand_back(slot);
        return false;
    }
    void hand_back(CallSlot& slot) noexcept {
        std::uint32_t expected = CallSlot::filling;
        if (!slot.state.compare_exchange_strong(expected, CallSlot::waiting, std::memory_order_acq_rel))
            vacate(slot);  // dropped meanwhile
    }

    UniqueFunction<void(const Outcome&)> take_function(CallSlot& slot) noexcept {
        functions_.fetch_sub(1, std::memory_order_relaxed);
        if (slot.no_memory) failed_.fetch_sub(1, std::memory_order_relaxed);
        return std::move(slot.then);
    }

    /// The slot is free at once: a late answer finds another correlation there, or none, and is dropped. Where it has
    /// become another call's meanwhile, which isn't over by `now`, nothing happens.
    void end(CallSlot& slot, std::error_code error, Clock::time_point now = Clock::time_point::max()) {
        if (!claim(slot)) return;
        if (slot.deadline.load(std::memory_order_relaxed) > now.time_since_epoch().count()) return hand_back(slot);
        auto then = take_function(slot);
        if (slot.no_memory) error = std::make_error_code(std::errc::not_enough_memory);
        slot.state.store(CallSlot::vacant, std::memory_order_release);
        then({error, nullptr});
    }

    template <class F>
    void for_each_function(F&& f) {
        for (auto& at : chunks_) {
            Chunk* chunk = at.load(std::memory_order_acquire);
            if (chunk == nullptr) continue;
            for (CallSlot& slot : *chunk)
                if (slot.state.load(std::memory_order_acquire) == CallSlot::waiting && has_function(slot)) f(slot);
        }
    }

    std::atomic<std::uint64_t> issued_;        ///< as many calls were made; a number is the lower half
    std::atomic<std::uint32_t> functions_{0};  ///< slots that wait with a function
    std::atomic<std::uint32_t> failed_{0};     ///< of them, those whose answer came and could not be kept
    std::atomic<Clock::rep> nearest_{never};
    std::array<std::atomic<Chunk*>, most / chunk_size> chunks_{};
};

}  // namespace qbipc::detail
