// SPDX-License-Identifier: BSL-1.0
// detail/selector_traits.hpp: what is asked of any selector: its private data and its optional members.
#pragma once

#include <functional>
#include <type_traits>

#include <tl/expected.hpp>

#include <qbipc/credentials.hpp>
#include <qbipc/error.hpp>

namespace qbipc {

/// The private data of a connection whose selector asks for none.
struct NoData {
    friend constexpr bool operator==(NoData, NoData) noexcept = default;
};

namespace detail {

/// Selectors may be handed over by std::ref.
template <class S>
using selector_t = std::remove_reference_t<std::unwrap_reference_t<std::remove_cvref_t<S>>>;

template <class S>
constexpr S& unwrapped(S& selector) noexcept {
    return selector;
}
template <class S>
constexpr S& unwrapped(const std::reference_wrapper<S>& selector) noexcept {
    return selector.get();
}
template <class S>
constexpr S& unwrapped(std::reference_wrapper<S>& selector) noexcept {
    return selector.get();
}

template <class S>
struct PrivateDataOf {
    using type = NoData;
};
template <class S>
    requires requires { typename S::PrivateData; }
struct PrivateDataOf<S> {
    using type = typename S::PrivateData;
};

}  // namespace detail

/// `S::PrivateData`, or NoData; sees through std::reference_wrapper.
template <class S>
using private_data_t = typename detail::PrivateDataOf<detail::selector_t<S>>::type;

namespace detail {

/// Whether a selector makes, or refuses, the private data itself.
template <class S>
concept Accepts = requires(selector_t<S>& selector, const Credentials& who) { selector.accept(who); };

/// The private data for a new connection; no exception gets out. Only where it is movable.
template <class S>
Result<private_data_t<S>> accept(S& selector, [[maybe_unused]] const Credentials& who) noexcept {
    try {
        if constexpr (Accepts<S>)
            return unwrapped(selector).accept(who);
        else
            return Result<private_data_t<S>>(tl::in_place);
    } catch (...) {
        return fail(make_error_code(errc::handler_failed));
    }
}

/// Tells a selector of a new session, if it wants to know; an exception of the user's function ends there.
template <class S, class Session>
void connected(S& selector, Session& session) noexcept {
    if constexpr (requires { unwrapped(selector).connected(session); }) {
        try {
            unwrapped(selector).connected(session);
        } catch (...) {
            return;
        }
    }
}

/// Tells a selector of a session's end; as connected().
template <class S, class Session>
void disconnected(S& selector, Session& session) noexcept {
    if constexpr (requires { unwrapped(selector).disconnected(session); }) {
        try {
            unwrapped(selector).disconnected(session);
        } catch (...) {
            return;
        }
    }
}

}  // namespace detail
}  // namespace qbipc
