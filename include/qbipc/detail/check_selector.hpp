// SPDX-License-Identifier: BSL-1.0
// detail/check_selector.hpp: what can be wrong with a selector for a service, or for a client's events.
#pragma once

#include <concepts>
#include <type_traits>

#include <qbipc/detail/check_selector_for.hpp>
#include <qbipc/event.hpp>
#include <qbipc/request.hpp>
#include <qbipc/selector.hpp>
#include <qbipc/session.hpp>
#include <qbipc/transport.hpp>

namespace qbipc::detail {

/// What stands in the place of a Service whose mistake has been reported: enough of one that no second error follows.
struct NoService {
    int fd() const noexcept { return -1; }
    Result<std::size_t> dispatch(auto&&...) { return fail(make_error_code(errc::handler_failed)); }
    Result<void> run(auto&&...) { return fail(make_error_code(errc::handler_failed)); }
};

/// listen<Transport>(address, selector).
template <class Transport, class Selector>
consteval bool check_selector() {
    using Data = private_data_t<Selector>;
    constexpr bool private_data_can_be_moved = std::is_object_v<Data> && std::move_constructible<Data>;
    static_assert(private_data_can_be_moved,
                  "the private data must be movable: hold what isn't, such as a std::mutex, in a std::unique_ptr");
    if constexpr (private_data_can_be_moved) {
        return check_selector_for<Transport, Selector, Session<Transport, Data>, Request<Transport>>();
    } else {
        return false;
    }
}

/// Client::receive(selector, deadline), Client::dispatch(selector). `Peer` is the client, or its receiving half.
template <class Peer, class Transport, class Selector>
consteval bool check_event_selector() {
    return check_selector_for<void, Selector, Peer, Event<MemoryOf<Transport>>>();
}

}  // namespace qbipc::detail
