// SPDX-License-Identifier: BSL-1.0
// detail/client_state.hpp: what a client is behind its public face, and what its two halves share after split().
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include <qbipc/detail/announcer.hpp>
#include <qbipc/detail/answer_desk.hpp>
#include <qbipc/detail/call_waiter.hpp>
#include <qbipc/detail/calls.hpp>
#include <qbipc/detail/error_code.hpp>
#include <qbipc/detail/event_desk.hpp>
#include <qbipc/detail/message_sender.hpp>
#include <qbipc/detail/scope_flag.hpp>
#include <qbipc/detail/stream_rest.hpp>
#include <qbipc/detail/waiting.hpp>
#include <qbipc/outgoing.hpp>
#include <qbipc/pending.hpp>
#include <qbipc/transport.hpp>

namespace qbipc::detail {

/// One connection's client side. The members under "sending" belong to the sending thread, those under "receiving" to
/// the receiving one; without split() both are the same. The connection's end and the calls are made for two.
template <TransportPolicy T>
class ClientState {
public:
    using End = typename T::ClientEnd;
    using Memory = MemoryOf<T>;

    explicit ClientState(End client_end)
        : end(std::move(client_end)), calls(std::make_shared<Calls>()), answers(end, *calls) {}
    ClientState(const ClientState&) = delete;
    ClientState& operator=(const ClientState&) = delete;
    ~ClientState() {
        if (end.ended() == errc::used_after_fork) return;
        disconnect();
        while (!answers.end_quietly()) continue;
    }

    /// Ends the connection once what was accepted is out, or the time for that is over.
    void disconnect() {
        if (end.ended()) return;
        (void)flush(linger);
        end.shutdown();
    }

    // ---- sending

    /// Sends a request now; lane_full where there is no room.
    template <class X>
    ErrorCode send(const X& x, Kind kind, std::uint32_t correlation) {
        return sent(requests.send(end, x, header_of(x, kind, correlation), [this] { tell_of_rest(); }));
    }

    /// Sends a request, and waits for room as long as `limit` says.
    template <class X>
    ErrorCode send(const X& x, Kind kind, std::uint32_t correlation, TimeLimit& limit) {
        return sent(requests.send_waiting(
            end, x, header_of(x, kind, correlation), [&] { return wait_for_room(limit); }, [this] { tell_of_rest(); }));
    }

    /// Gets out what waits in the outbox, and in a frame that is out in part.
    ErrorCode flush(TimeLimit limit) {
        const AtScopeEnd afterwards([this] { tell_of_rest(); });
        for (;;) {
            if (const ErrorCode error = push_on(); error && error != errc::lane_full) return error;
            if (!has_more_to_send()) return {};
            if (auto stop = wait_for_room(limit)) return stop;
        }
    }

    template <class M, class X>
    Result<Pending<M>> start(const X& x) {
        CallSlot* slot = calls->open();
        if (slot == nullptr) return fail(make_error_code(errc::lane_full));
        calls->await(*slot);
        ErrorCode error;
        try {
            error = send(x, Kind::call, slot->correlation);
        } catch (...) {  // the user's own function; or no memory
            calls->withdraw(*slot);
            throw;
        }
        if (!error) return Pending<M>(calls, *slot);
        calls->withdraw(*slot);
        return fail(error);
    }

    /// The deadline covers the sending too: it waits for room.
    template <class X>
    ErrorCode start(const X& x, TimeLimit limit, UniqueFunction<void(const Outcome&)> then) {
        if (!split && answers.crowded() && !answers.looking()) run_due();
        CallSlot* slot = calls->open();
        bool again = false;
        for (Backoff backoff; slot == nullptr; slot = calls->open(), again = true)
            if (auto stop = wait_for_slot(limit, backoff, again)) return stop;
        const std::uint32_t correlation = slot->correlation;
        const auto deadline = limit.deadline().at();
        (void)calls->await(*slot, std::move(then), deadline);
        ErrorCode error;
        try {
            error = send(x, Kind::call, correlation, limit);
        } catch (...) {
            if (calls->withdraw_function(*slot)) throw;
            return {};  // it has run, with its deadline's error
        }
        // Its deadline may have come in the other half's thread: then it has run, and that was its one time.
        if (error) return calls->withdraw_function(*slot) ? error : ErrorCode();
        announcer.bring_forward(deadline);  // the nearest of the calls may be one that is over already
        return {};
    }

    // ---- receiving

    /// Runs the functions that are due, for who doesn't come to wait: he couldn't send, perhaps.
    void run_due(ErrorCode why = {}) {
        const Announcing afterwards(*this);
        end.quiet();
        while (why == errc::disconnected && !distrusted() && !answers.take()) continue;  // all that came before the end
        answers.run_due(find_out());
    }

    /// Waits for the answer of a call without a slot and gives it to `use`, in place.
    template <class Use>
    ErrorCode await_answer(std::uint32_t correlation, TimeLimit& limit, Use&& use) {
        if (answers.looking()) [[unlikely]]
            return errc::would_recurse;
        CallWaiter me(answers.waiters(), correlation);
        const Announcing afterwards(*this);
        bool waited = false;
        for (;;) {
            std::size_t frames = Desk::frames_per_look;
            if (violated()) [[unlikely]]
                return find_out();
            if (answers.take_own(me, frames, use)) return {};
            if (me.done()) {  // an inner call came across it
                if (me.failed()) return std::make_error_code(std::errc::not_enough_memory);
                answers.show(me.message(), use);
                return {};
            }
            auto stop = wait_for_more(waited, frames == 0, Interest{Lane::responses, {}}, Party::whole, limit);
            if (stop && !me.done()) return stop;
        }
    }

    ErrorCode await_slot(const CallSlot& slot, Party party, TimeLimit& limit) {
        if (answers.looking()) return errc::would_recurse;
        const Announcing afterwards(*this);
        bool waited = false;
        for (;;) {
            Interest interest{Lane::responses, {}};
            if (!split && requests.has_rest()) [[unlikely]] {  // of the very call, perhaps
                const auto error = requests.flush(end);
                if (error && error != errc::lane_full && error != errc::disconnected) return error;
                if (requests.has_rest()) interest.room = Lane::requests;
            }
            if (slot.state.load(std::memory_order_acquire) != CallSlot::done && distrusted()) return find_out();
            const bool more = !answers.take();
            if (slot.state.load(std::memory_order_acquire) == CallSlot::done) return {};
            if (auto stop = wait_for_more(waited, more, interest, party, limit)) return stop;
        }
    }

    /// Takes in what is there now, for a loop. Gives the number of events; disconnected once all that came was given.
    template <class Peer, class Selector>
    Result<std::size_t> dispatch(Peer& peer, Selector& selector, std::size_t budget) {
        if (occupied()) return fail(why_not_here());
        const Announcing afterwards(*this);
        if (announcer.begun()) {
            end.quiet();
            announcer.quiet();
        }
        const std::uint64_t answered = answers.taken();
        bool more = false;
        const auto taken = take_in(peer, selector, budget, more);
        // Who never asked for fd() hears of the end only here; the next dispatch() gives it.
        if (!announcer.begun() && taken == std::size_t{0} && answers.taken() == answered) end.quiet();
        return taken;
    }

    /// The same, and waits for an event where there is none.
    template <class Peer, class Selector>
    Result<std::size_t> receive(Peer& peer, Selector& selector, Party party, TimeLimit limit) {
        if (occupied()) return fail(why_not_here());
        const Announcing afterwards(*this);
        bool waited = false;
        for (std::size_t taken = 0;;) {
            bool more = false;
            const auto count = take_in(peer, selector, Desk::frames_per_look, more);
            if (!count && taken == 0) return count;
            taken += count.value_or(0);
            if (taken != 0) {
                if (more && taken < most_at_once && !limit.deadline().passed()) continue;
                stream_.took(taken);
                if (!more) stream_.emptied();
                return taken;
            } else if (!over()) {  // else the end came after a look at the answers: once more, now that it is known
                if (may_rest<T> && stream_.due() && !limit.is_zero()) stream_.rest();
                Interest interest{Lane::responses | Lane::events, {}};
                if (!split && requests.has_rest()) interest.room = Lane::requests;
                if (auto stop = wait_for_more(waited, more, interest, party, limit)) return fail(stop);
            }
        }
    }

    /// The loop's descriptor; the first call makes it and announces from then on.
    Result<int> announce() {
        if (auto error = announcer.make(end.descriptors())) return fail(error);
        if (announcer.begin()) announce_again();
        return announcer.fd();
    }

    /// After the flags were taken down: up again for the loop; and what came meanwhile, or is due, it is told at once.
    void announce_again() {
        if (!announcer.begun() || dispatching_) return;
        Interest interest{Lane::responses | Lane::events, {}};
        if (!split && requests.has_rest()) interest.room = Lane::requests;
        // In this order: what the other half rings for while it is armed isn't silenced.
        announcer.set_alarm(calls->has_functions() ? calls->nearest() : Clock::time_point::max(), *calls);
        if (!end.arm(interest) || violated() || answers.has_due()) announcer.alarm_now();
    }

    /// Who watches the loop's descriptor, or the other half, may sleep: they are told of what isn't out yet.
    void tell_of_rest() {
        if ((requests.has_rest() && !split) || end.sent_in_part()) [[unlikely]]
            split ? announcer.bring_forward(Clock::now()) : announce_again();
    }

    /// From here on two threads. The flag of a rest that the loop was told of is the sending one's from now on.
    void begin_split() {
        (void)announcer.make(end.descriptors());
        if (announcer.begun()) end.quiet();
        split = true;
        announce_again();
    }

    /// Why nothing more will come, or no error.
    std::error_code over() const noexcept {
        if (!violated()) return end.ended();
        if (answers.lacks_memory() || events.lacks_memory()) return std::make_error_code(std::errc::not_enough_memory);
        return make_error_code(errc::protocol_violation);
    }

    End end;
    std::shared_ptr<Calls> calls;
    Announcer<KernelOf<T>> announcer;
    bool split = false;

    // sending
    MessageSender<End, Lane::requests> requests;
    std::uint64_t requests_sent = 0;
    // receiving
    AnswerDesk<End, Memory> answers;
    EventDesk<End, Memory> events;
    std::vector<std::byte> tail_of_answer;  ///< while a function looks at it: events have their own

private:
    using Desk = AnswerDesk<End, Memory>;
    /// Events that one receive() gives: a publisher as fast as the client doesn't keep it for ever.
    static constexpr std::size_t most_at_once = 1024;
    /// How long the end of a connection may take where the service doesn't read what it was sent.
    static constexpr auto linger = std::chrono::seconds(1);

    bool occupied() const noexcept { return dispatching_ || answers.running() || answers.looking(); }
    errc why_not_here() const {  // in a child that was forked inside a function it is the fork that counts
        return end.ended() == errc::used_after_fork ? errc::used_after_fork : errc::would_recurse;
    }

    ErrorCode sent(ErrorCode error) {
        requests_sent += error ? 0u : 1u;
        if (end.sent_in_part()) [[unlikely]]
            tell_of_rest();
        return error;
    }

    bool has_more_to_send() noexcept { return requests.has_rest() || end.sent_in_part(); }
    /// What waits to be sent, in the outbox or as a part of a frame, goes a step further.
    ErrorCode push_on() {
        const ErrorCode error = requests.flush(end);
        if (error || !end.sent_in_part() || end.reserve(Lane::requests, 0)) return error;
        return end.refused(Lane::requests);
    }

    /// `more`: something may still be there.
    template <class Peer, class Selector>
    Result<std::size_t> take_in(Peer& peer, Selector& selector, std::size_t budget, bool& more) {
        const ScopeFlag now(dispatching_);
        const std::error_code ended = end.ended();  // before the lanes: what came before it is still there to be taken
        if (!split && has_more_to_send()) [[unlikely]]
            (void)push_on();
        const bool none = distrusted();
        more = !none && !answers.take(budget);
        answers.expire();
        std::size_t frames = budget;
        const std::size_t count = events.take(end, peer, selector, frames, [&] { return !none && !violated(); });
        more |= frames == 0;
        if (!violated() && (!ended || more)) return count;
        answers.fail_all(find_out());
        if (count == 0) return fail(over());
        return count;
    }

    bool violated() const noexcept { return answers.violated() || events.violated(); }
    /// Nothing more of who broke the rules is given, whichever lane still has some.
    bool distrusted() const noexcept {
        if (violated()) return true;
        const std::error_code ended = end.ended();
        return ended && ended == errc::protocol_violation;  // to compare takes tens of instructions
    }

    /// As over(), of the receiving thread. A lane that is lost ends the connection: its sender would wait for room.
    std::error_code find_out() noexcept {
        if (violated()) [[unlikely]]
            end.shutdown();
        return over();
    }

    /// After all that was there was taken, or as much of it as may be taken between two looks at the clock.
    ErrorCode wait_for_more(bool& waited, bool more, const Interest& interest, Party party, TimeLimit& limit) {
        if ((more || answers.has_due()) && !violated()) [[unlikely]] {
            answers.expire();
            return limit.deadline().passed() ? ErrorCode(errc::timed_out) : ErrorCode();
        }
        const bool before = std::exchange(waited, true);
        if (auto ended = find_out()) {
            answers.fail_all(ended);
            return ended;
        }
        if (before && limit.deadline().passed()) return errc::timed_out;  // woken for nothing, perhaps without end
        return wait(interest, party, limit);
    }

    /// Answers are taken in meanwhile: a service that has no room for its answers takes no requests, and both would
    /// wait. But no function runs: what it sends would get between the pieces of a message that is half out. And where
    /// an answer is looked at in its lane, it is the one that would be taken: only room is waited for.
    ErrorCode wait_for_room(TimeLimit& limit) {
        if (auto error = split ? end.ended() : find_out()) return error;
        if (split) return ErrorCode(end.wait(Interest{{}, Lane::requests}, Party::sender, limit, -1));
        return wait_while_sending(limit);
    }

    ErrorCode wait_while_sending(TimeLimit& limit) {
        const Announcing afterwards(*this);
        Interest interest{{}, Lane::requests};
        if (!answers.looking()) {
            const ScopeFlag now(answers.sending());
            if (!answers.take_in_time(limit)) return errc::timed_out;
            interest.frames = Lane::responses;
        }
        return ErrorCode(end.wait(interest, Party::whole, limit, -1));
    }

    /// So many calls are outstanding that there is no slot. A sending half can't be woken by the other one's thread: it
    /// looks again. `again`: what came since made no slot vacant.
    ErrorCode wait_for_slot(TimeLimit& limit, Backoff& backoff, bool again) {
        if (auto error = split ? end.ended() : find_out()) return error;
        if ((split || again) && limit.deadline().passed()) return errc::timed_out;
        if (!split) {
            const Announcing afterwards(*this);
            if (answers.looking() || answers.stuck()) return errc::would_recurse;  // only answers make a slot vacant
            const ScopeFlag now(answers.sending());
            const std::uint64_t before = answers.taken() + answers.late();
            (void)answers.take();
            if (answers.taken() + answers.late() != before) return {};
            return ErrorCode(end.wait(Interest{Lane::responses, {}}, Party::whole, limit, -1));
        }
        pause_until<KernelOf<T>>(limit.deadline(), backoff.next());
        return {};
    }

    /// One wait, cut short by the deadline of a function: that isn't the caller's timed_out.
    ErrorCode wait(Interest interest, Party party, TimeLimit& limit) {
        const int alarm = party == Party::receiver ? announcer.timer() : -1;
        const auto look = announcer.next_look(party, answers.running() ? nullptr : calls.get());
        if (look == Clock::time_point::max()) [[likely]] {
            const auto error = ErrorCode(end.wait(interest, party, limit, alarm));
            if (alarm >= 0) announcer.quiet();  // or the next wait would end at once
            return error;
        }
        TimeLimit nearer = std::min(limit.deadline().at(), look);
        const auto error = ErrorCode(end.wait(interest, party, nearer, alarm));
        if (alarm >= 0) announcer.quiet();
        answers.expire();
        return error == errc::timed_out && look < limit.deadline().at() ? ErrorCode() : error;
    }

    bool dispatching_ = false;  ///< events are given to their functions
    StreamRest stream_;         ///< of events
};

}  // namespace qbipc::detail
