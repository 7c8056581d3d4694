// SPDX-License-Identifier: BSL-1.0
// event.hpp: one event on its way through a client's selector.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <qbipc/detail/message_receiver.hpp>
#include <qbipc/ids.hpp>
#include <qbipc/incoming.hpp>

namespace qbipc {

/// An event that a client's selector is asked about. Lifetime: while the selector runs.
template <MemoryPolicy Memory>
class Event {
public:
    Event(const detail::ReceivedMessage& message, std::vector<std::byte>& scratch) noexcept
        : message_(message), scratch_(scratch) {}
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

    ServiceId service() const noexcept { return message_.header.service; }
    EventId event() const noexcept { return message_.header.id; }
    /// The payload's size in bytes.
    std::size_t size() const noexcept { return message_.size; }
    /// A private copy of the payload; valid until the next event.
    std::span<const std::byte> copy() const { return payload().copy(); }
    /// The payload where it lies: memory that the service can still change.
    std::span<const std::byte> in_place() const noexcept { return {message_.payload, message_.size}; }

    /// For selectors that read messages themselves, as routes() does.
    detail::Incoming<Memory> payload() const noexcept {
        return {message_.payload, message_.size, scratch_, message_.assembled};
    }

private:
    const detail::ReceivedMessage& message_;
    std::vector<std::byte>& scratch_;
};

}  // namespace qbipc
