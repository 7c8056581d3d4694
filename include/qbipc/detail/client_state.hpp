// SPDX-License-Identifier: BSL-1.0
// detail/client_state.hpp: what a client is behind its public face, and what its two halves share after split().
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include <qbipc/detail/answers.hpp>
#include <qbipc/detail/call_waiter.hpp>
#include <qbipc/detail/calls.hpp>
#include <qbipc/detail/loop_descriptor.hpp>
#include <qbipc/detail/message_receiver.hpp>
#include <qbipc/detail/message_sender.hpp>
#include <qbipc/detail/scope_flag.hpp>
#include <qbipc/detail/waiting.hpp>
#include <qbipc/event.hpp>
#include <qbipc/outgoing.hpp>
#include <qbipc/pending.hpp>
#include <qbipc/statistics.hpp>
#include <qbipc/transport.hpp>

namespace qbipc::detail {

/// One connection's client side. The members under "sending" belong to the sending thread, those under "receiving" to
/// the receiving one; without split() both are the same. The connection's end and the calls are made for two.
template <TransportPolicy T>
class ClientState {
public:
    using End = typename T::ClientEnd;
    using Memory = MemoryOf<T>;

    explicit ClientState(End client_end) : end(std::move(client_end)), calls(std::make_shared<Calls>()) {}
    ClientState(const ClientState&) = delete;
    ClientState& operator=(const ClientState&) = delete;
    ~ClientState() {
        if (end.ended() == errc::used_after_fork) return;
        disconnect();
        end_functions();
    }

    /// Ends the connection once what was accepted is out, or the time for that is over.
    void disconnect() {
        if (end.ended()) return;
        (void)flush(linger);
        end.shutdown();
    }

    /// After disconnect(): the functions that still wait get what has come for them, or `disconnected`.
    void end_functions() {
        run_put_off();
        calls->fail_all(make_error_code(errc::disconnected));
    }

    // ---- sending

    /// Sends a request now; lane_full where there is no room.
    template <class X>
    std::error_code send(const X& x, Kind kind, std::uint32_t correlation) {
        const auto error = requests.send(end, x, header(x, kind, correlation));
        if (!error) [[likely]]
            ++requests_sent;
        return error;
    }

    /// Sends a request, and waits for room as long as `limit` says.
    template <class X>
    std::error_code send(const X& x, Kind kind, std::uint32_t correlation, TimeLimit& limit) {
        const auto error =
            requests.send_waiting(end, x, header(x, kind, correlation), [&] { return wait_for_room(limit); });
        if (!error) [[likely]]
            ++requests_sent;
        return error;
    }

    /// Gets what waits in the outbox out.
    std::error_code flush(TimeLimit limit) {
        while (requests.has_rest()) {
            const auto error = requests.flush(end);
            if (!error) break;
            if (error != errc::lane_full) return error;
            if (auto stop = wait_for_room(limit)) return stop;
        }
        return {};
    }

    template <class M, class X>
    Result<Pending<M>> start(const X& x) {
        CallSlot* slot = calls->open();
        if (slot == nullptr) return fail(make_error_code(errc::lane_full));
        calls->await(*slot);
        if (auto error = send(x, Kind::call, slot->correlation)) {
            calls->withdraw(*slot);
            return fail(error);
        }
        return Pending<M>(calls, *slot);
    }

    /// The deadline covers the sending too: it waits for room.
    template <class X>
    std::error_code start(const X& x, TimeLimit limit, UniqueFunction<void(const Outcome&)> then) {
        CallSlot* slot = calls->open();
        for (Backoff backoff; slot == nullptr; slot = calls->open())
            if (auto stop = wait_for_slot(limit, backoff)) return stop;
        const std::uint32_t correlation = slot->correlation;
        const auto deadline = limit.deadline().at();
        (void)calls->await(*slot, std::move(then), deadline);
        if (auto error = send(x, Kind::call, correlation, limit)) {
            calls->withdraw(*slot);
            return error;
        }
        if (loop) loop->bring_forward(deadline);  // the nearest of the calls may be one that is over already
        return {};
    }

    // ---- receiving

    /// Waits for the answer of a call without a slot and gives it to `use`, in place.
    template <class Use>
    std::error_code await_answer(std::uint32_t correlation, TimeLimit& limit, Use&& use) {
        if (looking_) [[unlikely]]
            return make_error_code(errc::would_recurse);
        CallWaiter me(waiters_, correlation);
        bool waited = false;
        const Announcing afterwards(*this, waited);
        std::error_code stop;
        for (ReceivedMessage message; !stop;) {
            run_put_off();
            while (!me.done() && responses.next(end, message)) {
                if (message.header.correlation != correlation) [[unlikely]] {
                    complete(message);
                    continue;
                }
                const MessageRelease release(responses, end);
                show(message, use);
                me.took();
                if (waited) break;
                return {};
            }
            if (me.done()) break;
            stop = over();
            if (stop) break;
            waited = true;
            stop = wait(Interest{Lane::responses, {}}, Party::whole, limit);
        }
        if (me.kept()) show(me.message(), use);
        if (stop) waited = true;
        return stop;
    }

    /// Waits until a slot is done.
    std::error_code await_slot(const CallSlot& slot, Party party, TimeLimit& limit) {
        if (looking_) return make_error_code(errc::would_recurse);
        bool waited = false;
        const Announcing afterwards(*this, waited);
        for (;;) {
            take_answers();
            std::error_code stop;
            if (slot.state.load(std::memory_order_acquire) != CallSlot::done) {
                stop = over();
                if (!stop) {
                    waited = true;
                    stop = wait(Interest{Lane::responses, {}}, party, limit);
                    if (!stop) continue;
                }
            }
            if (stop) waited = true;
            return stop;
        }
    }

    /// Takes in what is there now, for a loop. Gives the number of events; disconnected once all that came was given.
    template <class Peer, class Selector>
    Result<std::size_t> dispatch(Peer& peer, Selector& selector, std::size_t budget) {
        if (dispatching_ || running_ || looking_) return fail(make_error_code(errc::would_recurse));
        const bool always = true;  // a function may have asked for fd() the first time
        const Announcing afterwards(*this, always);
        if (announces_) {
            end.quiet();
            loop->quiet();
        }
        return take_in(peer, selector, budget);
    }

    /// The same, and waits for an event where there is none.
    template <class Peer, class Selector>
    Result<std::size_t> receive(Peer& peer, Selector& selector, Party party, TimeLimit limit) {
        if (dispatching_ || running_ || looking_) return fail(make_error_code(errc::would_recurse));
        bool waited = false;
        const Announcing afterwards(*this, waited);
        for (;;) {
            auto count = take_in(peer, selector, static_cast<std::size_t>(-1));
            std::error_code stop;
            if (count && *count == 0) {
                Interest interest{Lane::responses | Lane::events, {}};
                if (!split && requests.has_rest()) interest.room = Lane::requests;
                waited = true;
                stop = wait(interest, party, limit);
                if (!stop) continue;
                count = fail(stop);
            }
            return count;
        }
    }

    /// The loop's descriptor; the first call makes it and announces from then on.
    Result<int> announce() {
        if (auto error = make_loop()) return fail(error);
        if (!std::exchange(announces_, true)) announce_again();
        return loop->fd();
    }

    /// For split(), which needs its timer, too.
    std::error_code make_loop() {
        if (loop) return {};
        auto made = LoopDescriptor::make(end.descriptors());
        if (!made) return made.error();
        loop = std::move(*made);
        return {};
    }

    /// Why nothing more will come, or no error.
    std::error_code over() const noexcept {
        return violated() ? make_error_code(errc::protocol_violation) : end.ended();
    }

    /// An answer is looked at where it lies: no other can be waited for.
    bool looks_at_answer() const noexcept { return looking_; }

    End end;
    std::shared_ptr<Calls> calls;
    std::unique_ptr<LoopDescriptor> loop;
    bool split = false;

    // sending
    MessageSender<End> requests{Lane::requests};
    std::uint64_t requests_sent = 0;

    // receiving
    MessageReceiver<End, Memory> responses{Lane::responses};
    MessageReceiver<End, Memory> events{Lane::events};
    std::uint64_t responses_taken = 0, late_answers = 0, events_taken = 0, events_missed = 0;

private:
    /// A function whose answer came while a message was waiting for room.
    struct PutOff {
        UniqueFunction<void(const Outcome&)> then;
        Header header;
        std::vector<std::byte> payload;
    };

    /// Announces again at the end of a scope, if by then the loop's flags were taken down: an exception of a user's
    /// function may leave it too.
    class Announcing {
    public:
        Announcing(ClientState& state, const bool& due) noexcept : state_(state), due_(due) {}
        Announcing(const Announcing&) = delete;
        Announcing& operator=(const Announcing&) = delete;
        ~Announcing() {
            if (due_) state_.announce_again();
        }

    private:
        ClientState& state_;
        const bool& due_;
    };

    /// How long the end of a connection may take where the service doesn't read what it was sent.
    static constexpr auto linger = std::chrono::seconds(1);

    template <class X>
    static Header header(const X& x, Kind kind, std::uint32_t correlation) noexcept {
        const auto [service, id] = ids_of(x);
        return {0, kind, 0, service, id, correlation};
    }

    template <class Peer, class Selector>
    Result<std::size_t> take_in(Peer& peer, Selector& selector, std::size_t budget) {
        const ScopeFlag now(dispatching_);
        const std::error_code ended = end.ended();  // before the lanes: what came before it is still there to be taken
        if (!split && requests.has_rest()) (void)requests.flush(end);
        take_answers();
        if (calls->has_functions()) calls->expire(Clock::now());
        std::size_t count = 0;
        ReceivedMessage message;
        for (; count < budget && events.next(end, message); ++count) {
            const MessageRelease release(events, end);
            count_event(message.header.correlation);
            Event<Memory> event(message, scratch_);
            (void)selector(peer, event);
        }
        if (!ended && !violated()) return count;
        calls->fail_all(over());
        if (count == 0) return fail(over());
        return count;
    }

    bool violated() const noexcept { return violated_ || responses.violated() || events.violated(); }

    /// Answers are taken in meanwhile: a service that has no room for its answers takes no requests, and both would
    /// wait. But no function runs: what it sends would get between the pieces of a message that is half out. And where
    /// an answer is looked at in its lane, it is the one that would be taken: only room is waited for.
    std::error_code wait_for_room(TimeLimit& limit) {
        if (auto error = end.ended()) return error;
        if (split) return error_of_wait(end.wait(Interest{{}, Lane::requests}, Party::sender, limit, -1));
        return wait_while_sending(Lane::requests, limit);
    }

    std::error_code wait_while_sending(LaneSet room, TimeLimit& limit) {
        Interest interest{{}, room};
        if (!looking_) {
            const ScopeFlag now(sending_);
            take_answers();
            interest.frames = Lane::responses;
        }
        const auto stop = error_of_wait(end.wait(interest, Party::whole, limit, -1));
        announce_again();
        return stop;
    }

    /// So many calls are outstanding that there is no slot. A sending half can't be woken by the other one's thread: it
    /// looks again.
    std::error_code wait_for_slot(TimeLimit& limit, Backoff& backoff) {
        if (auto error = end.ended()) return error;
        if (!split) {
            if (looking_) return make_error_code(errc::would_recurse);  // only answers make a slot vacant
            return wait_while_sending({}, limit);
        }
        if (limit.deadline().passed()) return make_error_code(errc::timed_out);
        pause_until(limit.deadline(), backoff.next());
        return {};
    }

    /// One wait, cut short by the deadline of a function: that isn't the caller's timed_out.
    std::error_code wait(Interest interest, Party party, TimeLimit& limit) {
        const int alarm = party == Party::receiver && loop ? loop->timer() : -1;
        if (!calls->has_functions()) [[likely]] {
            const auto error = error_of_wait(end.wait(interest, party, limit, alarm));
            if (alarm >= 0) loop->quiet();  // or the next wait would end at once
            return error;
        }
        const auto nearest = calls->nearest();
        TimeLimit nearer = std::min(limit.deadline().at(), nearest);
        const auto error = error_of_wait(end.wait(interest, party, nearer, alarm));
        if (alarm >= 0) loop->quiet();
        {
            const ScopeFlag now(running_);
            calls->expire(Clock::now());
        }
        return error == errc::timed_out && nearest < limit.deadline().at() ? std::error_code{} : error;
    }

    static std::error_code error_of_wait(const Result<void>& result) {
        return result ? std::error_code{} : result.error();
    }

    void take_answers() {
        if (!sending_) run_put_off();
        ReceivedMessage message;
        while (responses.next(end, message)) complete(message);
    }

    template <class Use>
    void show(const ReceivedMessage& message, Use&& use) {
        const ScopeFlag now(looking_);
        ++responses_taken;
        use(message);
    }

    /// An answer that isn't the innermost call's: to an outer call, into its slot, to its function, or away.
    void complete(const ReceivedMessage& message) {
        if (waiters_.template keep<Memory>(message)) return responses.done(end);
        CallSlot* slot = calls->find(message.header.correlation);
        if (auto then = slot != nullptr ? calls->take_waiting(*slot) : UniqueFunction<void(const Outcome&)>()) {
            ++responses_taken;
            if (sending_) return put_off(std::move(then), message);
            return run(then, message);
        }
        const MessageRelease release(responses, end);
        if (slot != nullptr && calls->template complete<Memory>(*slot, message)) {
            ++responses_taken;
        } else if (slot != nullptr || calls->was_issued(message.header.correlation)) {
            ++late_answers;
        } else {
            violated_ = true;
            end.shutdown();
        }
    }

    /// Runs a function on a private copy, after the lane has its place back: it may call(), which reads the same lane.
    void run(UniqueFunction<void(const Outcome&)>& then, const ReceivedMessage& message) {
        std::vector<std::byte> copy = std::move(spare_);
        copy.resize(message.size);
        Memory::copy_in(copy.data(), message.payload, message.size);
        const ReceivedMessage mine{message.header, copy.data(), message.size};
        responses.done(end);
        {
            const ScopeFlag now(running_);
            then({{}, &mine});
        }
        spare_ = std::move(copy);
    }

    /// The answer is here, but its function mustn't run now.
    void put_off(UniqueFunction<void(const Outcome&)> then, const ReceivedMessage& message) {
        std::vector<std::byte> copy(message.size);
        Memory::copy_in(copy.data(), message.payload, message.size);
        put_off_.push_back({std::move(then), message.header, std::move(copy)});
        responses.done(end);
    }

    void run_put_off() {
        while (!put_off_.empty()) {
            PutOff first = std::move(put_off_.front());
            put_off_.pop_front();
            const ReceivedMessage mine{first.header, first.payload.data(), first.payload.size()};
            const ScopeFlag now(running_);
            first.then({{}, &mine});
        }
    }

    void count_event(std::uint32_t number) noexcept {
        events_missed += static_cast<std::uint32_t>(number - last_event_ - 1);
        last_event_ = number;
        ++events_taken;
    }

    /// After the flags were taken down: up again for the loop; and what came meanwhile, or is due, it is told at once.
    void announce_again() {
        if (!announces_ || dispatching_) return;
        Interest interest{Lane::responses | Lane::events, {}};
        if (!split && requests.has_rest()) interest.room = Lane::requests;
        if (!end.arm(interest) || violated() || !put_off_.empty())
            set_alarm(Clock::time_point{});
        else
            set_alarm(calls->has_functions() ? calls->nearest() : Clock::time_point::max());
    }

    /// The sending half may bring a deadline forward meanwhile, and set the alarm itself: the nearer one must stay.
    void set_alarm(Clock::time_point at) {
        const bool wanted = at != Clock::time_point::max();
        if (!wanted && !alarm_set_) return;
        alarm_set_ = wanted;
        loop->alarm(at);
        while (calls->has_functions() && calls->nearest() < at) loop->alarm(at = calls->nearest());
    }

    CallWaiters waiters_;
    bool dispatching_ = false;  ///< events are given to their functions
    bool running_ = false;      ///< a function of start() runs, in whatever wait
    bool sending_ = false;      ///< a message waits for room: functions have to wait
    bool looking_ = false;      ///< an answer is looked at in its lane
    bool announces_ = false;    ///< a loop watches: fd() was asked for
    bool alarm_set_ = false;
    bool violated_ = false;
    std::uint32_t last_event_ = 0;
    std::vector<std::byte> scratch_;  ///< tails of events
    std::vector<std::byte> spare_;    ///< answers for functions
    std::deque<PutOff> put_off_;
};

}  // namespace qbipc::detail
