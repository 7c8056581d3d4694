// SPDX-License-Identifier: BSL-1.0
// session.hpp: one connection as a service's functions see it: its private data, events to it, its neighbours.
#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <qbipc/detail/checks.hpp>
#include <qbipc/detail/connection.hpp>
#include <qbipc/detail/session_range.hpp>
#include <qbipc/outgoing.hpp>

namespace qbipc {

template <TransportPolicy T, class Data>
class Session;
template <TransportPolicy T, class Data>
class SessionRef;

/// The service's side of one connection, with the user's private data. Not copyable, valid while the function runs that
/// it was given to; hold ref() to keep the data longer, id() to recognize it. Threads: the dispatch thread. What has to
/// keep something may also give std::errc::not_enough_memory.
template <TransportPolicy T, class Data>
class Session {
public:
    Session(detail::Connection<T>& connection, const detail::Connections<T>& all) noexcept
        : connection_(&connection), all_(&all) {}
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// The private data.
    Data& operator*() const noexcept {
        return *static_cast<Data*>(static_cast<void*>(static_cast<std::byte*>(connection_->data) + offset_));
    }
    Data* operator->() const noexcept { return &**this; }

    /// Sends an event. Not [[nodiscard]]: best effort is a policy. Blocking: never.
    /// Errors: lane_full (the client doesn't keep up: the caller decides; the client sees a gap in the count),
    /// message_too_large, disconnected, over_quota (its user's lanes have grown too much: the session ends). Peer loss:
    /// what is in the lane is dropped with the client.
    template <class X>
    Result<void> send(X&& event) {
        if constexpr (detail::check_event<X>()) {
            if (auto error = connection_->send_event(event)) return fail(error);
        }
        return {};
    }

    /// Every open session of the service, this one included, with the same type of private data.
    auto sessions() const noexcept { return detail::SessionRange<T, Data>(*all_, offset_); }

    /// Who connected, as of its connect().
    const Credentials& credentials() const { return connection_->end.peer(); }
    SessionId id() const noexcept { return connection_->id; }
    /// The largest message that this connection carries, in bytes.
    std::size_t max_message() const noexcept { return connection_->end.max_message(); }

    /// Ends the session after this turn of the loop; safe in a handler and in a loop over sessions(). What was sent to
    /// it is still delivered.
    void disconnect() { connection_->finish(EndReason::disconnected); }
    /// In on_disconnect: why it ended.
    EndReason reason() const noexcept { return connection_->reason; }

    /// Keeps the private data alive beyond the connection.
    SessionRef<T, Data> ref() const;

    /// Counters since the connection began, or since clear_statistics().
    Statistics statistics() const noexcept { return connection_->counters.since(connection_->baseline); }
    void clear_statistics() noexcept { connection_->baseline = connection_->counters; }

    /// The same session with a part of its private data, for selectors that stand side by side.
    template <std::size_t index>
    auto part() const noexcept {
        using Part = std::tuple_element_t<index, Data>;
        auto& element = std::get<index>(**this);
        return Session<T, Part>(*connection_, *all_,
                                reinterpret_cast<std::byte*>(&element) - static_cast<std::byte*>(connection_->data));
    }

private:
    template <TransportPolicy, class>
    friend class Session;
    template <TransportPolicy, class>
    friend class SessionRef;
    friend class detail::SessionRange<T, Data>;

    Session() noexcept = default;
    Session(detail::Connection<T>& connection, const detail::Connections<T>& all, std::ptrdiff_t offset) noexcept
        : connection_(&connection), all_(&all), offset_(offset) {}

    detail::Connection<T>* connection_ = nullptr;
    const detail::Connections<T>* all_ = nullptr;
    std::ptrdiff_t offset_ = 0;  ///< of Data in the whole private data
};

/// Holds on to a session's private data; the connection may end meanwhile. Copyable, counted.
/// Threads: the dispatch thread, its destruction included.
template <TransportPolicy T, class Data>
class SessionRef {
public:
    Data& operator*() const noexcept { return *data_; }
    Data* operator->() const noexcept { return data_; }

    /// Whether the connection still stands.
    bool connected() const noexcept { return anchor_->connection != nullptr && anchor_->connection->is_open(); }
    SessionId id() const noexcept { return id_; }

    /// As Session::send; `disconnected` once the session has ended.
    template <class X>
    Result<void> send(X&& event) {
        if constexpr (detail::check_event<X>()) {
            if (!connected()) return fail(make_error_code(errc::disconnected));
            if (auto error = anchor_->connection->send_event(event)) return fail(error);
        }
        return {};
    }
    void disconnect() {
        if (connected()) anchor_->connection->finish(EndReason::disconnected);
    }

private:
    friend class Session<T, Data>;
    SessionRef(std::shared_ptr<detail::SessionAnchor<T>> anchor, Data* data, SessionId id) noexcept
        : anchor_(std::move(anchor)), data_(data), id_(id) {}

    std::shared_ptr<detail::SessionAnchor<T>> anchor_;
    Data* data_;
    SessionId id_;
};

template <TransportPolicy T, class Data>
SessionRef<T, Data> Session<T, Data>::ref() const {
    return SessionRef<T, Data>(connection_->anchor, &**this, connection_->id);
}

}  // namespace qbipc
