// SPDX-License-Identifier: BSL-1.0
// heap.hpp: every allocation of a run, measured: none may be as large as a peer merely claims.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace qbipc::fuzz {

struct Heap {
    static void begin() noexcept { largest = 0, live = 0; }
    static inline std::size_t largest = 0;  ///< since begin()
    static inline std::ptrdiff_t live = 0;  ///< allocations not yet freed; since begin()

    [[gnu::noinline]] static void* allocate(std::size_t size) noexcept {
        largest = std::max(largest, size);
        ++live;
        return std::malloc(size != 0 ? size : 1);
    }
    [[gnu::noinline]] static void free(void* memory) noexcept {
        if (memory == nullptr) return;
        --live;
        std::free(memory);
    }
};

}  // namespace qbipc::fuzz

// Replaced for the whole program: a fuzz target is one file. Not inline: g++ would take them for a mismatched pair.
[[gnu::noinline]] void* operator new(std::size_t size) {
    void* const memory = qbipc::fuzz::Heap::allocate(size);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}
[[gnu::noinline]] void* operator new[](std::size_t size) { return operator new(size); }
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return qbipc::fuzz::Heap::allocate(size);
}
[[gnu::noinline]] void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return qbipc::fuzz::Heap::allocate(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { qbipc::fuzz::Heap::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { qbipc::fuzz::Heap::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { qbipc::fuzz::Heap::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { qbipc::fuzz::Heap::free(memory); }
