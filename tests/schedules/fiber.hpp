// SPDX-License-Identifier: BSL-1.0
// fiber.hpp: a function with a stack of its own, that runs until it hands over to another.
#pragma once

#include <cstddef>
#include <memory>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define QBIPC_TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define QBIPC_TEST_ASAN 1
#elif __has_feature(thread_sanitizer)
#define QBIPC_TEST_TSAN 1
#endif
#endif
#ifdef QBIPC_TEST_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef QBIPC_TEST_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace qbipc::testing {

/// Where to go on. The thread that makes the fibers has one too, without a stack of its own. A fiber that is never
/// handed over to again is just left where it is: nothing on its stack is destroyed, so nothing there may own anything.
class Fiber {
public:
    using Entry = void (*)(int);

    Fiber() = default;
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;
#ifdef QBIPC_TEST_TSAN
    ~Fiber() {
        if (stack_ != nullptr && tsan_ != nullptr) __tsan_destroy_fiber(tsan_);
    }
#endif

    /// The next to hand over to this one begins `entry(argument)`, which must never return.
    void begin(Entry entry, int argument) {
        if (stack_ == nullptr) stack_ = std::make_unique<std::byte[]>(stack_size);
        ::getcontext(&context_);
        context_.uc_stack.ss_sp = stack_.get();
        context_.uc_stack.ss_size = stack_size;
        context_.uc_link = nullptr;
        ::makecontext(&context_, reinterpret_cast<void (*)()>(entry), 1, argument);
#ifdef QBIPC_TEST_ASAN
        __asan_unpoison_memory_region(stack_.get(), stack_size);
#endif
#ifdef QBIPC_TEST_TSAN
        if (tsan_ != nullptr) __tsan_destroy_fiber(tsan_);
        tsan_ = __tsan_create_fiber(0);
#endif
    }

    /// Leaves `from`, which is running, and goes on with `to`.
    static void hand_over(Fiber& from, Fiber& to) {
#ifdef QBIPC_TEST_ASAN
        void* fake = nullptr;
        __sanitizer_start_switch_fiber(&fake, to.stack_.get(), to.stack_ == nullptr ? 0 : stack_size);
#endif
#ifdef QBIPC_TEST_TSAN
        if (from.tsan_ == nullptr) from.tsan_ = __tsan_get_current_fiber();
        __tsan_switch_to_fiber(to.tsan_, 0);
#endif
        ::swapcontext(&from.context_, &to.context_);
#ifdef QBIPC_TEST_ASAN
        __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
    }

    /// The first thing that `entry` does.
    static void begun() {
#ifdef QBIPC_TEST_ASAN
        __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
    }

private:
    static constexpr std::size_t stack_size = std::size_t{128} << 10;

    ucontext_t context_{};
    std::unique_ptr<std::byte[]> stack_;
#ifdef QBIPC_TEST_TSAN
    void* tsan_ = nullptr;
#endif
};

}  // namespace qbipc::testing
