// SPDX-License-Identifier: BSL-1.0
// padding.hpp: padding bytes never leave the process: found at compile time, zeroed while a struct is copied.
#pragma once

#include <array>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

#include <qbipc/config.hpp>

namespace qbipc {

/// Vouches that every byte of an M may be sent as it is, where the compiler can't tell: `template <> inline constexpr
/// bool qbipc::no_padding<Mine> = true;`. Needed for a message that contains a union, a pointer or a bit-field, or has
/// no constexpr default constructor. Whoever vouches for a type that has padding sends what lay in that memory before.
template <class M>
inline constexpr bool no_padding = false;

namespace detail {

// A byte of bit_cast<bytes>(M{}) that is padding has an indeterminate value, and reading it is no constant expression:
// that is how padding is found. Ranges are probed first, so that a struct without padding costs one probe, whatever its
// size.

template <class M, std::size_t begin, std::size_t end>
consteval bool read_bytes() {
    const auto bytes = std::bit_cast<std::array<unsigned char, sizeof(M)>>(M{});
    unsigned sum = 0;
    for (std::size_t i = begin; i < end; ++i) sum += bytes[i];  // reads each of them
    return sum == 0;
}

template <class M, std::size_t begin, std::size_t end>
concept ReadableBytes = requires { typename std::bool_constant<read_bytes<M, begin, end>()>; };

// g++ takes a byte that a bit-field fills in part for padding: some of its bits can be read, then.
struct OneByte {
    unsigned char b0 : 1, b1 : 1, b2 : 1, b3 : 1, b4 : 1, b5 : 1, b6 : 1, b7 : 1;
};
template <std::size_t before, std::size_t after>
struct AroundOneByte {
    unsigned char front[before];
    OneByte byte;
    unsigned char back[after];
};
template <std::size_t before>
struct AroundOneByte<before, 0> {
    unsigned char front[before];
    OneByte byte;
};
template <std::size_t after>
struct AroundOneByte<0, after> {
    OneByte byte;
    unsigned char back[after];
};
template <>
struct AroundOneByte<0, 0> {
    OneByte byte;
};

template <class M, std::size_t at, int bit>
consteval bool read_bit() {
    const auto byte = std::bit_cast<AroundOneByte<at, sizeof(M) - at - 1>>(M{}).byte;
    if constexpr (bit == 0) return byte.b0;
    if constexpr (bit == 1) return byte.b1;
    if constexpr (bit == 2) return byte.b2;
    if constexpr (bit == 3) return byte.b3;
    if constexpr (bit == 4) return byte.b4;
    if constexpr (bit == 5) return byte.b5;
    if constexpr (bit == 6) return byte.b6;
    if constexpr (bit == 7) return byte.b7;
}

template <class M, std::size_t at, int bit>
concept ReadableBit = requires { typename std::bool_constant<read_bit<M, at, bit>()>; };

template <class M, std::size_t at>
inline constexpr bool filled_in_part =
    ReadableBit<M, at, 0> || ReadableBit<M, at, 1> || ReadableBit<M, at, 2> || ReadableBit<M, at, 3> ||
    ReadableBit<M, at, 4> || ReadableBit<M, at, 5> || ReadableBit<M, at, 6> || ReadableBit<M, at, 7>;

/// What is known about the padding of an M.
template <class M>
struct PaddingMask {
    bool known = true;
    std::size_t runs = 0;
    bool padding[sizeof(M)] = {};
};

template <class M, std::size_t begin, std::size_t end>
consteval void find_padding(PaddingMask<M>& mask) {
    if constexpr (ReadableBytes<M, begin, end>) {
        return;
    } else if constexpr (end - begin == 1) {
        if constexpr (filled_in_part<M, begin>) mask.known = false;
        mask.runs += begin == 0 || !mask.padding[begin - 1];
        mask.padding[begin] = true;
    } else {
        find_padding<M, begin, begin + (end - begin) / 2>(mask);
        find_padding<M, begin + (end - begin) / 2, end>(mask);
    }
}

template <class M>
consteval PaddingMask<M> make_padding_mask() {
    PaddingMask<M> mask;
    if constexpr (std::is_empty_v<M>) {
        return mask;  // sends nothing
    } else if constexpr (!ReadableBytes<M, 0, 0>) {
        mask.known = false;  // a union, a pointer, a bit-field (clang++), or M{} is no constant
    } else if constexpr (!std::has_unique_object_representations_v<M>) {
        find_padding<M, 0, sizeof(M)>(mask);
    }
    return mask;
}

template <class M>
inline constexpr PaddingMask<M> padding_mask = make_padding_mask<M>();

/// Whether an M can be sent without its padding.
template <class M>
concept PaddingFound = no_padding<M> || padding_mask<M>.known;

struct PaddingRun {
    std::size_t begin = 0, size = 0;
};

template <class M>
consteval auto make_padding_runs() {
    std::array<PaddingRun, padding_mask<M>.runs> runs;
    std::size_t next = 0;
    for (std::size_t i = 0; i < sizeof(M); ++i) {
        if (!padding_mask<M>.padding[i]) continue;
        if (i == 0 || !padding_mask<M>.padding[i - 1]) runs[next++] = {i, 0};
        ++runs[next - 1].size;
    }
    return runs;
}

/// Copies sizeof(M) bytes, padding as zeros. Where M has none, it is the copy alone. `to` is aligned for an M.
template <class M>
void clean_copy(void* to, const M& from) noexcept {
    static_assert(std::is_trivially_copyable_v<M>);
    assert(reinterpret_cast<std::uintptr_t>(to) % alignof(M) == 0);
    std::memcpy(to, std::addressof(from), sizeof(M));
    if constexpr (!no_padding<M>) {
#if __has_builtin(__builtin_clear_padding)
        // Knows one thing more than the mask: g++ shows the padding inside an 80-bit long double as zeros that can be
        // read.
        __builtin_clear_padding(static_cast<M*>(to));
#else
        [to]<std::size_t... i>(std::index_sequence<i...>) {
            [[maybe_unused]] constexpr auto runs = make_padding_runs<M>();
            (std::memset(static_cast<std::byte*>(to) + runs[i].begin, 0, runs[i].size), ...);
        }(std::make_index_sequence<padding_mask<M>.runs>{});
#endif
    }
}

/// Whether clean_copy<M>() may have to zero something.
template <class M>
inline constexpr bool may_have_padding = !no_padding<M> && !std::has_unique_object_representations_v<M> &&
#if __has_builtin(__builtin_clear_padding)
                                         true;
#else
                                         padding_mask<M>.runs != 0;
#endif

}  // namespace detail
}  // namespace qbipc
