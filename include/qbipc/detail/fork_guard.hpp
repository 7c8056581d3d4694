// SPDX-License-Identifier: BSL-1.0
// fork_guard.hpp: tells a forked child from the process that made a connection, for the price of one load.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

#include <qbipc/error.hpp>
#include <qbipc/kernel.hpp>

namespace qbipc::detail {

/// Remembers the process in which it was made. One page of each process is empty after a fork (MADV_WIPEONFORK): a mark
/// on it is there in the process that set it, and nowhere else. (getpid() would cost a system call per operation.)
class ForkGuard {
public:
    /// Of a connection that was never made: as in a child.
    constexpr ForkGuard() noexcept = default;

    /// The calling process. Threads: any. Errors: not_enough_memory; what the kernel says (before 4.14: EINVAL).
    template <class Kernel = LinuxKernel>
    static Result<ForkGuard> here() {
        static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
        // No lock: a thread that holds one while another forks would leave it locked in the child for ever.
        Mark* page = current().load(std::memory_order_acquire);
        if (page != nullptr && page->load(std::memory_order_relaxed) != 0) return ForkGuard(page);

        const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        void* const memory = std::aligned_alloc(size, size);
        if (memory == nullptr) return no_memory();
        if (const int error = Kernel::madvise(memory, size, MADV_WIPEONFORK); error < 0) {
            std::free(memory);
            return fail_system(-error);
        }
        Mark* const made = ::new (memory) Mark(1);
        // A page that is in use stays for the life of the process, the parent's in a child too: guards refer to it.
        if (current().compare_exchange_strong(page, made, std::memory_order_acq_rel)) return ForkGuard(made);
        Kernel::madvise(memory, size, MADV_KEEPONFORK);
        std::free(memory);
        return ForkGuard(page);
    }

    /// Whether this is a child of the process that made the guard.
    bool forked() const noexcept { return mark_->load(std::memory_order_relaxed) == 0; }

private:
    using Mark = std::atomic<std::uint32_t>;

    explicit ForkGuard(const Mark* mark) noexcept : mark_(mark) {}

    static std::atomic<Mark*>& current() noexcept {
        static constinit std::atomic<Mark*> page{nullptr};
        return page;
    }

    static inline constinit const Mark nobody{0};

    const Mark* mark_ = &nobody;
};

}  // namespace qbipc::detail
