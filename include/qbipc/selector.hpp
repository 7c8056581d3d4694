// SPDX-License-Identifier: BSL-1.0
// selector.hpp: what a selector is: the functor that picks and runs the function for a message. Ours are in selector/.
#pragma once

#include <concepts>
#include <functional>
#include <type_traits>

#include <qbipc/detail/selector_traits.hpp>
#include <qbipc/selector/first_of.hpp>
#include <qbipc/selector/hooks.hpp>
#include <qbipc/selector/on.hpp>
#include <qbipc/selector/routes.hpp>
#include <qbipc/selector/side_by_side.hpp>

namespace qbipc {

/// Picks and runs the function for what came in, and says whether it took it. On a service, `Peer` is a Session and
/// `Incoming` a Request; on a client, `Incoming` is an Event. Optional members, each of which the service uses if it is
/// there:
///
/// - type `PrivateData`: what each session owns; made by `accept`, else by its default constructor.
/// - `accept(const Credentials&) -> Result<PrivateData>`: an error refuses the connection, and is its reason.
/// - `connected(session)`: after the client is there; may send events. `disconnected(session)`: once for each of these.
///
/// A decorator inherits the selector it decorates, and so keeps these members: `template <class Next> struct Logged :
/// Next`.
template <class S, class Peer, class Incoming>
concept SelectorFor = requires(std::unwrap_reference_t<S>& selector, Peer& peer, Incoming& incoming) {
    { selector(peer, incoming) } -> std::same_as<bool>;
};

}  // namespace qbipc
