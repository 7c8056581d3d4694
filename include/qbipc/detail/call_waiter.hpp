// SPDX-License-Identifier: BSL-1.0
// detail/call_waiter.hpp: synchronous calls inside functions that run during synchronous calls: each gets its own
// answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <qbipc/detail/message_receiver.hpp>
#include <qbipc/frame.hpp>
#include <qbipc/memory.hpp>

namespace qbipc::detail {

class CallWaiter;

/// The calls of one client that wait right now, innermost first.
class CallWaiters {
public:
    /// An answer that the innermost call isn't waiting for: keeps a copy for the outer call that does. False: none
    /// does.
    template <MemoryPolicy Memory>
    bool keep(const ReceivedMessage& message);

private:
    friend class CallWaiter;
    CallWaiter* innermost_ = nullptr;
};

/// One call that waits, for as long as it is in scope.
class CallWaiter {
public:
    CallWaiter(CallWaiters& all, std::uint32_t correlation) noexcept
        : all_(all), outer_(all.innermost_), correlation_(correlation) {
        all.innermost_ = this;
    }
    CallWaiter(const CallWaiter&) = delete;
    CallWaiter& operator=(const CallWaiter&) = delete;
    ~CallWaiter() { all_.innermost_ = outer_; }

    /// Its answer has come: to itself, or to an inner call, which kept it.
    bool done() const noexcept { return done_; }
    std::uint32_t correlation() const noexcept { return correlation_; }
    void took() noexcept { done_ = true; }
    /// The inner call had no memory to keep it.
    bool failed() const noexcept { return failed_; }
    ReceivedMessage message() const noexcept { return {{header_, payload_.data()}, payload_.size(), true}; }

private:
    friend class CallWaiters;
    CallWaiters& all_;
    CallWaiter* outer_;
    std::uint32_t correlation_;
    bool done_ = false;
    bool failed_ = false;
    Header header_{};
    std::vector<std::byte> payload_;
};

template <MemoryPolicy Memory>
bool CallWaiters::keep(const ReceivedMessage& message) {
    for (CallWaiter* waiter = innermost_; waiter != nullptr; waiter = waiter->outer_) {
        if (waiter->correlation_ != message.header.correlation || waiter->done_) continue;
        waiter->done_ = true;
        waiter->header_ = message.header;
        waiter->failed_ = !copy_payload<Memory>(message, waiter->payload_);
        return true;
    }
    return false;
}

}  // namespace qbipc::detail
