// SPDX-License-Identifier: BSL-1.0
// detail/connection.hpp: a service's side of one connection, whatever its private data: lanes, answers, events,
// counters.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

#include <qbipc/answer.hpp>
#include <qbipc/detail/error_code.hpp>
#include <qbipc/detail/memory_account.hpp>
#include <qbipc/detail/message_receiver.hpp>
#include <qbipc/detail/message_sender.hpp>
#include <qbipc/detail/wire_error.hpp>
#include <qbipc/options.hpp>
#include <qbipc/statistics.hpp>
#include <qbipc/transport.hpp>

namespace qbipc {

/// Names a session for as long as the service lives; never used again.
using SessionId = std::uint64_t;

/// Why a session ended.
enum class EndReason : std::uint8_t {
    none,          ///< it hasn't
    bye,           ///< the client disconnected
    lost,          ///< the client died, or its socket was closed without a bye
    violation,     ///< the client broke the protocol
    quota,         ///< the session would have held more memory than its limits allow, or than there is
    disconnected,  ///< this service disconnected it
    stopped,       ///< this service was destroyed
};

namespace detail {

template <TransportPolicy T>
class Connection;

/// What a connection asks of the loop that owns it.
template <TransportPolicy T>
class ConnectionOwner {
public:
    /// Serve it again soon: it has something to send, may take calls again, or is to be ended.
    virtual void wake(Connection<T>& connection) = 0;
    virtual std::shared_ptr<Door> door() const = 0;
    virtual const Limits& limits() const = 0;

protected:
    ~ConnectionOwner() = default;
};

/// Keeps a session's private data alive, and says whether the connection still is. Dispatch thread only.
template <TransportPolicy T>
struct SessionAnchor {
    Connection<T>* connection = nullptr;  ///< null once the session has ended
};

/// The service's side of one connection. Dispatch thread only.
template <TransportPolicy T>
class Connection final : public AnswerPort {
public:
    using End = typename T::ServiceEnd;
    using Memory = MemoryOf<T>;

    Connection(ConnectionOwner<T>& of, End service_end, SessionId number, uid_t user)
        : end(std::move(service_end)), id(number), uid(user), owner_(of), limits_(of.limits()) {
        counters.connected_since = std::chrono::system_clock::now();
    }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection() { seal(); }

    // ---- sending

    /// Answers a call: in the lane, or kept until there is room. A reply that can't be sent becomes an error answer, so
    /// that the call is answered once whatever happens.
    template <class X>
    ErrorCode reply(const Header& call, const X& x) {
        const Header header{0, Kind::answer, 0, call.service, call.id, call.correlation};
        const std::size_t size = Outgoing<X>::size(x);
        ErrorCode error;
        try {
            error = responses.send_or_keep(end, x, header, limits_.session_bytes);
        } catch (const std::bad_alloc&) {
            error = std::make_error_code(std::errc::not_enough_memory);
        } catch (...) {  // what the user gave to build()
            (void)reply_error(call, make_error_code(errc::handler_failed));
            throw;
        }
        if (error) [[unlikely]] {
            // A build() function may have given it: the code says nothing of this end.
            (void)reply_error(call, error);
            return error;
        }
        if (responses.has_rest()) [[unlikely]] {
            ++counters.lane_full;
            owner_.wake(*this);
        }
        ++counters.responses;
        counters.bytes_sent += size;
        return {};
    }

    /// Answers a call with an error, which always fits; where there is no memory for that either, the session ends: its
    /// caller must not wait for nothing.
    ErrorCode reply_error(const Header& call, std::error_code error) {
        const Header header{0, Kind::error, 0, call.service, call.id, call.correlation};
        const WireError wire = to_wire(error);
        const Serialized payload{std::as_bytes(std::span(&wire, 1))};
        ErrorCode failed;
        try {
            failed = responses.send_or_keep(end, payload, header, no_limit);
        } catch (const std::bad_alloc&) {
            failed = std::make_error_code(std::errc::not_enough_memory);
        }
        if (responses.has_rest()) owner_.wake(*this);
        if (failed) [[unlikely]] {
            finish_for(failed);
            return failed;
        }
        ++counters.responses;
        counters.bytes_sent += sizeof wire;
        return {};
    }

    template <class X>
    ErrorCode send_event(const X& x) {
        if (!is_open()) return errc::disconnected;
        ErrorCode error;
        try {
            error = events.send(end, x, header_of(x, Kind::event, ++offered_));
        } catch (const std::bad_alloc&) {  // of a row that is out in part, the end is still to be announced
            if (events.has_rest()) owner_.wake(*this);
            error = std::make_error_code(std::errc::not_enough_memory);
        }
        if (error) [[unlikely]] {
            counters.lane_full += error == errc::lane_full;
            return error;
        }
        if (events.has_rest()) [[unlikely]]
            owner_.wake(*this);
        ++counters.events;
        counters.bytes_sent += Outgoing<X>::size(x);
        return {};
    }

    /// Answers sent and still to be sent: moves with each call that is taken.
    std::uint64_t owed() const noexcept { return counters.responses + counters.calls_waiting; }

    // ---- deferred answers

    /// One more call is to be answered later.
    AnswerDuty defer(const Header& call) {
        if (!link_) link_ = std::make_shared<AnswerLink>(owner_.door(), this, end.max_message());
        ++counters.calls_waiting;
        return {link_, call};
    }
    std::error_code answer(const Header& call, const AnyOutgoing& x) override {
        answered_one();
        if (call.kind != Kind::call) return {};  // a one-way message by a call's id: nobody waits
        return x.copy ? reply(call, AnyCopied{x}) : reply(call, x);
    }
    std::error_code answer_error(const Header& call, std::error_code error) override {
        answered_one();
        if (call.kind != Kind::call) {
            ++counters.one_way_failures;
            return {};
        }
        return reply_error(call, error);
    }

    /// Whether another thread could neither answer nor say so.
    bool lost_answer() const noexcept { return link_ && link_->lost.load(std::memory_order_acquire); }

    /// Gets on with what waits for room; of a peer that is gone it is dropped. The end may show there first: it is only
    /// a look at the requests that says `ended`, and none is taken while an answer waits.
    void push_out(bool ended) {
        if (responses.has_rest()) [[unlikely]]
            push_out(responses, ended);
        if (events.has_rest()) [[unlikely]]
            push_out(events, ended);
    }

    /// Something that was accepted for its client isn't out yet, and may still get there.
    bool has_more_to_say() {
        return !given_up_ && !end.ended() && (responses.has_rest() || events.has_rest() || end.sent_in_part());
    }

    // ---- its life

    bool is_open() const noexcept { return opened && reason == EndReason::none; }

    /// No further call is taken while answers wait for room, or too many are owed.
    bool takes_requests() const noexcept {
        return !responses.has_rest() && counters.calls_waiting < limits_.unanswered;
    }

    /// Of its handshake, or for what it still had to say: it ends now, whatever waits, or it would linger again. An ack
    /// that is there opens it, though: it may be the service that looks late.
    void time_is_over() {
        if (!lingering) {
            if (!end.ended()) end.drain();
            if (end.established()) return;
        }
        given_up_ = true;
        responses.discard();
        events.discard();
        finish(EndReason::lost);
    }

    /// Ends it after this turn of the loop; the first reason stays.
    void finish(EndReason why) {
        if (reason != EndReason::none) return;
        reason = why;
        owner_.wake(*this);
    }

    /// What its transport says of the end.
    EndReason why_ended() const {
        if (end.ended() == errc::protocol_violation) return EndReason::violation;
        if (end.ended() == errc::over_quota) return EndReason::quota;
        return end.said_bye() ? EndReason::bye : EndReason::lost;
    }

    /// Nothing reaches it any more: events are refused, answers dropped.
    void seal() {
        if (link_) {
            link_->port = nullptr;
            link_->open.store(false, std::memory_order_release);
        }
        if (anchor) anchor->connection = nullptr;
    }

    Interest interest() const noexcept {
        Interest wanted;
        if (reason == EndReason::none && (!opened || takes_requests())) wanted.frames = Lane::requests;
        if (responses.has_rest()) wanted.room = wanted.room | Lane::responses;
        if (events.has_rest()) wanted.room = wanted.room | Lane::events;
        return wanted;
    }

    const Limits& limits() const { return limits_; }

    /// From here on its memory is counted there: private, of it what comes in pieces before it is allocated; and
    /// shared, where the transport has such.
    void charge_to(MemoryAccount& account, MemoryAccount& lanes, Buffer& spare) noexcept {
        account_ = &account;
        requests.charge_to(account, spare);
        if constexpr (requires { end.pages(); }) end.pages().open(lanes);
    }
    /// Counts what its outboxes hold. False: it is too much.
    bool charge_outboxes() noexcept {
        const std::size_t held = responses.held() + events.held();
        return held == charged_ || account_->change(std::exchange(charged_, held), held);
    }
    /// Gives it all back; the account is about to be closed.
    void release_memory() noexcept {
        requests.forget();
        responses.discard();
        events.discard();
        (void)charge_outboxes();
        if constexpr (requires { end.pages(); }) end.pages().close();
    }

    End end;
    const SessionId id;
    MessageReceiver<End, Memory, Lane::requests> requests;
    MessageSender<End, Lane::responses> responses;
    MessageSender<End, Lane::events> events;
    Statistics counters;
    Statistics baseline;                       ///< counters when they were last cleared
    std::shared_ptr<SessionAnchor<T>> anchor;  ///< holds the private data too
    void* data = nullptr;                      ///< the private data, of the selector's whole type
    const uid_t uid;                           ///< under whom it is counted
    std::size_t index = 0;                     ///< its place among the sessions
    Clock::time_point since = Clock::now();    ///< when it was let in, or began to linger
    EndReason reason = EndReason::none;
    bool opened = false;         ///< the handshake is complete: on_connect has run
    bool lingering = false;      ///< ended by us; what is in the outboxes still goes out
    bool ending = false;         ///< in the loop's list of those to end
    bool said_farewell = false;  ///< on_disconnect has run
    bool ready = false;          ///< in the loop's list of those to serve
    bool hot = false;            ///< in the loop's hot set: not armed, looked at while spinning
    bool busy_lately = false;    ///< gave a request since the loop last looked at everybody

private:
    static constexpr std::size_t no_limit = static_cast<std::size_t>(-1) / 2;

    template <class Sender>
    [[gnu::noinline]] void push_out(Sender& sender, bool ended) {
        const ErrorCode stopped = ended ? ErrorCode(errc::disconnected) : sender.flush(end);
        if (!stopped || stopped == errc::lane_full) return;
        sender.discard();
        finish_for(stopped);
    }

    /// For what can't be sent, nor called back: its peer broke the rules of the lane, or memory is lacking for it.
    void finish_for(ErrorCode stopped) {
        if (stopped == errc::disconnected || stopped == errc::used_after_fork) return;
        finish(stopped == errc::protocol_violation ? EndReason::violation : EndReason::quota);
    }

    void answered_one() {
        const bool could = takes_requests();
        --counters.calls_waiting;
        if (!could && takes_requests()) owner_.wake(*this);
    }

    ConnectionOwner<T>& owner_;
    const Limits& limits_;
    MemoryAccount* account_ = nullptr;
    std::size_t charged_ = 0;  ///< for the outboxes
    std::uint32_t offered_ = 0;
    bool given_up_ = false;
    std::shared_ptr<AnswerLink> link_;
};

}  // namespace detail
}  // namespace qbipc
