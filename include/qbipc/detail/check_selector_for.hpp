// SPDX-License-Identifier: BSL-1.0
// detail/check_selector_for.hpp: what can be wrong with any selector, a part of another one included.
#pragma once

#include <concepts>
#include <type_traits>

#include <qbipc/detail/selector_traits.hpp>

namespace qbipc::detail {

/// @param Transport  void on a client
template <class Transport, class Selector, class Peer, class Incoming>
consteval bool check_selector_for() {
    using S = selector_t<Selector>;
    constexpr bool private_data_can_be_made =
        std::is_void_v<Transport> || Accepts<S> || std::default_initializable<private_data_t<S>>;
    static_assert(
        private_data_can_be_made,
        "the private data has no default: make it in on_accept([](const qbipc::Credentials&) { return Data{...}; })");
    if constexpr (!private_data_can_be_made) {
        return false;
    } else if constexpr (requires { typename S::ChecksItself; }) {
        // Ours, and what inherits it. What a decorator changes is compiled when the core calls it.
        return S::template check<Transport, Peer, Incoming>();
    } else {
        constexpr bool is_callable = std::invocable<S&, Peer&, Incoming&>;
        static_assert(is_callable,
                      "a selector is callable with (auto& session, auto& request), for a client with (auto& client, "
                      "auto& event); for functions by message type write qbipc::routes(qbipc::on<M>(f), ...)");
        if constexpr (is_callable) {
            constexpr bool says_whether_it_took_it = std::same_as<std::invoke_result_t<S&, Peer&, Incoming&>, bool>;
            static_assert(says_whether_it_took_it, "a selector gives bool: whether it took what came in");
            return says_whether_it_took_it;
        } else {
            return false;
        }
    }
}

}  // namespace qbipc::detail
