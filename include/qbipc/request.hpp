// SPDX-License-Identifier: BSL-1.0
// request.hpp: one request on its way through a selector: what it is, and the right to answer it.
#pragma once

#include <cstddef>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include <qbipc/answer.hpp>
#include <qbipc/detail/checks.hpp>
#include <qbipc/detail/connection.hpp>
#include <qbipc/ids.hpp>
#include <qbipc/incoming.hpp>
#include <qbipc/outgoing.hpp>

namespace qbipc {

/// A call or a one-way message that a selector is asked about. Lifetime: while the selector runs. A call that the
/// selector took and neither answered nor deferred is answered with errc::unanswered.
template <TransportPolicy T>
class Request {
public:
    Request(detail::Connection<T>& connection, const detail::ReceivedMessage& message,
            std::vector<std::byte>& scratch) noexcept
        : connection_(connection), message_(message), scratch_(scratch) {}
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    ServiceId service() const noexcept { return message_.header.service; }
    MessageId message() const noexcept { return message_.header.id; }
    /// Whether somebody waits for an answer.
    bool is_call() const noexcept { return message_.header.kind == Kind::call; }
    /// The payload's size in bytes.
    std::size_t size() const noexcept { return message_.size; }
    /// A private copy of the payload; valid until the next request.
    std::span<const std::byte> copy() const { return payload().copy(); }
    /// The payload where it lies: memory that the sender can still change.
    std::span<const std::byte> in_place() const noexcept { return {message_.payload, message_.size}; }
    /// Who sent it.
    const Credentials& credentials() const { return connection_.end.peer(); }

    /// Answers with anything outgoing. Of a one-way message, which nobody waits for: does nothing.
    /// Errors: as Answer::send.
    template <class X>
    Result<void> reply(X&& x) {
        if constexpr (detail::check_any_reply<X>()) {
            if (!is_call() || settled_) return {};
            settled_ = true;
            if (auto error = connection_.reply(message_.header, std::as_const(x))) return qbipc::fail(error);
        }
        return {};
    }

    /// Answers with an error. A one-way message's failure has no receiver: it is counted.
    void fail(std::error_code error) {
        if (settled_) return;
        settled_ = true;
        if (is_call())
            (void)connection_.reply_error(message_.header, error);
        else
            ++connection_.counters.one_way_failures;
    }

    /// Hands the duty to answer over.
    template <class Reply>
    Answer<Reply> defer() {
        Answer<Reply> answer(connection_.defer(message_.header));
        settled_ = true;  // not before: what throws has to be answered
        return answer;
    }

    /// Whether it was answered, failed or deferred.
    bool settled() const noexcept { return settled_; }

    /// For selectors that read messages themselves, as routes() does.
    detail::Incoming<MemoryOf<T>> payload() const noexcept {
        return {message_.payload, message_.size, scratch_, message_.assembled};
    }

private:
    detail::Connection<T>& connection_;
    const detail::ReceivedMessage& message_;
    std::vector<std::byte>& scratch_;
    bool settled_ = false;
};

}  // namespace qbipc
