// SPDX-License-Identifier: BSL-1.0
// detail/check_handler.hpp: which of the parameter lists a handler has, whether it returns what its message asks for,
// and why not.
#pragma once

#include <concepts>
#include <system_error>
#include <type_traits>
#include <utility>

#include <tl/expected.hpp>

#include <qbipc/answer.hpp>
#include <qbipc/detail/checks.hpp>
#include <qbipc/incoming.hpp>
#include <qbipc/message.hpp>
#include <qbipc/selector/on.hpp>

namespace qbipc::detail {

/// A handler's parameters: [session,] message [, tail] [, answer], or [session,] view [, answer].
struct Shape {
    bool found = false;
    bool session = false, view = false, tail = false, answer = false;
    friend constexpr bool operator==(const Shape&, const Shape&) = default;
};

/// What stands between the session and the answer, as the handler sees it.
template <class H, class Peer, class... Args>
concept TakesWithPeer = requires(H& handler, Peer& peer, Args... args) { handler(peer, static_cast<Args&&>(args)...); };
template <class H, class... Args>
concept Takes = requires(H& handler, Args... args) { handler(static_cast<Args&&>(args)...); };

template <class H, class M, class Peer>
consteval Shape find_deferring_shape() {
    using A = Answer<reply_of_t<M>>;
    using Tail = TailView<tail_of_t<M>>;
    if constexpr (HasTail<M> && TakesWithPeer<H, Peer, const M&, Tail, A>)
        return {true, true, false, true, true};
    else if constexpr (TakesWithPeer<H, Peer, const M&, A>)
        return {true, true, false, false, true};
    else if constexpr (HasTail<M> && Takes<H, const M&, Tail, A>)
        return {true, false, false, true, true};
    else if constexpr (Takes<H, const M&, A>)
        return {true, false, false, false, true};
    else if constexpr (TakesWithPeer<H, Peer, const View<M>&, A>)
        return {true, true, true, false, true};
    else if constexpr (Takes<H, const View<M>&, A>)
        return {true, false, true, false, true};
    else
        return {};
}

/// One probe per shape, those that are common first; each costs compile time, and compiles the body of a handler with
/// `auto` parameters. So a session comes before everything else: `(auto& s, const auto& m)` could take (message,
/// answer) too.
template <class H, class M, class Peer>
consteval Shape find_shape() {
    using Tail = TailView<tail_of_t<M>>;
    if constexpr (HasTail<M> && TakesWithPeer<H, Peer, const M&, Tail>)
        return {true, true, false, true, false};
    else if constexpr (TakesWithPeer<H, Peer, const M&>)
        return {true, true, false, false, false};
    else if constexpr (HasTail<M> && Takes<H, const M&, Tail>)
        return {true, false, false, true, false};
    else if constexpr (Takes<H, const M&>)
        return {true, false, false, false, false};
    else if constexpr (TakesWithPeer<H, Peer, const View<M>&>)
        return {true, true, true, false, false};
    else if constexpr (Takes<H, const View<M>&>)
        return {true, false, true, false, false};
    else if constexpr (HasReply<M>)
        return find_deferring_shape<H, M, Peer>();
    else
        return {};
}

template <class H, class M, class Peer>
inline constexpr Shape shape_of = find_shape<H, M, Peer>();

template <class R>
struct WithoutResult {
    using type = R;
};
template <class R>
struct WithoutResult<Result<R>> {
    using type = R;
};

/// What a handler returned, against its message. `deferred`: it takes an Answer.
template <class M, bool deferred, class R>
consteval bool check_result() {
    using Given = typename WithoutResult<std::remove_cvref_t<R>>::type;
    if constexpr (BorrowsBuffers<Given>) {
        constexpr bool outlives_the_handler = !BorrowsBuffers<Given>;
        static_assert(
            outlives_the_handler,
            "with_tail() and build() refer to what dies with the handler: take a qbipc::Answer<Reply> as its last "
            "parameter, and send() them there");
        return false;
    } else if constexpr (deferred) {
        constexpr bool returns_nothing = std::is_void_v<R>;
        static_assert(returns_nothing, "a handler that takes a qbipc::Answer answers through it, and returns nothing");
        return returns_nothing;
    } else if constexpr (!HasReply<M>) {
        constexpr bool returns_nothing = std::is_void_v<R>;
        static_assert(returns_nothing, "this message has no Reply: its handler returns nothing");
        return returns_nothing;
    } else {
        constexpr bool returns_something = !std::is_void_v<R>;
        static_assert(returns_something,
                      "this message is a call: its handler returns the message's Reply, a Result of it, or takes a "
                      "qbipc::Answer<Reply> as its last parameter");
        if constexpr (returns_something) {
            constexpr bool returns_the_reply = std::same_as<Given, reply_of_t<M>> ||
                                               std::same_as<Given, Copy<reply_of_t<M>>> ||
                                               std::same_as<Given, tl::unexpected<std::error_code>>;
            static_assert(
                returns_the_reply,
                "this handler returns something other than its message's Reply, Copy<Reply>, or a Result of one");
            return returns_the_reply;
        } else {
            return false;
        }
    }
}

template <class Incoming>
concept IsRequest = requires(Incoming& incoming) { incoming.message(); };

/// One message of a route, for one kind of peer.
template <class H, class M, class Policy, class Peer, class Incoming>
consteval bool check_route() {
    if constexpr (HasEventId<M>) {
        constexpr bool is_received_by_a_client = !IsRequest<Incoming>;
        static_assert(
            is_received_by_a_client,
            "this route is for an event (its id is an EventId): a client receives it; a service takes requests");
        if constexpr (is_received_by_a_client) {
            constexpr bool has_no_policy = std::same_as<Policy, NoPolicy>;
            static_assert(
                has_no_policy,
                "only() guards requests: events come from the service that the client's own policy let it connect to");
            if constexpr (!has_no_policy) return false;
        } else {
            return false;
        }
    } else {
        constexpr bool is_taken_by_a_service = IsRequest<Incoming>;
        static_assert(
            is_taken_by_a_service,
            "this route is for a request (its id is a MessageId): a service takes it; a client receives events");
        if constexpr (!is_taken_by_a_service) return false;
    }
    constexpr bool handler_takes_its_message = shape_of<H, M, Peer>.found;
    static_assert(handler_takes_its_message,
                  "this handler can't take its message: on<M> needs a callable with (auto& session, const M&) or "
                  "(const M&), then "
                  "maybe the tail, and for a call maybe a qbipc::Answer<Reply>");
    return handler_takes_its_message;
}

}  // namespace qbipc::detail
