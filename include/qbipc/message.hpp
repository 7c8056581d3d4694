// SPDX-License-Identifier: BSL-1.0
// message.hpp: what makes a struct a call, a one-way message or an event, and what the parts of one are.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <system_error>
#include <type_traits>

#include <qbipc/ids.hpp>

namespace qbipc {

/// What a message without a Reply has in its place.
struct NoReply {};
/// What a message without a Tail has in its place.
struct NoTail {};
/// Stands for messages whose ids are known only at run time: bytes() makes them, Copy<Raw> receives them.
struct Raw {
    using Tail = std::byte;
};

/// A struct whose bytes can travel: trivially copyable.
template <class M>
concept Payload = std::is_class_v<M> && std::is_trivially_copyable_v<M>;

namespace detail {

template <class M>
concept HasMessageId = requires { requires std::same_as<std::remove_cvref_t<decltype(M::id)>, MessageId>; };
template <class M>
concept HasEventId = requires { requires std::same_as<std::remove_cvref_t<decltype(M::id)>, EventId>; };
template <class M>
concept HasReply = requires { typename M::Reply; };
template <class M>
concept HasTail = requires { typename M::Tail; };
template <class M>
concept HasError = requires { typename M::Error; };

template <class M>
struct ReplyOf {
    using type = NoReply;
};
template <HasReply M>
struct ReplyOf<M> {
    using type = typename M::Reply;
};
template <class M>
struct TailOf {
    using type = NoTail;
};
template <HasTail M>
struct TailOf<M> {
    using type = typename M::Tail;
};

template <class M>
constexpr std::uint16_t service_of() noexcept {
    if constexpr (requires { M::service; })
        return ServiceId(M::service).value;
    else
        return 0;
}

}  // namespace detail

/// A request that is answered: has a MessageId and a Reply.
template <class M>
concept CallMessage = Payload<M> && detail::HasMessageId<M> && detail::HasReply<M>;
/// A request that is not answered: has a MessageId and no Reply.
template <class M>
concept OneWayMessage = Payload<M> && detail::HasMessageId<M> && !detail::HasReply<M>;
/// What a service pushes: has an EventId.
template <class M>
concept EventMessage = Payload<M> && detail::HasEventId<M>;
template <class M>
concept Message = CallMessage<M> || OneWayMessage<M> || EventMessage<M>;

template <class M>
using reply_of_t = typename detail::ReplyOf<M>::type;
template <class M>
using tail_of_t = typename detail::TailOf<M>::type;

namespace detail {

/// Bytes that the fixed part takes on the wire: none for an empty struct.
template <class M>
inline constexpr std::size_t fixed_size = std::is_empty_v<M> ? 0 : sizeof(M);

/// Where the tail begins: behind the fixed part, aligned for its elements.
template <class M>
constexpr std::size_t tail_offset() noexcept {
    if constexpr (HasTail<M>) {
        constexpr std::size_t align = alignof(typename M::Tail);
        return (fixed_size<M> + align - 1) / align * align;
    } else {
        return fixed_size<M>;
    }
}

/// Largest alignment that a payload has in a lane.
inline constexpr std::size_t payload_alignment = 16;

}  // namespace detail
}  // namespace qbipc
