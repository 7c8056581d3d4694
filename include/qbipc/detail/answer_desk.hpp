// SPDX-License-Identifier: BSL-1.0
// detail/answer_desk.hpp: a client's answers: each goes to the call that waits for it, in whatever way it does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <new>
#include <system_error>
#include <utility>
#include <vector>

#include <qbipc/detail/call_waiter.hpp>
#include <qbipc/detail/calls.hpp>
#include <qbipc/detail/message_receiver.hpp>
#include <qbipc/detail/scope_flag.hpp>
#include <qbipc/detail/unique_function.hpp>
#include <qbipc/error.hpp>
#include <qbipc/frame.hpp>
#include <qbipc/memory.hpp>
#include <qbipc/time.hpp>
#include <qbipc/transport.hpp>

namespace qbipc::detail {

/// The receiving side of the responses lane. The receiving thread's; `calls` alone is shared with the sending one.
template <class End, MemoryPolicy Memory>
class AnswerDesk {
public:
    /// Frames taken before somebody looks at the clock: a service that answers faster than its client reads, or sends
    /// nothing but answers that nobody waits for, must not hold the client past its deadline.
    static constexpr std::size_t frames_per_look = 64;

    AnswerDesk(End& end, Calls& calls) : end_(end), calls_(calls) {}
    AnswerDesk(const AnswerDesk&) = delete;
    AnswerDesk& operator=(const AnswerDesk&) = delete;

    /// Gives out what is there, at most `frames` frames of it. False: more may be there. Functions run, where they may.
    bool take(std::size_t frames = frames_per_look) {
        if (has_due()) [[unlikely]]
            run_put_off();
        ReceivedMessage message;
        while (!violated_ && responses_.next(end_, message, frames)) complete(message);
        return frames != 0;
    }

    /// The same for the innermost synchronous call: its own answer is given to `use` where it lies, and true is
    /// returned; `frames` is what is left of them.
    template <class Use>
    bool take_own(CallWaiter& me, std::size_t& frames, Use&& use) {
        if (has_due()) [[unlikely]]
            run_put_off();
        for (ReceivedMessage message; !me.done() && !violated_ && responses_.next(end_, message, frames);) {
            if (message.header.correlation != me.correlation()) [[unlikely]] {
                complete(message);
                continue;
            }
            const MessageRelease release(responses_, end_);
            show(message, use);
            me.took();
            return true;
        }
        return false;
    }

    /// Takes in what is there, and says whether there is time for more: answers, those that nobody waits for included,
    /// don't make a wait longer.
    bool take_in_time(TimeLimit& limit) {
        const std::uint64_t before = taken_ + late_;
        const bool all = take();
        return (all && taken_ + late_ == before) || !limit.deadline().passed();
    }

    template <class Use>
    void show(const ReceivedMessage& message, Use&& use) {
        const ScopeFlag now(looking_);
        ++taken_;
        use(message);
    }

    CallWaiters& waiters() noexcept { return waiters_; }

    /// There are functions whose answer came while none could run, and now they may.
    bool has_due() const noexcept { return !put_off_.empty() && may_run() && !forked(); }
    /// So many functions are due that who starts more calls has to run them himself.
    bool crowded() const noexcept { return put_off_.size() + calls_.failed() >= Calls::most; }
    /// So many, inside a function, that only its end makes room.
    bool stuck() const noexcept {
        return running_ && (put_off_.size() >= most_put_off || calls_.failed() >= Calls::most);
    }
    /// Those that were put off up to now: each may bring on the next.
    void run_put_off() {
        for (std::size_t left = put_off_.size(); left != 0 && !put_off_.empty(); --left) {
            PutOff first = std::move(put_off_.front());
            put_off_.pop_front();
            const ReceivedMessage mine{{first.header, first.payload.data()}, first.payload.size(), true};
            const ScopeFlag now(running_);
            first.then({{}, &mine});
        }
    }

    /// What is due runs: functions that were put off, or whose deadline has passed; and all, where nothing more will
    /// come (`over`).
    void run_due(std::error_code over) {
        if (has_due()) run_put_off();
        expire();
        if (over) fail_all(over);
    }
    /// Runs the functions whose deadline has passed.
    void expire() {
        if (!calls_.has_functions() || !may_run() || forked()) return;
        const ScopeFlag now(running_);
        calls_.expire(Clock::now());
    }

    /// Nothing more will come: runs all functions that wait; inside one of them, later.
    void fail_all(std::error_code error) {
        if (running_ || forked()) return;
        while (has_due()) run_put_off();
        {
            const ScopeFlag now(running_);
            calls_.fail_all(error);
        }
        while (has_due()) run_put_off();  // what came in the waits of those
    }

    /// The connection has ended: the functions that still wait get what has come for them, or `disconnected`.
    void end_all() { fail_all(make_error_code(errc::disconnected)); }
    /// The same in a destructor, where what a function throws has nowhere to go. False: one threw, others may wait.
    bool end_quietly() noexcept {
        try {
            end_all();
            return true;
        } catch (...) {
            return false;
        }
    }

    bool violated() const noexcept { return violated_ || responses_.violated(); }
    /// The reason of violated() is this side's own: no memory for a long answer.
    bool lacks_memory() const noexcept { return responses_.over_quota(); }
    /// A function of start() runs, in whatever wait.
    bool running() const noexcept { return running_; }
    /// An answer is looked at in its lane: no other can be waited for.
    bool looking() const noexcept { return looking_; }
    /// To be up while a message waits for room: answers are taken in, but no function runs, for what it sends would get
    /// between the pieces of that message.
    bool& sending() noexcept { return sending_; }

    std::uint64_t taken() const noexcept { return taken_; }
    std::uint64_t late() const noexcept { return late_; }

private:
    /// As many as may be out when there are as many already: only functions that start more get beyond.
    static constexpr std::size_t most_put_off = 2 * Calls::most;

    struct PutOff {
        UniqueFunction<void(const Outcome&)> then;
        Header header;
        std::vector<std::byte> payload;
    };

    /// Functions run one at a time. Nested, in the waits of one another, each could bring on the next: as deep as there
    /// are calls, or deeper. Nor do they run while a message is being sent: what they send would get into it.
    bool may_run() const noexcept { return !running_ && !sending_; }
    /// In a child all functions are the parent's.
    bool forked() const noexcept { return end_.ended() == errc::used_after_fork; }

    /// An answer that isn't the innermost call's: to an outer call, into its slot, to its function, or away.
    void complete(const ReceivedMessage& message) {
        if (waiters_.template keep<Memory>(message)) return responses_.done(end_);
        CallSlot* slot = calls_.find(message.header.correlation);
        if (!may_run() && slot != nullptr && Calls::has_function(*slot)) return put_off(*slot, message);
        if (auto then = slot != nullptr ? calls_.take_waiting(*slot) : UniqueFunction<void(const Outcome&)>()) {
            ++taken_;
            return run(then, message);
        }
        const MessageRelease release(responses_, end_);
        if (slot != nullptr && calls_.template complete<Memory>(*slot, message)) {
            ++taken_;
        } else if (slot != nullptr || calls_.was_issued(message.header.correlation)) {
            ++late_;
        } else {
            violated_ = true;
            end_.shutdown();
        }
    }

    /// Runs a function on a private copy, after the lane has its place back: it may call(), which reads the same lane.
    void run(UniqueFunction<void(const Outcome&)>& then, const ReceivedMessage& message) {
        std::vector<std::byte> copy = std::move(spare_);
        std::error_code error;
        if (!copy_payload<Memory>(message, copy)) error = std::make_error_code(std::errc::not_enough_memory);
        const ReceivedMessage mine{{message.header, copy.data()}, message.size, true};
        responses_.done(end_);
        {
            const ScopeFlag now(running_);
            then({error, error ? nullptr : &mine});
        }
        spare_ = std::move(copy);
        if (has_due()) run_put_off();  // what came in its own waits
    }

    /// Keeps the answer of a function that may not run now. Where it can't, the function keeps its slot, to end there:
    /// so neither are there more than so many.
    void put_off(CallSlot& slot, const ReceivedMessage& message) {
        const MessageRelease release(responses_, end_);
        bool kept = put_off_.size() < most_put_off;
        if (kept) try {
                std::vector<std::byte> copy(message.size);
                Memory::copy_in(copy.data(), message.payload, message.size);
                put_off_.push_back({{}, message.header, std::move(copy)});
            } catch (const std::bad_alloc&) {
                kept = false;
            }
        bool waited = false;
        if (!kept) {
            waited = calls_.fail_later(slot);
        } else {
            put_off_.back().then = calls_.take_waiting(slot);
            waited = static_cast<bool>(put_off_.back().then);
            if (!waited) put_off_.pop_back();  // the sending half has withdrawn it meanwhile
        }
        ++(waited ? taken_ : late_);
    }

    End& end_;
    Calls& calls_;
    MessageReceiver<End, Memory, Lane::responses> responses_;
    CallWaiters waiters_;
    bool running_ = false;
    bool sending_ = false;
    bool looking_ = false;
    bool violated_ = false;
    std::uint64_t taken_ = 0, late_ = 0;
    std::vector<std::byte> spare_;  ///< answers for functions
    std::deque<PutOff> put_off_;
};

}  // namespace qbipc::detail
