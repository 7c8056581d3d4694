// SPDX-License-Identifier: BSL-1.0
// selecting.hpp: sessions, requests and events without a connection, to try selectors on.
#pragma once

#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include <qbipc/answer.hpp>
#include <qbipc/incoming.hpp>
#include <qbipc/memory.hpp>
#include <qbipc/outgoing.hpp>
#include <qbipc/selector.hpp>

namespace selecting {

/// A session that owns or refers to private data.
template <class Data = qbipc::NoData>
struct Session {
    explicit Session(Data& d) : data(&d) {}
    Session(const Session&) = delete;
    Data& operator*() const { return *data; }
    Data* operator->() const { return data; }
    template <std::size_t index>
    auto part() const {
        return Session<std::tuple_element_t<index, Data>>(std::get<index>(*data));
    }
    Data* data;
};

/// The bytes of anything outgoing.
template <class X>
std::vector<std::byte> bytes_of(const X& x) {
    using Outgoing = qbipc::detail::OutgoingOf<X>;
    std::vector<std::byte> bytes(Outgoing::size(x));
    if constexpr (Outgoing::built)
        (void)Outgoing::write(x, bytes.data()).has_value();
    else
        (void)Outgoing::write(x, bytes.data());
    return bytes;
}

/// Reads a payload as an M.
template <class M>
std::optional<qbipc::Received<M>> read(const std::vector<std::byte>& bytes) {
    std::vector<std::byte> scratch;
    const qbipc::detail::Incoming<qbipc::PlainMemory> incoming(bytes.data(), bytes.size(), scratch);
    if (!incoming.fits<M>()) return std::nullopt;
    return incoming.received<M>();
}

/// Where deferred answers arrive.
struct Port final : qbipc::detail::AnswerPort {
    std::error_code answer(const qbipc::Header&, const qbipc::detail::AnyOutgoing& x) override {
        reply.emplace(x.size);
        if (auto used = x.write(x.object, reply->data(), qbipc::detail::CopyOut::plain)) reply->resize(*used);
        return {};
    }
    std::error_code answer_error(const qbipc::Header&, std::error_code why) override {
        error = why;
        return {};
    }
    std::optional<std::vector<std::byte>> reply;
    std::error_code error;
};

struct Request {
    template <class X>
    explicit Request(const X& x, bool is_a_call = true) : payload_bytes(bytes_of(x)), call(is_a_call) {
        std::tie(service_id, message_id) = qbipc::detail::ids_of(x);
    }
    Request(const Request&) = delete;

    qbipc::ServiceId service() const { return service_id; }
    qbipc::MessageId message() const { return message_id; }
    bool is_call() const { return call; }
    std::size_t size() const { return payload_bytes.size(); }
    const qbipc::Credentials& credentials() const { return who; }
    qbipc::detail::Incoming<qbipc::PlainMemory> payload() {
        return {payload_bytes.data(), payload_bytes.size(), scratch};
    }
    std::span<const std::byte> copy() { return payload().copy(); }
    std::span<const std::byte> in_place() { return payload().in_place(); }

    template <class X>
    qbipc::Result<void> reply(const X& x) {
        port.reply = bytes_of(x);
        return {};
    }
    void fail(std::error_code why) { port.error = why; }
    template <class Reply>
    qbipc::Answer<Reply> defer() {
        door->enter();
        return qbipc::Answer<Reply>(qbipc::detail::AnswerDuty(link, {}));
    }

    /// The answer as an R, if it is one.
    template <class R>
    auto answer() const {
        return port.reply ? selecting::read<R>(*port.reply) : std::nullopt;
    }
    std::error_code error() const { return port.error; }
    bool untouched() const { return !port.reply && !port.error; }

    std::vector<std::byte> payload_bytes, scratch;
    bool call;
    std::uint16_t service_id = 0;
    std::uint32_t message_id = 0;
    qbipc::Credentials who{1, 1000, 1000, {}};
    Port port;
    std::shared_ptr<qbipc::detail::Door> door = *qbipc::detail::Door::make(*qbipc::detail::ForkGuard::here());
    std::shared_ptr<qbipc::detail::AnswerLink> link =
        std::make_shared<qbipc::detail::AnswerLink>(door, &port, std::size_t{1} << 20);
};

struct Event {
    template <class X>
    explicit Event(const X& x) : payload_bytes(bytes_of(x)) {
        std::tie(service_id, event_id) = qbipc::detail::ids_of(x);
    }
    Event(const Event&) = delete;

    qbipc::ServiceId service() const { return service_id; }
    qbipc::EventId event() const { return event_id; }
    qbipc::detail::Incoming<qbipc::PlainMemory> payload() {
        return {payload_bytes.data(), payload_bytes.size(), scratch};
    }

    std::vector<std::byte> payload_bytes, scratch;
    std::uint16_t service_id = 0;
    std::uint32_t event_id = 0;
};

/// The peer of an event.
struct Client {};

}  // namespace selecting
