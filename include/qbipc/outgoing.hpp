// SPDX-License-Identifier: BSL-1.0
// outgoing.hpp: what can be sent wherever a message is taken: a struct, a struct with a tail, built in place, raw
// bytes.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <memory>
#include <ranges>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include <qbipc/detail/copy_out.hpp>
#include <qbipc/error.hpp>
#include <qbipc/frame.hpp>
#include <qbipc/ids.hpp>
#include <qbipc/incoming.hpp>
#include <qbipc/message.hpp>
#include <qbipc/padding.hpp>

namespace qbipc {
namespace detail {

/// Base of what refers to the caller's buffers: taken as a temporary only.
struct Borrowing {};

template <class X>
concept BorrowsBuffers = std::derived_from<std::remove_cvref_t<X>, Borrowing>;

/// The bytes of a range of E; a char array counts as text up to its first NUL, where it has one.
template <class E, class Range>
std::span<const std::byte> bytes_of(const Range& range) noexcept {
    if constexpr (std::same_as<E, char> && std::is_bounded_array_v<Range>) {
        const std::string_view all(range, std::size(range));
        return std::as_bytes(std::span(all.substr(0, all.find('\0'))));
    } else if constexpr (std::same_as<E, char> && std::convertible_to<const Range&, std::string_view>) {
        return std::as_bytes(std::span(std::string_view(range)));
    } else {
        return std::as_bytes(std::span(std::ranges::data(range), std::ranges::size(range)));
    }
}

template <class Range, class E>
concept ElementsOf = (std::same_as<E, char> && std::convertible_to<const Range&, std::string_view>) ||
                     (std::ranges::contiguous_range<const Range> && std::ranges::sized_range<const Range> &&
                      std::same_as<std::remove_cv_t<std::ranges::range_value_t<const Range>>, E>);

template <class Range>
concept ByteLike = std::ranges::contiguous_range<const Range> && std::ranges::sized_range<const Range> &&
                   std::is_trivially_copyable_v<std::ranges::range_value_t<const Range>>;

template <class M, std::size_t parts>
struct WithTail : Borrowing {
    M fixed;
    std::array<std::span<const std::byte>, parts> tail;
};

template <class M, class Fill>
struct Build : Borrowing {
    std::size_t tail_size;
    Fill* fill;
};

template <std::size_t parts, bool is_event>
struct Bytes : Borrowing {
    ServiceId service;
    std::uint32_t id;
    std::array<std::span<const std::byte>, parts> data;
};

template <class M, class... Ranges>
consteval bool check_tail();

}  // namespace detail

/// A struct and its tail, gathered from any number of ranges of the tail's element type (for char: any text). Copied
/// once, into the lane. Lifetime: refers to the ranges; a temporary to be passed on at once.
template <class M, class... Ranges>
auto with_tail(const M& fixed, const Ranges&... ranges) {
    if constexpr (detail::check_tail<M, Ranges...>()) {
        return detail::WithTail<M, sizeof...(Ranges)>{{}, fixed, {detail::bytes_of<tail_of_t<M>>(ranges)...}};
    } else {
        return detail::WithTail<M, 0>{};
    }
}

/// A message built where the peer will read it: `fill(M&, std::span<Tail>)` runs once there is room for `tail_size`
/// elements. It may give nothing, the number of elements used, or a Result of that; an error sends nothing and is
/// passed on. What it doesn't write of the tail is whatever the lane held: bytes this side sent to the same peer
/// before, or zero.
template <class M, class Fill>
auto build(std::size_t tail_size, Fill&& fill) {
    return detail::Build<M, std::remove_reference_t<Fill>>{{}, tail_size, std::addressof(fill)};
}

/// Ids known only at run time, and the bytes of any contiguous ranges, one behind the other. A MessageId makes it a
/// request (or, from Request::reply, the reply to one), an EventId an event.
template <detail::ByteLike... Ranges>
auto bytes(ServiceId service, MessageId id, const Ranges&... ranges) {
    return detail::Bytes<sizeof...(Ranges), false>{{}, service, id.value, {std::as_bytes(std::span(ranges))...}};
}
template <detail::ByteLike... Ranges>
auto bytes(ServiceId service, EventId id, const Ranges&... ranges) {
    return detail::Bytes<sizeof...(Ranges), true>{{}, service, id.value, {std::as_bytes(std::span(ranges))...}};
}

namespace detail {

template <class M, class... Ranges>
consteval bool check_tail() {
    constexpr bool this_message_has_a_tail = HasTail<M>;
    static_assert(this_message_has_a_tail, "this message has no tail: give it `using Tail = ElementType;`");
    if constexpr (this_message_has_a_tail) {
        constexpr bool elements_match = (ElementsOf<Ranges, tail_of_t<M>> && ...);
        static_assert(elements_match,
                      "with_tail() takes contiguous ranges of the message's Tail type (for char: any text)");
        return elements_match;
    } else {
        return false;
    }
}

/// Copies `size` bytes from `offset` on of `parts` laid end to end.
template <std::size_t n>
void copy_parts(const std::array<std::span<const std::byte>, n>& parts, std::size_t offset, std::byte* to,
                std::size_t size, CopyOut& out) noexcept {
    for (const auto& part : parts) {
        if (offset >= part.size()) {
            offset -= part.size();
            continue;
        }
        const std::size_t count = std::min(size, part.size() - offset);
        out(to, part.data() + offset, count);
        to += count, size -= count, offset = 0;
        if (size == 0) return;
    }
}

/// How one outgoing thing becomes payload. Each has: Message; `built` (only write() works, and may fail); size(x):
/// bytes, an upper bound where built; write(x, to): all of it, gives the size; copy(x, offset, to, n): a part of it.
/// Tails are copied by `out`.
template <class X>
struct Outgoing {
    using Message = X;
    static constexpr bool built = false;
    static constexpr std::size_t size(const X&) noexcept { return tail_offset<X>(); }
    static std::size_t write(const X& x, std::byte* to, CopyOut& = CopyOut::plain) noexcept {
        if constexpr (fixed_size<X> != 0) {
            if constexpr (may_have_padding<X>) {
                alignas(X) std::byte clean[sizeof(X)];  // `to` may be a lane: the peer could look before it is zeroed
                clean_copy(clean, x);
                std::memcpy(to, clean, sizeof(X));
            } else {
                std::memcpy(to, std::addressof(x), sizeof(X));
            }
        }
        if constexpr (tail_offset<X>() != fixed_size<X>)
            std::memset(to + fixed_size<X>, 0, tail_offset<X>() - fixed_size<X>);
        return tail_offset<X>();
    }
    static void copy(const X& x, std::size_t offset, std::byte* to, std::size_t size,
                     CopyOut& = CopyOut::plain) noexcept {
        if constexpr (may_have_padding<X> || tail_offset<X>() != fixed_size<X>) {
            std::array<std::byte, tail_offset<X>()> whole;
            write(x, whole.data());
            std::memcpy(to, whole.data() + offset, size);
        } else if constexpr (fixed_size<X> != 0) {
            std::memcpy(to, reinterpret_cast<const std::byte*>(std::addressof(x)) + offset, size);
        }
    }
};

/// A fixed part and parts of a tail.
template <class M, std::size_t n>
struct OutgoingParts {
    using Message = M;
    static constexpr bool built = false;
    static std::size_t write(const M& fixed, const std::array<std::span<const std::byte>, n>& tail, std::byte* to,
                             CopyOut& out) noexcept {
        std::size_t at = Outgoing<M>::write(fixed, to);
        for (const auto& part : tail) {
            out(to + at, part.data(), part.size());
            at += part.size();
        }
        return at;
    }
    static void copy(const M& fixed, const std::array<std::span<const std::byte>, n>& tail, std::size_t offset,
                     std::byte* to, std::size_t size, CopyOut& out) noexcept {
        constexpr std::size_t head = tail_offset<M>();
        if (offset < head) {
            const std::size_t count = std::min(size, head - offset);
            Outgoing<M>::copy(fixed, offset, to, count);
            to += count, size -= count, offset = head;
        }
        if (size != 0) copy_parts(tail, offset - head, to, size, out);
    }
};

template <std::size_t n>
std::size_t total(const std::array<std::span<const std::byte>, n>& parts) noexcept {
    std::size_t sum = 0;
    for (const auto& part : parts) sum += part.size();
    return sum;
}

template <class M, std::size_t n>
struct Outgoing<WithTail<M, n>> : OutgoingParts<M, n> {
    using Base = OutgoingParts<M, n>;
    static std::size_t size(const WithTail<M, n>& x) noexcept { return tail_offset<M>() + total(x.tail); }
    static std::size_t write(const WithTail<M, n>& x, std::byte* to, CopyOut& out = CopyOut::plain) noexcept {
        return Base::write(x.fixed, x.tail, to, out);
    }
    static void copy(const WithTail<M, n>& x, std::size_t offset, std::byte* to, std::size_t size,
                     CopyOut& out = CopyOut::plain) noexcept {
        Base::copy(x.fixed, x.tail, offset, to, size, out);
    }
};

template <class M>
struct Outgoing<Copy<M>> : OutgoingParts<M, 1> {
    using Base = OutgoingParts<M, 1>;
    static std::array<std::span<const std::byte>, 1> tail(const Copy<M>& x) noexcept {
        return {std::as_bytes(std::span(x.tail().data(), x.tail().size()))};
    }
    static std::size_t size(const Copy<M>& x) noexcept {
        return tail_offset<M>() + x.tail().size() * sizeof(tail_of_t<M>);
    }
    static std::size_t write(const Copy<M>& x, std::byte* to, CopyOut& out = CopyOut::plain) noexcept {
        return Base::write(*x, tail(x), to, out);
    }
    static void copy(const Copy<M>& x, std::size_t offset, std::byte* to, std::size_t size,
                     CopyOut& out = CopyOut::plain) noexcept {
        Base::copy(*x, tail(x), offset, to, size, out);
    }
};

template <std::size_t n, bool is_event>
struct Outgoing<Bytes<n, is_event>> {
    using Message = Raw;
    static constexpr bool built = false;
    static std::size_t size(const Bytes<n, is_event>& x) noexcept { return total(x.data); }
    static std::size_t write(const Bytes<n, is_event>& x, std::byte* to, CopyOut& out = CopyOut::plain) noexcept {
        copy_parts(x.data, 0, to, total(x.data), out);
        return total(x.data);
    }
    static void copy(const Bytes<n, is_event>& x, std::size_t offset, std::byte* to, std::size_t size,
                     CopyOut& out = CopyOut::plain) noexcept {
        copy_parts(x.data, offset, to, size, out);
    }
};

template <class M, class Fill>
struct Outgoing<Build<M, Fill>> {
    using Message = M;
    static constexpr bool built = true;
    static constexpr std::size_t size(const Build<M, Fill>& x) noexcept {
        if constexpr (HasTail<M>) {
            constexpr std::size_t limit = static_cast<std::size_t>(-1) / 2;
            return x.tail_size > limit / sizeof(tail_of_t<M>) ? limit
                                                              : tail_offset<M>() + x.tail_size * sizeof(tail_of_t<M>);
        } else {
            return tail_offset<M>();
        }
    }
    /// Runs fill; the fixed part is filled in private memory and copied, the tail where it will be read.
    static Result<std::size_t> write(const Build<M, Fill>& x, std::byte* to, CopyOut& out = CopyOut::plain) {
        M fixed{};
        out.make_ready(to, size(x));
        Result<std::size_t> used = run(x, fixed, to);
        if (!used) return used;
        (void)Outgoing<M>::write(fixed, to);
        std::size_t whole = tail_offset<M>();
        if constexpr (HasTail<M>) whole += std::min(*used, x.tail_size) * sizeof(tail_of_t<M>);
        out.wrote(whole);
        return whole;
    }

private:
    static Result<std::size_t> run(const Build<M, Fill>& x, M& fixed, [[maybe_unused]] std::byte* to) {
        const auto call = [&]() -> decltype(auto) {
            if constexpr (HasTail<M>) {
                using E = tail_of_t<M>;
                return (*x.fill)(fixed, std::span<E>(reinterpret_cast<E*>(to + tail_offset<M>()), x.tail_size));
            } else {
                return (*x.fill)(fixed);
            }
        };
        if constexpr (std::is_void_v<decltype(call())>) {
            call();
            return x.tail_size;
        } else if constexpr (std::is_integral_v<decltype(call())>) {
            return static_cast<std::size_t>(call());
        } else if constexpr (std::is_same_v<std::remove_cvref_t<decltype(call())>, Result<void>>) {
            if (auto done = call(); !done) return fail(done.error());
            return x.tail_size;
        } else {
            auto used = call();
            if (!used) return fail(used.error());
            return static_cast<std::size_t>(*used);
        }
    }
};

/// A message that lies in private memory already: an answer from another thread, a row built beforehand.
struct Serialized {
    std::span<const std::byte> payload;
};

template <>
struct Outgoing<Serialized> {
    using Message = Raw;
    static constexpr bool built = false;
    static std::size_t size(const Serialized& x) noexcept { return x.payload.size(); }
    static std::size_t write(const Serialized& x, std::byte* to, CopyOut& out = CopyOut::plain) noexcept {
        out(to, x.payload.data(), x.payload.size());
        return x.payload.size();
    }
    static void copy(const Serialized& x, std::size_t offset, std::byte* to, std::size_t size,
                     CopyOut& out = CopyOut::plain) noexcept {
        if (size != 0) out(to, x.payload.data() + offset, size);
    }
};

template <class X>
using OutgoingOf = Outgoing<std::remove_cvref_t<X>>;
template <class X>
using outgoing_message_t = typename OutgoingOf<X>::Message;

/// The ids that go into the header: the message's own, or those of bytes().
template <class X>
constexpr std::pair<std::uint16_t, std::uint32_t> ids_of([[maybe_unused]] const X& x) noexcept {
    using M = outgoing_message_t<X>;
    if constexpr (std::same_as<M, Raw>)
        return {x.service.value, x.id};
    else
        return {service_of<M>(), M::id.value};
}

}  // namespace detail
}  // namespace qbipc
