// SPDX-License-Identifier: BSL-1.0
// halves.hpp: a client split in two: one thread sends, another receives.
#pragma once

#include <cerrno>
#include <cstddef>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

#include <qbipc/credentials.hpp>
#include <qbipc/detail/answers.hpp>
#include <qbipc/detail/check_selector.hpp>
#include <qbipc/detail/checks.hpp>
#include <qbipc/detail/client_state.hpp>
#include <qbipc/error.hpp>
#include <qbipc/options.hpp>
#include <qbipc/pending.hpp>
#include <qbipc/time.hpp>
#include <qbipc/transport.hpp>

namespace qbipc {
namespace detail {

/// What a call of X gives; well-formed for nonsense too, so that the sentence about it is the only error.
template <class X>
using called_t = Received<answer_of_t<outgoing_message_t<X>>>;

/// start(x, limit, then).
template <class X, class Then>
consteval bool check_then() {
    constexpr bool takes_the_result = std::invocable<std::decay_t<Then>&, Result<called_t<X>>>;
    static_assert(takes_the_result,
                  "the function given to start() takes the answer: (qbipc::Result<Reply>), or for a Reply with a tail "
                  "(qbipc::Result<qbipc::Copy<Reply>>)");
    return takes_the_result;
}

/// Wraps a user's function for the answer of an M.
template <class M, MemoryPolicy Memory, class Then>
UniqueFunction<void(const Outcome&)> outcome_function(Then&& then) {
    return [then = std::forward<Then>(then)](const Outcome& outcome) mutable {
        if (outcome.error)
            then(Result<Received<answer_of_t<M>>>(fail(outcome.error)));
        else
            then(read_answer<M, Memory>(*outcome.message));
    };
}

/// What wait() does, for a client and for a receiving half.
template <TransportPolicy T, class M>
Result<Received<answer_of_t<M>>> wait_for(ClientState<T>& state, Pending<M>& pending, Party party, TimeLimit limit) {
    if (pending.slot() == nullptr || pending.calls() != state.calls.get())
        return fail(make_error_code(errc::disconnected));
    if (auto error = state.await_slot(*pending.slot(), party, limit)) return fail(error);
    CallSlot& slot = *pending.slot();
    auto result = slot.no_memory
                      ? Result<Received<answer_of_t<M>>>(fail(std::make_error_code(std::errc::not_enough_memory)))
                      : read_answer<M, PlainMemory>({{slot.header, slot.payload.data()}, slot.payload.size(), true});
    pending.taken();
    Calls::vacate(slot);
    return result;
}

}  // namespace detail

template <TransportPolicy T>
class Client;

/// The sending half of a client that was split: send() and start() in one thread. Destroying it ends the connection
/// once what was sent is out; the other half then gets what had come, and `disconnected`.
template <TransportPolicy T>
class SendingHalf {
public:
    SendingHalf(SendingHalf&&) noexcept = default;
    SendingHalf& operator=(SendingHalf&& other) noexcept {
        if (this != &other) {
            disconnect();
            state_ = std::move(other.state_);
        }
        return *this;
    }
    ~SendingHalf() { disconnect(); }

    /// As Client::send(). What was too large goes out with what this half does next: the other one can't send it.
    template <class X>
    [[nodiscard]] Result<void> send(X&& x) try {
        if constexpr (detail::check_one_way<X>()) {
            if (auto error = state_->send(x, Kind::one_way, 0)) return fail(error);
        }
        return {};
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }
    template <class X>
    [[nodiscard]] Result<void> send(X&& x, TimeLimit limit) try {
        if constexpr (detail::check_one_way<X>()) {
            if (auto error = state_->send(x, Kind::one_way, 0, limit)) return fail(error);
        }
        return {};
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }

    /// As Client::start(); the function runs in the receiving half's thread.
    template <class X>
    [[nodiscard]] auto start(X&& x) -> Result<Pending<detail::outgoing_message_t<X>>> try {
        if constexpr (detail::check_call<X>())
            return state_->template start<detail::outgoing_message_t<X>>(x);
        else
            return fail(make_error_code(errc::disconnected));
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }
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

    /// Waits until what send() accepted and the lane had no room for is out. Errors: timed_out, disconnected.
    [[nodiscard]] Result<void> flush(TimeLimit limit) try {
        if (auto error = state_->flush(limit)) return fail(error);
        return {};
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }

    /// Ends the connection, for both halves. Blocking: as Client::disconnect().
    void disconnect() {
        if (state_) state_->disconnect();
    }
    std::size_t max_message() const noexcept { return state_->end.max_message(); }

private:
    template <TransportPolicy>
    friend class Client;
    explicit SendingHalf(std::shared_ptr<detail::ClientState<T>> state) noexcept : state_(std::move(state)) {}
    std::shared_ptr<detail::ClientState<T>> state_;
};

/// The receiving half of a client that was split: answers and events, in one thread. Destroying it ends the connection.
template <TransportPolicy T>
class ReceivingHalf {
public:
    ReceivingHalf(ReceivingHalf&&) noexcept = default;
    ReceivingHalf& operator=(ReceivingHalf&& other) noexcept {
        if (this != &other) {
            end();
            state_ = std::move(other.state_);
        }
        return *this;
    }
    ~ReceivingHalf() { end(); }

    /// As Client::wait().
    template <class M>
    [[nodiscard]] Result<Received<detail::answer_of_t<M>>> wait(Pending<M>& pending, TimeLimit limit) try {
        return detail::wait_for(*state_, pending, Party::receiver, limit);
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }
    /// As Client::dispatch() and Client::receive().
    template <class Selector>
    [[nodiscard]] Result<std::size_t> dispatch(Selector&& selector, Budget budget = {}) try {
        if constexpr (detail::check_event_selector<ReceivingHalf, T, Selector>())
            return state_->dispatch(*this, detail::unwrapped(selector), budget.frames);
        else
            return std::size_t{0};
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }
    template <class Selector>
    [[nodiscard]] Result<std::size_t> receive(Selector&& selector, TimeLimit limit) try {
        if constexpr (detail::check_event_selector<ReceivingHalf, T, Selector>())
            return state_->receive(*this, detail::unwrapped(selector), Party::receiver, limit);
        else
            return std::size_t{0};
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }
    /// As Client::fd().
    int fd() {
        auto made = state_->announce();
        if (made) return *made;
        errno = made.error().value();
        return -1;
    }
    std::size_t max_message() const noexcept { return state_->end.max_message(); }
    const Credentials& service_credentials() const { return state_->end.peer(); }

private:
    template <TransportPolicy>
    friend class Client;
    explicit ReceivingHalf(std::shared_ptr<detail::ClientState<T>> state) noexcept : state_(std::move(state)) {}
    void end() {
        if (!state_ || state_->end.ended() == errc::used_after_fork) return;
        state_->end.shutdown();
        while (!state_->answers.end_quietly()) {
        }
    }
    std::shared_ptr<detail::ClientState<T>> state_;
};

}  // namespace qbipc
