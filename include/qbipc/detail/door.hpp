// SPDX-License-Identifier: BSL-1.0
// detail/door.hpp: the one way by which other threads, and signal handlers, reach a service's dispatch thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/fork_guard.hpp>
#include <qbipc/detail/unique_function.hpp>
#include <qbipc/error.hpp>
#include <qbipc/kernel.hpp>

namespace qbipc::detail {

/// A queue of functions and a private eventfd (its peers are threads of this process alone). Outlives its service: who
/// still holds it is told that the service is gone.
class Door {
public:
    /// Added to the eventfd to stop run(): more than the bells of any number of batches.
    static constexpr std::uint64_t stop = std::uint64_t{1} << 32;

    template <class Kernel = LinuxKernel>
    static Result<std::shared_ptr<Door>> make(ForkGuard guard) {
        auto bell = BasicDescriptor<>::from(Kernel::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (!bell) return fail(bell.error());
        return std::make_shared<Door>(std::move(*bell), guard);
    }
    Door(BasicDescriptor<> bell, ForkGuard guard) noexcept : bell_(std::move(bell)), guard_(guard) {}

    int fd() const noexcept { return bell_.get(); }
    /// This is a child of the service's process: nobody dispatches here, and another thread may have held the lock.
    bool forked() const noexcept { return guard_.forked(); }

    /// Any thread. False: the service is gone, and `f` is dropped. Throws bad_alloc.
    bool post(UniqueFunction<void()> f) {
        if (forked()) return false;
        bool first = false;
        {
            std::lock_guard lock(mutex_);
            if (!open_) return false;
            first = queue_.empty();
            queue_.push_back(std::move(f));
        }
        if (first) ring(1);  // one for the batch
        return true;
    }

    /// Any thread, signal handlers included. The eventfd can only be full after 2^32 unread stops: nothing to report.
    void ring(std::uint64_t value) const noexcept {
        if (!forked()) (void)LinuxKernel::write(bell_.get(), &value, sizeof value);
    }

    /// The dispatch thread: takes the bell; true if a stop was among what rang.
    bool answer_bell() noexcept {
        std::uint64_t value = 0;
        return LinuxKernel::read(bell_.get(), &value, sizeof value) == sizeof value && value >= stop;
    }

    /// The dispatch thread: runs what was posted up to now; functions posted meanwhile wait for the next turn.
    std::size_t run_posted() {
        {
            std::lock_guard lock(mutex_);
            running_.swap(queue_);
        }
        for (auto& f : running_) {
            f();
            if (guard_.forked()) break;  // in there: the rest is the parent's
        }
        const std::size_t count = running_.size();
        running_.clear();
        return count;
    }

    /// Any thread: there was no memory to post what had to be posted. The dispatch thread will look for what was lost.
    void cry() noexcept {
        cry_.store(true, std::memory_order_release);
        ring(1);
    }
    bool heard_cry() noexcept { return cry_.exchange(false, std::memory_order_acquire); }

    /// From now on nothing can be posted; what waits is dropped, outside the lock, for its destructors may look in
    /// here.
    void close() {
        std::vector<UniqueFunction<void()>> dropped;
        {
            std::lock_guard lock(mutex_);
            open_ = false;
            dropped.swap(queue_);
        }
    }

    /// Whose thread dispatches. Set at the start of each turn.
    void enter() noexcept {
        const auto me = std::this_thread::get_id();
        if (thread_.load(std::memory_order_relaxed) != me) thread_.store(me, std::memory_order_relaxed);
    }
    bool in_dispatch_thread() const noexcept {
        return thread_.load(std::memory_order_relaxed) == std::this_thread::get_id();
    }

private:
    BasicDescriptor<> bell_;
    ForkGuard guard_;
    std::mutex mutex_;
    bool open_ = true;
    std::vector<UniqueFunction<void()>> queue_;
    std::vector<UniqueFunction<void()>> running_;
    std::atomic<std::thread::id> thread_{};
    std::atomic<bool> cry_{false};
};

}  // namespace qbipc::detail
