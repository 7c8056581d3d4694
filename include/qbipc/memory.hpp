// SPDX-License-Identifier: BSL-1.0
// memory.hpp: the one seam through which lanes reach memory that another process can write.
#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <qbipc/config.hpp>

namespace qbipc {

/// Shared memory as the hardware has it. Tests put other types in its place: one that counts loads, one that changes a
/// word between two of them, one that yields to a scheduler. All functions inline to the plain instructions.
struct PlainMemory {
    static std::uint64_t load_acquire(const std::uint64_t* word) noexcept {
        return ref(word).load(std::memory_order_acquire);
    }
    static std::uint64_t load_relaxed(const std::uint64_t* word) noexcept {
        return ref(word).load(std::memory_order_relaxed);
    }
    static void store_release(std::uint64_t* word, std::uint64_t value) noexcept {
        std::atomic_ref(*word).store(value, std::memory_order_release);
    }
    static void store_relaxed(std::uint64_t* word, std::uint64_t value) noexcept {
        std::atomic_ref(*word).store(value, std::memory_order_relaxed);
    }
    /// Orders all that came before against all that comes after, loads behind stores included.
    static void fence() noexcept { std::atomic_thread_fence(std::memory_order_seq_cst); }

    /// Copies bytes that the peer may be changing into private memory. The compiler fence keeps the compiler from
    /// reading them a second time after a check (g++ 12 -O2 does: 129,120 of 6.5 million racing messages got through).
    static void copy_in(void* to, const void* from, std::size_t size) noexcept {
        if (size != 0) std::memcpy(to, from, size);
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    /// Copies private bytes into a lane.
    static void copy_out(void* to, const void* from, std::size_t size) noexcept {
        if (size != 0) std::memcpy(to, from, size);
    }
#if defined(__SSE2__)
    /// The same past the caches, for much at once: lines that the reader's caches still hold aren't fetched only to be
    /// overwritten. Ordered before the stores that follow.
    static void copy_past(void* to, const void* from, std::size_t size) noexcept {
        auto* out = static_cast<std::byte*>(to);
        const auto* in = static_cast<const std::byte*>(from);
        const std::size_t begin = std::min(to_next_line(out), size);
        std::memcpy(out, in, begin);
        std::size_t at = begin;
        for (; at + 64 <= size; at += 64) {
            const auto* const four = static_cast<const __m128i*>(static_cast<const void*>(in + at));
            const __m128i a = _mm_loadu_si128(four), b = _mm_loadu_si128(four + 1);
            const __m128i c = _mm_loadu_si128(four + 2), d = _mm_loadu_si128(four + 3);
            stream_line(out + at, a, b, c, d);
        }
        std::memcpy(out + at, in + at, size - at);
        _mm_sfence();
    }
    /// Zeros whole lines past the caches, what of them lies in [to, to + size): so that what follows finds them in no
    /// cache.
    static void zero_past(void* to, std::size_t size) noexcept {
        auto* const out = static_cast<std::byte*>(to);
        const __m128i zero = _mm_setzero_si128();
        for (std::size_t at = to_next_line(out); at + 64 <= size; at += 64)
            stream_line(out + at, zero, zero, zero, zero);
        _mm_sfence();
    }
#endif

private:
#if defined(__SSE2__)
    static std::size_t to_next_line(const std::byte* at) noexcept {
        return (64 - (reinterpret_cast<std::uintptr_t>(at) & 63)) & 63;
    }
    static void stream_line(std::byte* to, __m128i a, __m128i b, __m128i c, __m128i d) noexcept {
        auto* const line = static_cast<__m128i*>(static_cast<void*>(to));
        _mm_stream_si128(line, a);
        _mm_stream_si128(line + 1, b);
        _mm_stream_si128(line + 2, c);
        _mm_stream_si128(line + 3, d);
    }
#endif
    /// Only ever loaded from, so that a read-only mapping will do.
    static std::atomic_ref<std::uint64_t> ref(const std::uint64_t* word) noexcept {
        return std::atomic_ref<std::uint64_t>(*const_cast<std::uint64_t*>(word));
    }
};

template <class M>
concept MemoryPolicy = requires(const std::uint64_t* in, std::uint64_t* out, std::uint64_t value, void* to,
                                const void* from, std::size_t size) {
    { M::load_acquire(in) } -> std::same_as<std::uint64_t>;
    { M::load_relaxed(in) } -> std::same_as<std::uint64_t>;
    M::store_release(out, value);
    M::store_relaxed(out, value);
    M::fence();
    M::copy_in(to, from, size);
    M::copy_out(to, from, size);
};
static_assert(MemoryPolicy<PlainMemory>);

}  // namespace qbipc
