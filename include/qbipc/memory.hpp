// SPDX-License-Identifier: BSL-1.0
// memory.hpp: the one seam through which lanes reach memory that another process can write.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

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

private:
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
