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
    /// Gives the events that are there to `selector(peer, event)`, one after the other, as long as `goes_on()`, and
    /// says how many there were. `frames`: how many may be taken, less those that were.
    template <class Peer, class Selector, class GoesOn>
    std::size_t take(End& end, Peer& peer, Selector& selector, std::size_t& frames, GoesOn&& goes_on) {
        std::size_t count = 0;
        for (ReceivedMessage message; goes_on() && events_.next(end, message, frames); ++count) {
            const MessageRelease release(events_, end);
            count_.took(message.header.correlation);
            Event<Memory> event(message, scratch_);
            (void)selector(peer, event);
        }
        return count;
    }

    const EventCount& count() const noexcept { return count_; }
    bool violated() const noexcept { return events_.violated(); }
    /// The reason of violated() is this side's own: no memory for a long event.
    bool lacks_memory() const noexcept { return events_.over_quota(); }

private:
    MessageReceiver<End, Memory, Lane::events> events_;
    EventCount count_;
    std::vector<std::byte> scratch_;  ///< tails
};

}  // namespace qbipc::detail
