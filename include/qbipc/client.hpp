// SPDX-License-Identifier: BSL-1.0
// client.hpp: a client: calls a service, sends it messages, receives its events.
#pragma once

#include <cerrno>
#include <cstddef>
#include <memory>
#include <new>
#include <system_error>
#include <type_traits>
#include <utility>

#include <qbipc/address.hpp>
#include <qbipc/auth.hpp>
#include <qbipc/detail/answers.hpp>
#include <qbipc/detail/check_selector.hpp>
#include <qbipc/detail/checks.hpp>
#include <qbipc/detail/client_state.hpp>
#include <qbipc/error.hpp>
#include <qbipc/halves.hpp>
#include <qbipc/options.hpp>
#include <qbipc/pending.hpp>
#include <qbipc/statistics.hpp>
#include <qbipc/time.hpp>
#include <qbipc/transport.hpp>

namespace qbipc {

/// The connecting end. One thread's object; split() gives it to two. Its destruction disconnects.
///
/// A wait ends at once when the service dies, whatever its limit: what the service had sent is still given, then
/// `disconnected`. A function that was given to start() runs in dispatch(), receive(), wait() or call(), at the first
/// of them after its answer, its deadline or the service's death; it may call() but neither dispatch() nor receive().
/// They run one at a time: what becomes due while one of them waits runs after it. It never runs inside send() and
/// flush(), which may wait in the middle of a message; inside a start() with a function only where 4,096 or more
/// wait to be run. What it throws leaves the function that ran it, and is lost where that is a destructor.
/// Functions for events never run inside call() and wait(). Everything that returns an error may, besides those it
/// lists, return std::errc::not_enough_memory: nothing was sent then, or the answer is lost, and the client goes on;
/// where a large message could not be put together, the connection ends, for what follows it could not be told apart.
/// After a fork it is the parent's: in the child everything gives used_after_fork, destruction closes descriptors only.
/// A child that is forked in a function which looks at a message, or writes one, has to end there, by exec or _exit():
/// over shared memory that message isn't in its memory.
template <TransportPolicy T>
class Client {
public:
    using Transport = T;

    /// Connects to the service at `address`. `auth` says who the service may be run by: root and this process's user,
    /// unless said otherwise. Blocking: until `limit`.
    /// Errors: no_service (nobody listens there, for 50 ms; with Options::wait_for_service, until `limit`),
    /// disconnected (it died while it let this client in; with wait_for_service, it is tried again), busy (until
    /// `limit`), protocol_violation, timed_out, wrong_service (`auth` said no; a policy's own code is given as it is),
    /// incompatible (names both sides), not_permitted or another code (the service's refusal), too_many_sessions,
    /// bad_name, name_too_long, no_runtime_directory, not_supported, descriptors_refused, or what the kernel said.
    template <class Auth = SameUserOrRoot>
    [[nodiscard]] static Result<Client> connect(const Address& address, TimeLimit limit, Auth auth = {},
                                                Options options = {}) try {
        if constexpr (detail::check_policy<Auth, T>()) {
            const auto check = [&auth](const Credentials& who) {
                const std::error_code refusal = qbipc::check(auth, who);
                return refusal == errc::not_permitted ? make_error_code(errc::wrong_service) : refusal;
            };
            auto end = T::connect(address, options, limit, CredentialCheck(check, only_user(auth)));
            if (!end) return fail(end.error());
            return Client(std::make_shared<detail::ClientState<T>>(std::move(*end)));
        } else {
            return fail(make_error_code(errc::wrong_service));
        }
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }

    /// Never right: a connect needs a deadline.
    template <class A>
    [[nodiscard]] static Result<Client> connect(A&&) {
        (void)detail::check_connect_has_deadline<A>();
        return fail(make_error_code(errc::timed_out));
    }

    /// Calls the service and waits for the answer. One limit covers room, sending and answer; an answer that comes
    /// later is dropped, and never given to another call. The request isn't recalled. Gives the Reply, or Copy<Reply>
    /// where it has a tail; for bytes(), Copy<Raw>. Errors: timed_out; disconnected; message_too_large (nothing was
    /// sent); what the service said: no_such_message, wrong_size, not_permitted, handler_failed, unanswered, or the
    /// application's own code; wrong_size also where the answer's size isn't the Reply's; protocol_violation.
    template <class X>
    [[nodiscard]] Result<detail::called_t<X>> call(X&& x, TimeLimit limit) try {
        if constexpr (detail::check_call<X>()) {
            using M = detail::outgoing_message_t<X>;
            Result<detail::called_t<X>> result;
            const auto error = exchange(x, limit, [&](const detail::ReceivedMessage& message) {
                result = detail::read_answer<M, MemoryOf<T>>(message);
            });
            if (error) return fail(error);
            return result;
        } else {
            return fail(make_error_code(errc::disconnected));
        }
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }

    /// As call(), but gives the answer to a function, without an allocation for it: `visit(const Reply&, tail)` gets a
    /// private copy of the tail, which lives as long as the function runs; `visit(const View<Reply>&)` looks at it
    /// where it lies; `visit(const Reply&)` leaves a tail alone. It may send; where it calls or waits for answers
    /// itself, that gives would_recurse.
    template <class X, class Visit>
    [[nodiscard]] Result<void> call(X&& x, TimeLimit limit, Visit&& visit) try {
        if constexpr (detail::check_call<X>()) {
            using M = detail::outgoing_message_t<X>;
            if constexpr (detail::check_visit<detail::answer_of_t<M>, Visit>()) {
                Result<void> result;
                const auto error = exchange(x, limit, [&](const detail::ReceivedMessage& message) {
                    result = detail::visit_answer<M, MemoryOf<T>>(message, visit, state_->tail_of_answer);
                });
                if (error) return fail(error);
                return result;
            }
        }
        return {};
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }

    /// Never right: a call needs a deadline.
    template <class X>
    [[nodiscard]] Result<detail::called_t<X>> call(X&&) {
        (void)detail::check_call_has_deadline<X>();
        return fail(make_error_code(errc::timed_out));
    }

    /// Sends a one-way message at once. Blocking: never. What was accepted and is too large for the room there is goes
    /// out with the operations that follow; flush() waits for that, and a loop that watches fd() is told when there is
    /// room for more. Peer loss: a message sent to a service that is
    /// dying may be lost without an error; alive() asks. Errors: lane_full, message_too_large, disconnected; on error
    /// nothing was sent.
    template <class X>
    [[nodiscard]] Result<void> send(X&& x) try {
        if constexpr (detail::check_one_way<X>()) {
            if (auto error = state_->send(x, Kind::one_way, 0)) return fail(error);
        }
        return {};
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }

    /// Sends a one-way message, and waits for room. Errors: timed_out (it is not delivered, not even in part),
    /// message_too_large, disconnected.
    template <class X>
    [[nodiscard]] Result<void> send(X&& x, TimeLimit limit) try {
        if constexpr (detail::check_one_way<X>()) {
            if (auto error = state_->send(x, Kind::one_way, 0, limit)) return fail(error);
        }
        return {};
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }

    /// Waits until all that send() accepted is out. Errors: timed_out, disconnected.
    [[nodiscard]] Result<void> flush(TimeLimit limit) try {
        if (auto error = state_->flush(limit)) return fail(error);
        return {};
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }

    /// Sends a call at once and gives a token for its answer. Blocking: never. Errors: as send(); lane_full also when
    /// 4,096 calls are outstanding.
    template <class X>
    [[nodiscard]] auto start(X&& x) -> Result<Pending<detail::outgoing_message_t<X>>> try {
        if constexpr (detail::check_call<X>())
            return state_->template start<detail::outgoing_message_t<X>>(x);
        else
            return fail(make_error_code(errc::disconnected));
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }

    /// Sends a call whose answer is given to `then(Result<Received<Reply>>)`, exactly once: by `limit`, which covers
    /// room and answer, with timed_out at the latest. Blocking: while there is no room. Errors: as send(x, limit);
    /// would_recurse (inside another such function that has started thousands, or one that looks at an answer
    /// while 4,096 calls are out). `then` doesn't run where
    /// start() gives an error.
    template <class X, class Then>
    [[nodiscard]] Result<void> start(X&& x, TimeLimit limit, Then&& then) try {
        if constexpr (detail::check_call<X>() && detail::check_then<X, Then>()) {
            using M = detail::outgoing_message_t<X>;
            if (auto error =
                    state_->start(x, limit, detail::outcome_function<M, MemoryOf<T>>(std::forward<Then>(then))))
                return fail(error);
        }
        return {};
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }

    /// Waits for the answer of a started call; others that come meanwhile are completed too.
    /// Errors: timed_out (the token stays good: wait again), disconnected (also for a token of another client, or used
    /// already), and the service's as for call().
    template <class M>
    [[nodiscard]] Result<Received<detail::answer_of_t<M>>> wait(Pending<M>& pending, TimeLimit limit) try {
        return detail::wait_for(*state_, pending, Party::whole, limit);
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }

    /// Gives the events that are there to `selector`, and answers to their functions. Blocking: never, but for
    /// milliseconds where the kernel has no memory for what was sent. Gives the number of events; those that the
    /// selector doesn't take are dropped. Errors: disconnected, once everything that came before was given;
    /// protocol_violation; would_recurse. Of a client whose fd() was never asked for, one that finds nothing looks for
    /// the end, by a system call.
    template <class Selector>
    [[nodiscard]] Result<std::size_t> dispatch(Selector&& selector, Budget budget = {}) try {
        if constexpr (detail::check_event_selector<Client, T, Selector>())
            return state_->dispatch(*this, detail::unwrapped(selector), budget.frames);
        else
            return std::size_t{0};
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }

    /// As dispatch(), but waits for an event first. Takes what is there, 1,024 events at most, and of a service that
    /// sends as fast as they are handled no more than comes by `limit`. Errors: as dispatch(), and timed_out.
    template <class Selector>
    [[nodiscard]] Result<std::size_t> receive(Selector&& selector, TimeLimit limit) try {
        if constexpr (detail::check_event_selector<Client, T, Selector>())
            return state_->receive(*this, detail::unwrapped(selector), Party::whole, limit);
        else
            return std::size_t{0};
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }

    /// The one descriptor for any event loop, level-triggered, the same for life: readable whenever dispatch() has
    /// something to do, deadlines and the service's death included. Made at the first call; -1 where the kernel gives
    /// none (errno says why). Synchronous calls in between never swallow its announcements.
    int fd() {
        auto made = state_->announce();
        if (made) return *made;
        errno = made.error().value();
        return -1;
    }

    /// Who the service is, as of its listen().
    const Credentials& service_credentials() const { return state_->end.peer(); }
    /// The largest message that this connection carries, in bytes: negotiated when it was made.
    std::size_t max_message() const noexcept { return state_->end.max_message(); }
    /// Whether the service still lives, asked of the kernel now.
    bool alive() { return !state_->over() && state_->end.alive(); }

    ClientStatistics statistics() const noexcept {
        return {state_->requests_sent, state_->answers.taken(), state_->answers.late(), state_->events.count().taken(),
                state_->events.count().missed()};
    }

    /// Says bye and ends the connection. What send() accepted still goes out. Blocking: only where an accepted rest
    /// waits for room, one second at most; and, over sockets that are full, another 200 ms for the bye. Outstanding
    /// functions get `disconnected`; where one of them calls this, after it.
    void disconnect() {
        state_->disconnect();
        state_->answers.end_all();
    }

    /// Two halves, for two threads. Started calls can be waited for at the receiving half.
    std::pair<SendingHalf<T>, ReceivingHalf<T>> split() && {
        state_->begin_split();
        return {SendingHalf<T>(state_), ReceivingHalf<T>(std::move(state_))};
    }

private:
    explicit Client(std::shared_ptr<detail::ClientState<T>> state) noexcept : state_(std::move(state)) {}

    template <class X, class Use>
    detail::ErrorCode exchange(const X& x, TimeLimit& limit, Use&& use) {
        if (state_->answers.looking()) [[unlikely]]
            return errc::would_recurse;
        const std::uint32_t correlation = state_->calls->issue();
        if (auto error = state_->send(x, Kind::call, correlation, limit)) [[unlikely]] {
            state_->run_due(error);
            return error;
        }
        return state_->await_answer(correlation, limit, use);
    }

    std::shared_ptr<detail::ClientState<T>> state_;
};

}  // namespace qbipc
