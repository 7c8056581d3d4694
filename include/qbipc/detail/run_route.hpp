// SPDX-License-Identifier: BSL-1.0
// detail/run_route.hpp: what stands between a message and its handler: the policy, the size, the reading, the answer.
#pragma once

#include <type_traits>
#include <utility>

#include <qbipc/auth.hpp>
#include <qbipc/detail/check_handler.hpp>
#include <qbipc/error.hpp>
#include <qbipc/incoming.hpp>
#include <qbipc/message.hpp>
#include <qbipc/selector/on.hpp>

namespace qbipc::detail {

/// The answer of a call whose handler returned it.
template <class Incoming, class R>
void settle(Incoming& incoming, R&& result) {
    if constexpr (requires { result.has_value(); }) {
        if (result)
            (void)incoming.reply(*result);
        else
            incoming.fail(result.error());
    } else if constexpr (std::same_as<std::remove_cvref_t<R>, tl::unexpected<std::error_code>>) {
        incoming.fail(result.value());
    } else {
        (void)incoming.reply(result);
    }
}

template <class M, bool deferred, class Incoming, class H, class... Args>
void run_handler([[maybe_unused]] Incoming& incoming, H& handler, Args&&... args) {
    using R = decltype(handler(std::forward<Args>(args)...));
    if constexpr (check_result<M, deferred, R>()) {
        if constexpr (std::is_void_v<R>)
            handler(std::forward<Args>(args)...);
        else
            settle(incoming, handler(std::forward<Args>(args)...));
    }
}

/// Every message has one of these in its table. The name holds one handler, not all of the service's: with the whole
/// table's type in it, 100 routes made symbols of 4,256 characters, and compile time grew with their square.
template <class R, class M, class Peer, class Incoming>
struct RunRoute {
    using Handler = std::conditional_t<std::is_const_v<R>, const typename R::Handler, typename R::Handler>;

    /// Returns auto, so that naming it compiles it, and the sentences about wrong handlers come out where routes are
    /// checked.
    static auto run(void* route, [[maybe_unused]] Peer& peer, Incoming& incoming) {
        using Policy = typename R::Policy;
        if constexpr (check_route<Handler, M, Policy, Peer, Incoming>()) {
            [[maybe_unused]] auto& [handler, policy] = *static_cast<R*>(route);
            if constexpr (!std::is_same_v<Policy, NoPolicy>) {
                if (const auto refusal = check_again(policy, incoming.credentials())) [[unlikely]]
                    return incoming.fail(refusal);
            }
            const auto payload = incoming.payload();
            if (!payload.template fits<M>()) [[unlikely]] {
                if constexpr (IsRequest<Incoming>) incoming.fail(make_error_code(errc::wrong_size));
                return;
            }
            constexpr Shape shape = shape_of<Handler, M, Peer>;
            const M message = payload.template fixed<M>();
            if constexpr (shape.view) {
                const View<M> view(message, payload.template tail_in_place<M>());
                pass<shape>(handler, peer, incoming, view);
            } else if constexpr (shape.tail) {
                pass<shape>(handler, peer, incoming, message, TailView<tail_of_t<M>>(payload.template tail_copy<M>()));
            } else {
                pass<shape>(handler, peer, incoming, message);
            }
        }
    }

private:
    template <Shape shape, class... Args>
    static void pass(Handler& handler, Peer& peer, Incoming& incoming, Args&&... args) {
        if constexpr (shape.session && shape.answer)
            run_handler<M, true>(incoming, handler, peer, std::forward<Args>(args)...,
                                 incoming.template defer<reply_of_t<M>>());
        else if constexpr (shape.session)
            run_handler<M, false>(incoming, handler, peer, std::forward<Args>(args)...);
        else if constexpr (shape.answer)
            run_handler<M, true>(incoming, handler, std::forward<Args>(args)...,
                                 incoming.template defer<reply_of_t<M>>());
        else
            run_handler<M, false>(incoming, handler, std::forward<Args>(args)...);
    }
};

}  // namespace qbipc::detail
