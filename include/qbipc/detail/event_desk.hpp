// SPDX-License-Identifier: BSL-1.0
// detail/event_desk.hpp: a client's events: each goes to the selector, and is counted.
#pragma once

#include <cstddef>
#include <vector>

#include <qbipc/detail/event_count.hpp>
#include <qbipc/detail/message_receiver.hpp>
#include <qbipc/event.hpp>
#include <qbipc/frame.hpp>
#include <qbipc/memory.hpp>
#include <qbipc/transport.hpp>

namespace qbipc::detail {

/// The receiving side of the events lane. The receiving thread's.
template <class End, MemoryPolicy Memory>
class EventDesk {
public:
    explicit EventDesk(End& end) : end_(end) {}
    EventDesk(const EventDesk&) = delete;
    EventDesk& operator=(const EventDesk&) = delete;

    /// Gives the next event to `selector(peer, event)`; `frames`: how many may be taken, less those that were. False:
    /// none is there, or there are too few frames left for it.
    template <class Peer, class Selector>
    bool take(Peer& peer, Selector& selector, std::size_t& frames) {
        ReceivedMessage message;
        if (!events_.next(end_, message, frames)) return false;
        const MessageRelease release(events_, end_);
        count_.took(message.header.correlation);
        Event<Memory> event(message, scratch_);
        (void)selector(peer, event);
        return true;
    }

    const EventCount& count() const noexcept { return count_; }
    bool violated() const noexcept { return events_.violated(); }
    /// The reason of violated() is this side's own: no memory for a long event.
    bool lacks_memory() const noexcept { return events_.over_quota(); }

private:
    End& end_;
    MessageReceiver<End, Memory, Lane::events> events_;
    EventCount count_;
    std::vector<std::byte> scratch_;  ///< tails
};

}  // namespace qbipc::detail
