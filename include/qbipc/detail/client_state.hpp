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

#include <qbipc/detail/answers.hpp>
#include <qbipc/detail/calls.hpp>
#include <qbipc/detail/loop_descriptor.hpp>
#include <qbipc/detail/message_receiver.hpp>
#include <qbipc/detail/message_sender.hpp>
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
        calls->fail_all(make_error_code(errc::disconnected));
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
    std::error_code send(const X& x, Kind kind, std::uint32_t correlation) {
        const auto error = requests.send(end, x, header(x, kind, correlation));
        if (!error) [[likely]]
            ++requests_sent;
        return error;
    }

    /// Sends a request, and waits for room as long as `limit` says.
    template <class X>
    std::error_code send(const X& x, Kind kind, std::uint32_t correlation, TimeLimit& limit) {
        const auto error = requests.send_waiting(end, x, header(x, kind, correlation), [&] { return wait_for_room(limit); });
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
        if (slot == nullptr) return make_error_code(errc::lane_full);
        const std::uint32_t correlation = slot->correlation;
        const auto deadline = limit.deadline().at();
        const bool nearest = calls->await(*slot, std::move(then), deadline);
        if (auto error = send(x, Kind::call, correlation, limit)) {
            calls->withdraw(*slot);
            return error;
        }
        if (nearest && loop) loop->alarm(deadline);
        return {};
    }

    // ---- receiving

    /// Waits for the answer of a call without a slot and gives it to `use`, in place.
    template <class Use>
    std::error_code await_answer(std::uint32_t correlation, TimeLimit& limit, Use&& use) {
        bool waited = false;
        ReceivedMessage message;
        for (;;) {
            while (responses.next(end, message)) {
                const bool mine = message.header.correlation == correlation;
                if (mine) [[likely]] {
                    const Release release{*this, responses};
                    ++responses_taken;
                    use(message);
                } else {
                    complete(message);
                }
                if (mine) {
                    if (waited) announce_again();
                    return {};
                }
            }
            std::error_code stop = over();
            if (!stop) {
                waited = true;
                stop = wait(Interest{Lane::responses, {}}, Party::whole, limit);
            }
            if (stop) {
                announce_again();
                return stop;
            }
        }
    }

    /// Waits until a slot is done.
    std::error_code await_slot(const CallSlot& slot, Party party, TimeLimit& limit) {
        bool waited = false;
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
            if (waited || stop) announce_again();
            return stop;
        }
    }

    /// Takes in what is there now. Gives the number of events; disconnected once all that came was given.
    template <class Peer, class Selector>
    Result<std::size_t> dispatch(Peer& peer, Selector& selector, std::size_t budget, bool flushes) {
        if (dispatching_) return fail(make_error_code(errc::would_recurse));
        if (loop) {
            end.quiet();
            loop->quiet();
        }
        std::size_t count = 0;
        std::error_code ended;
        {
            const Dispatching now(*this);
            ended = end.ended();  // before the lanes: what came before it is still there to be taken
            if (flushes && requests.has_rest()) (void)requests.flush(end);
            take_answers();
            calls->expire(calls->has_functions() ? Clock::now() : Clock::time_point{});
            ReceivedMessage message;
            for (; count < budget && events.next(end, message); ++count) {
                const Release release{*this, events};
                count_event(message.header.correlation);
                Event<Memory> event(message, scratch_);
                (void)selector(peer, event);
            }
            if (ended || violated()) calls->fail_all(over());
        }
        announce_again();
        if (count == 0 && (ended || violated())) return fail(over());
        return count;
    }

    /// As dispatch(), and waits for an event where there is none.
    template <class Peer, class Selector>
    Result<std::size_t> receive(Peer& peer, Selector& selector, Party party, TimeLimit limit) {
        for (;;) {
            auto count = dispatch(peer, selector, static_cast<std::size_t>(-1), party == Party::whole);
            if (!count || *count != 0) return count;
            Interest interest{Lane::responses | Lane::events, {}};
            if (party == Party::whole && requests.has_rest()) interest.room = Lane::requests;
            if (auto stop = wait(interest, party, limit)) {
                announce_again();
                return fail(stop);
            }
        }
    }

    /// The loop's descriptor; the first call makes it and announces from then on.
    Result<int> make_loop() {
        if (!loop) {
            auto made = LoopDescriptor::make(end.descriptors());
            if (!made) return fail(made.error());
            loop = std::move(*made);
            announce_again();
        }
        return loop->fd();
    }

    /// Why nothing more will come, or no error.
    std::error_code over() const noexcept { return violated() ? make_error_code(errc::protocol_violation) : end.ended(); }

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
    /// How long the end of a connection may take where the service doesn't read what it was sent.
    static constexpr auto linger = std::chrono::seconds(1);

    template <class Receiver>
    struct Release {
        ClientState& state;
        Receiver& receiver;
        ~Release() { receiver.done(state.end); }
    };
    template <class Receiver>
    Release(ClientState&, Receiver&) -> Release<Receiver>;

    struct Dispatching {
        explicit Dispatching(ClientState& of) noexcept : state(of) { state.dispatching_ = true; }
        Dispatching(const Dispatching&) = delete;
        Dispatching& operator=(const Dispatching&) = delete;
        ~Dispatching() { state.dispatching_ = false; }
        ClientState& state;
    };

    template <class X>
    static Header header(const X& x, Kind kind, std::uint32_t correlation) noexcept {
        const auto [service, id] = ids_of(x);
        return {0, kind, 0, service, id, correlation};
    }

    bool violated() const noexcept { return violated_ || responses.violated() || events.violated(); }

    std::error_code wait_for_room(TimeLimit& limit) {
        if (auto error = end.ended()) return error;
        if (split) return error_of_wait(end.wait(Interest{{}, Lane::requests}, Party::sender, limit, -1));
        take_answers();  // a service that has no room for its answers takes no requests: both would wait
        const auto stop = wait(Interest{Lane::responses, Lane::requests}, Party::whole, limit);
        announce_again();
        return stop;
    }

    /// One wait, cut short by the deadline of a function: that isn't the caller's timed_out.
    std::error_code wait(Interest interest, Party party, TimeLimit& limit) {
        const int alarm = party == Party::receiver && loop ? loop->timer() : -1;
        if (!calls->has_functions()) [[likely]]
            return error_of_wait(end.wait(interest, party, limit, alarm));
        const auto nearest = calls->nearest();
        TimeLimit nearer = std::min(limit.deadline().at(), nearest);
        const auto error = error_of_wait(end.wait(interest, party, nearer, alarm));
        if (alarm >= 0) loop->quiet();
        calls->expire(Clock::now());
        return error == errc::timed_out && nearest < limit.deadline().at() ? std::error_code{} : error;
    }

    static std::error_code error_of_wait(const Result<void>& result) { return result ? std::error_code{} : result.error(); }

    void take_answers() {
        ReceivedMessage message;
        while (responses.next(end, message)) complete(message);
    }

    /// An answer that nobody waits for right now: into its slot, to its function, or away.
    void complete(const ReceivedMessage& message) {
        const Release release{*this, responses};
        const std::uint32_t correlation = message.header.correlation;
        CallSlot* slot = calls->find(correlation);
        if (slot != nullptr && calls->template complete<Memory>(*slot, message)) {
            ++responses_taken;
        } else if (slot != nullptr || calls->was_issued(correlation)) {
            ++late_answers;
        } else {
            violated_ = true;
            end.shutdown();
        }
    }

    void count_event(std::uint32_t number) noexcept {
        events_missed += static_cast<std::uint32_t>(number - last_event_ - 1);
        last_event_ = number;
        ++events_taken;
    }

    /// After the flags were taken down: up again for the loop; and what came meanwhile, or is due, it is told at once.
    void announce_again() {
        if (!loop || dispatching_) return;
        Interest interest{Lane::responses | Lane::events, {}};
        if (!split && requests.has_rest()) interest.room = Lane::requests;
        if (!end.arm(interest) || violated())
            loop->alarm_now();
        else
            loop->alarm(calls->has_functions() ? calls->nearest() : Clock::time_point::max());
    }

    bool dispatching_ = false;
    bool violated_ = false;
    std::uint32_t last_event_ = 0;
    std::vector<std::byte> scratch_;
};

}  // namespace qbipc::detail
