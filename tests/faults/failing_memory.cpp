// SPDX-License-Identifier: BSL-1.0
// failing_memory.cpp: replaces operator new for the whole program. Beneath it is malloc, so that a sanitizer still sees
// each block. Linked with -Wl,--wrap=aligned_alloc,--wrap=mmap,--wrap=mmap64: these the library, and Boost, call by
// name.
#include "faults/failing_memory.hpp"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <sys/mman.h>
#include <sys/types.h>

namespace {

std::atomic<std::int64_t> live{0};

/// Whether this one fails.
bool counts_and_fails() noexcept {
    faults::MemoryPlan& plan = faults::memory_plan();
    if (plan.held_up != 0) return false;
    ++plan.counted;
    if (plan.fails_at == 0 || (plan.and_after ? plan.counted < plan.fails_at : plan.counted != plan.fails_at))
        return false;
    ++plan.failed;
    return true;
}

void* get(std::size_t size) noexcept {
    if (counts_and_fails()) return nullptr;
    void* const block = std::malloc(size == 0 ? 1 : size);
    if (block != nullptr) live.fetch_add(1, std::memory_order_relaxed);
    return block;
}
void* get_aligned(std::size_t size, std::size_t alignment) noexcept {
    if (counts_and_fails()) return nullptr;
    void* block = nullptr;
    if (::posix_memalign(&block, alignment < sizeof(void*) ? sizeof(void*) : alignment, size == 0 ? 1 : size) != 0)
        return nullptr;
    live.fetch_add(1, std::memory_order_relaxed);
    return block;
}
void* or_throw(void* block) {
    if (block == nullptr) throw std::bad_alloc();
    return block;
}
void give_back(void* block) noexcept {
    if (block == nullptr) return;
    live.fetch_sub(1, std::memory_order_relaxed);
    std::free(block);
}

}  // namespace

faults::MemoryPlan& faults::memory_plan() noexcept {
    static thread_local MemoryPlan plan;
    return plan;
}

std::int64_t faults::live_blocks() noexcept { return live.load(); }

void* operator new(std::size_t size) { return or_throw(get(size)); }
void* operator new[](std::size_t size) { return or_throw(get(size)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return get(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return get(size); }
void* operator new(std::size_t size, std::align_val_t alignment) {
    return or_throw(get_aligned(size, static_cast<std::size_t>(alignment)));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
    return or_throw(get_aligned(size, static_cast<std::size_t>(alignment)));
}
void operator delete(void* block) noexcept { give_back(block); }
void operator delete[](void* block) noexcept { give_back(block); }
void operator delete(void* block, std::size_t) noexcept { give_back(block); }
void operator delete[](void* block, std::size_t) noexcept { give_back(block); }
void operator delete(void* block, std::align_val_t) noexcept { give_back(block); }
void operator delete[](void* block, std::align_val_t) noexcept { give_back(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { give_back(block); }
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { give_back(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { give_back(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { give_back(block); }

extern "C" {

void* __real_aligned_alloc(std::size_t alignment, std::size_t size);
void* __real_mmap(void* address, std::size_t size, int protection, int flags, int fd, off_t offset);

void* __real_mmap64(void* address, std::size_t size, int protection, int flags, int fd, off_t offset);

void* __wrap_aligned_alloc(std::size_t alignment, std::size_t size) {
    return counts_and_fails() ? nullptr : __real_aligned_alloc(alignment, size);
}
void* __wrap_mmap(void* address, std::size_t size, int protection, int flags, int fd, off_t offset) {
    if (!counts_and_fails()) return __real_mmap(address, size, protection, flags, fd, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}
void* __wrap_mmap64(void* address, std::size_t size, int protection, int flags, int fd, off_t offset) {
    if (!counts_and_fails()) return __real_mmap64(address, size, protection, flags, fd, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}
}
