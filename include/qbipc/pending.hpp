// SPDX-License-Identifier: BSL-1.0
// pending.hpp: the token of a call that was started and whose answer is collected later.
#pragma once

#include <memory>
#include <utility>

#include <qbipc/detail/calls.hpp>

namespace qbipc {

/// A started call: give it to wait() of the client that started it. Dropped, its answer is dropped when it comes. Holds
/// what it needs: any order of destruction is safe. Threads: one at a time.
/// @tparam M  the call; Raw for bytes()
template <class M>
class [[nodiscard]] Pending {
public:
    Pending(std::shared_ptr<detail::Calls> calls, detail::CallSlot& slot) noexcept
        : calls_(std::move(calls)), slot_(&slot) {}
    Pending(Pending&& other) noexcept : calls_(std::move(other.calls_)), slot_(std::exchange(other.slot_, nullptr)) {}
    Pending& operator=(Pending&& other) noexcept {
        if (this != &other) {
            drop();
            calls_ = std::move(other.calls_);
            slot_ = std::exchange(other.slot_, nullptr);
        }
        return *this;
    }
    ~Pending() { drop(); }

    /// Whether wait() would have the answer at once. False too after wait() gave it.
    bool ready() const noexcept {
        return slot_ != nullptr && slot_->state.load(std::memory_order_acquire) == detail::CallSlot::done;
    }

    /// For the client that started it.
    detail::CallSlot* slot() const noexcept { return slot_; }
    const detail::Calls* calls() const noexcept { return calls_.get(); }
    void taken() noexcept { slot_ = nullptr; }

private:
    void drop() noexcept {
        if (slot_ != nullptr) detail::Calls::drop(*std::exchange(slot_, nullptr));
    }

    std::shared_ptr<detail::Calls> calls_;
    detail::CallSlot* slot_;
};

}  // namespace qbipc
