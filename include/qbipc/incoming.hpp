// SPDX-License-Identifier: BSL-1.0
// incoming.hpp: how what was received is handed to users: tails, views in place, copies that own.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <ranges>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <qbipc/error.hpp>
#include <qbipc/memory.hpp>
#include <qbipc/message.hpp>

namespace qbipc {

/// The tail of a received message: elements in a row, so std::span takes it; of char it converts to std::string_view.
/// Lifetime: what it points to; in a handler's parameter, the handler's.
template <class E>
class TailView {
public:
    using value_type = E;

    constexpr TailView() noexcept = default;
    constexpr TailView(std::span<const E> elements) noexcept : elements_(elements) {}

    constexpr const E* data() const noexcept { return elements_.data(); }
    constexpr std::size_t size() const noexcept { return elements_.size(); }
    constexpr bool empty() const noexcept { return elements_.empty(); }
    constexpr auto begin() const noexcept { return elements_.begin(); }
    constexpr auto end() const noexcept { return elements_.end(); }
    constexpr const E& operator[](std::size_t index) const noexcept { return elements_[index]; }

    constexpr operator std::string_view() const noexcept
        requires std::same_as<E, char>
    {
        return {elements_.data(), elements_.size()};
    }

    /// The first `count` elements, which then no longer belong to this view: the way to cut a tail by a length that the
    /// peer wrote. Errors: `wrong_size` where there are not so many; nothing is taken then.
    Result<TailView> take(std::size_t count) noexcept {
        if (count > elements_.size()) return fail(make_error_code(errc::wrong_size));
        const TailView front(elements_.first(count));
        elements_ = elements_.subspan(count);
        return front;
    }

private:
    std::span<const E> elements_;
};

/// A message read where it lies: the fixed part is a private copy, the tail is memory that the sender can still change.
/// So each element is read once, and nothing is checked there and used afterwards. A parameter's type only.
template <class M>
class View {
public:
    using Element = tail_of_t<M>;

    View(const M& fixed, std::span<const Element> tail) noexcept : fixed_(fixed), tail_(tail) {}
    View(const View&) = delete;
    View& operator=(const View&) = delete;

    const M& operator*() const noexcept { return fixed_; }
    const M* operator->() const noexcept { return &fixed_; }
    TailView<Element> tail() const noexcept { return tail_; }

private:
    M fixed_;
    std::span<const Element> tail_;
};

/// A message that owns its tail. What a call gives whose Reply has a tail; a handler may return it.
template <class M>
class Copy {
public:
    using Element = tail_of_t<M>;

    Copy() = default;
    /// Of a struct and the elements of any range.
    template <std::ranges::input_range Range>
        requires std::convertible_to<std::ranges::range_reference_t<const Range&>, Element>
    Copy(const M& fixed, const Range& elements)
        : fixed_(fixed), tail_(std::ranges::begin(elements), std::ranges::end(elements)) {}
    Copy(const M& fixed, std::vector<Element> tail) noexcept : fixed_(fixed), tail_(std::move(tail)) {}

    const M& operator*() const noexcept { return fixed_; }
    const M* operator->() const noexcept { return &fixed_; }
    TailView<Element> tail() const noexcept { return std::span<const Element>(tail_); }

private:
    M fixed_{};
    std::vector<Element> tail_;
};

namespace detail {

template <class R>
struct ReceivedAs {
    using type = R;
};
template <HasTail R>
struct ReceivedAs<R> {
    using type = Copy<R>;
};

/// A received payload and the ways to read it. `Memory` is the transport's; what lies in a lane is read by its copy_in
/// alone.
template <MemoryPolicy Memory>
class Incoming {
public:
    /// @param scratch    private memory of the receiver for tails; reused from message to message
    /// @param assembled  it lies in private memory already
    Incoming(const std::byte* data, std::size_t size, std::vector<std::byte>& scratch, bool assembled = false) noexcept
        : data_(data), size_(size), scratch_(&scratch), assembled_(assembled) {}

    std::size_t size() const noexcept { return size_; }
    std::span<const std::byte> in_place() const noexcept { return {data_, size_}; }

    /// All of it, in private memory; valid until the next message.
    std::span<const std::byte> copy() const { return copy_from(0); }

    /// Whether the size can be that of an M.
    template <class M>
    bool fits() const noexcept {
        if constexpr (HasTail<M>) {
            constexpr std::size_t offset = tail_offset<M>(), element = sizeof(typename M::Tail);
            return size_ >= offset && (size_ - offset) % element == 0;
        } else {
            return size_ == fixed_size<M>;
        }
    }

    /// The fixed part. Only after fits<M>().
    template <class M>
    M fixed() const noexcept {
        if constexpr (std::is_empty_v<M>) {
            return M{};
        } else {
            alignas(M) std::byte bytes[sizeof(M)];
            Memory::copy_in(bytes, data_, sizeof(M));
            return std::bit_cast<M>(bytes);
        }
    }

    /// The tail, in private memory. Only after fits<M>().
    template <class M>
    std::span<const tail_of_t<M>> tail_copy() const {
        const auto bytes = copy_from(tail_offset<M>());
        return elements<tail_of_t<M>>(bytes.data(), bytes.size());
    }

    /// The tail where it lies. Only after fits<M>().
    template <class M>
    std::span<const tail_of_t<M>> tail_in_place() const noexcept {
        return elements<tail_of_t<M>>(data_ + tail_offset<M>(), size_ - tail_offset<M>());
    }

    /// What a call gives for its Reply: M or Copy<M>. Only after fits<M>().
    template <class M>
    typename ReceivedAs<M>::type received() const {
        if constexpr (HasTail<M>) {
            const auto in_place = tail_in_place<M>();
            // Which doesn't zero first what is about to be overwritten.
            if (assembled_) return Copy<M>(fixed<M>(), std::vector<tail_of_t<M>>(in_place.begin(), in_place.end()));
            std::vector<tail_of_t<M>> tail(in_place.size());
            Memory::copy_in(tail.data(), data_ + tail_offset<M>(), size_ - tail_offset<M>());
            return Copy<M>(fixed<M>(), std::move(tail));
        } else {
            return fixed<M>();
        }
    }

private:
    template <class E>
    static std::span<const E> elements(const std::byte* bytes, std::size_t size) noexcept {
        return {reinterpret_cast<const E*>(bytes), size / sizeof(E)};
    }

    std::span<const std::byte> copy_from(std::size_t offset) const {
        const std::size_t size = size_ - offset;
        if (assembled_) return {data_ + offset, size};
        if (scratch_->size() < size) scratch_->resize(size);
        Memory::copy_in(scratch_->data(), data_ + offset, size);
        return {scratch_->data(), size};
    }

    const std::byte* data_;
    std::size_t size_;
    std::vector<std::byte>* scratch_;
    bool assembled_;
};

}  // namespace detail

/// What is received where an R was sent: R itself, or Copy<R> where R has a tail.
template <class R>
using Received = typename detail::ReceivedAs<R>::type;

}  // namespace qbipc
