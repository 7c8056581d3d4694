// SPDX-License-Identifier: BSL-1.0
// detail/checks.hpp: what may be handed to send, call, start, answer and event functions, and which policies fit where.
#pragma once

#include <concepts>
#include <type_traits>

#include <qbipc/auth.hpp>
#include <qbipc/detail/check_message.hpp>
#include <qbipc/message.hpp>
#include <qbipc/outgoing.hpp>

namespace qbipc::detail {

template <class X>
inline constexpr bool is_raw = std::same_as<outgoing_message_t<X>, Raw>;
template <class X>
inline constexpr bool is_raw_event = false;
template <std::size_t n>
inline constexpr bool is_raw_event<Bytes<n, true>> = true;

/// Anything outgoing. `X` is a forwarding reference's type: an lvalue's has its `&`.
template <class X>
consteval bool check_outgoing() {
    constexpr bool is_a_temporary_or_owns = !(BorrowsBuffers<X> && std::is_lvalue_reference_v<X>);
    static_assert(is_a_temporary_or_owns,
                  "with_tail(), build() and bytes() refer to the caller's buffers: write them where they are sent, not "
                  "into a variable");
    return is_a_temporary_or_owns;
}

/// A request, of either kind.
template <class X>
consteval bool check_request() {
    if constexpr (check_outgoing<X>()) {
        if constexpr (is_raw<X>) {
            constexpr bool is_a_request = !is_raw_event<std::remove_cvref_t<X>>;
            static_assert(is_a_request,
                          "this message is an event (its id is an EventId): a session sends it, a client receives it");
            return is_a_request;
        } else if constexpr (check_message<outgoing_message_t<X>>()) {
            constexpr bool is_a_request = HasMessageId<outgoing_message_t<X>>;
            static_assert(is_a_request,
                          "this message is an event (its id is an EventId): a session sends it, a client receives it");
            return is_a_request;
        }
    }
    return false;
}

/// Client::send(x).
template <class X>
consteval bool check_one_way() {
    if constexpr (check_request<X>()) {
        constexpr bool has_no_reply = !HasReply<outgoing_message_t<X>>;
        static_assert(has_no_reply, "this message has a Reply: call() it, or start() it");
        return has_no_reply;
    } else {
        return false;
    }
}

/// Client::call(x, deadline), Client::start(x).
template <class X>
consteval bool check_call() {
    if constexpr (check_request<X>()) {
        constexpr bool has_a_reply = HasReply<outgoing_message_t<X>> || is_raw<X>;
        static_assert(has_a_reply, "this message has no Reply: send() it, or give it `using Reply = ...;`");
        return has_a_reply;
    } else {
        return false;
    }
}

/// Client::call(x): never right.
template <class X>
consteval bool check_call_has_deadline() {
    constexpr bool has_a_deadline = sizeof(std::remove_cvref_t<X>*) == 0;
    static_assert(has_a_deadline, "call() needs a deadline: call(message, 100ms), or call(message, qbipc::forever)");
    return has_a_deadline;
}

/// Client::connect(address): never right.
template <class A>
consteval bool check_connect_has_deadline() {
    constexpr bool has_a_deadline = sizeof(std::remove_cvref_t<A>*) == 0;
    static_assert(has_a_deadline,
                  "connect() needs a deadline: connect(address, 1s), or connect(address, qbipc::forever)");
    return has_a_deadline;
}

/// Session::send(x).
template <class X>
consteval bool check_event() {
    if constexpr (check_outgoing<X>()) {
        if constexpr (is_raw<X>) {
            constexpr bool is_an_event = is_raw_event<std::remove_cvref_t<X>>;
            static_assert(
                is_an_event,
                "this message is a request (its id is a MessageId): a client sends it; a session sends events");
            return is_an_event;
        } else if constexpr (check_message<outgoing_message_t<X>>()) {
            constexpr bool is_an_event = HasEventId<outgoing_message_t<X>>;
            static_assert(
                is_an_event,
                "this message is a request (its id is a MessageId): a client sends it; a session sends events");
            return is_an_event;
        }
    }
    return false;
}

/// Answer<Reply>::send(x). bytes() makes any Reply.
template <class Reply, class X>
consteval bool check_reply() {
    if constexpr (check_outgoing<X>()) {
        if constexpr (is_raw<X>) {
            return true;
        } else if constexpr (check_payload<outgoing_message_t<X>>()) {
            constexpr bool is_the_reply = std::same_as<outgoing_message_t<X>, Reply>;
            static_assert(is_the_reply, "this answer is something other than its call's Reply");
            return is_the_reply;
        }
    }
    return false;
}

/// Request::reply(x), where the call's Reply isn't known at compile time.
template <class X>
consteval bool check_any_reply() {
    if constexpr (check_outgoing<X>()) {
        if constexpr (is_raw<X>)
            return true;
        else
            return check_payload<outgoing_message_t<X>>();
    } else {
        return false;
    }
}

/// A policy for a connection over Transport, of either side.
template <class P, class Transport>
consteval bool check_policy() {
    if constexpr (check_policy_shape<P>()) {
        constexpr bool transport_vouches_for_it = covers(Transport::vouches, needs_of<P>());
        static_assert(
            transport_vouches_for_it,
            "this policy needs credentials that the transport doesn't vouch for: compare Transport::vouches with what "
            "the policy needs (for a lambda: qbipc::policy<qbipc::Vouch::user>(lambda))");
        return transport_vouches_for_it;
    } else {
        return false;
    }
}

}  // namespace qbipc::detail
