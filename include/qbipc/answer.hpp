// SPDX-License-Identifier: BSL-1.0
// answer.hpp: the duty to answer a call once, which may be carried to any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include <qbipc/detail/checks.hpp>
#include <qbipc/detail/door.hpp>
#include <qbipc/error.hpp>
#include <qbipc/frame.hpp>
#include <qbipc/outgoing.hpp>

namespace qbipc {
namespace detail {

/// An outgoing thing whose type was left behind, so that an Answer needn't name its transport.
struct AnyOutgoing {
    const void* object;
    std::size_t size;
    Result<std::size_t> (*write)(const void*, std::byte*, CopyOut&);
    void (*copy)(const void*, std::size_t, std::byte*, std::size_t,
                 CopyOut&);  ///< a part of it; null for what is built

    template <class X>
    static AnyOutgoing of(const X& x) noexcept {
        AnyOutgoing any{std::addressof(x), Outgoing<X>::size(x),
                        [](const void* erased, std::byte* to, CopyOut& out) -> Result<std::size_t> {
                            return Outgoing<X>::write(*static_cast<const X*>(erased), to, out);
                        },
                        nullptr};
        if constexpr (!Outgoing<X>::built)
            any.copy = [](const void* erased, std::size_t offset, std::byte* to, std::size_t count, CopyOut& out) {
                Outgoing<X>::copy(*static_cast<const X*>(erased), offset, to, count, out);
            };
        return any;
    }
};

/// One of those that are copied: however long it is, it goes out piece by piece from where it lies.
struct AnyCopied {
    const AnyOutgoing& any;
};

template <>
struct Outgoing<AnyOutgoing> {
    using Message = Raw;
    static constexpr bool built = true;  // straight in its place, as far as one frame reaches
    static std::size_t size(const AnyOutgoing& x) noexcept { return x.size; }
    static Result<std::size_t> write(const AnyOutgoing& x, std::byte* to, CopyOut& out = CopyOut::plain) {
        return x.write(x.object, to, out);
    }
};

template <>
struct Outgoing<AnyCopied> {
    using Message = Raw;
    static constexpr bool built = false;
    static std::size_t size(const AnyCopied& x) noexcept { return x.any.size; }
    static std::size_t write(const AnyCopied& x, std::byte* to, CopyOut& out = CopyOut::plain) {
        x.any.copy(x.any.object, 0, to, x.any.size, out);
        return x.any.size;
    }
    static void copy(const AnyCopied& x, std::size_t offset, std::byte* to, std::size_t count,
                     CopyOut& out = CopyOut::plain) {
        x.any.copy(x.any.object, offset, to, count, out);
    }
};

/// Where a session takes deferred answers in. Dispatch thread only.
class AnswerPort {
public:
    virtual std::error_code answer(const Header& call, const AnyOutgoing& reply) = 0;
    virtual std::error_code answer_error(const Header& call, std::error_code error) = 0;

protected:
    ~AnswerPort() = default;
};

/// What an Answer knows of its session: shared by all its answers, outlives it.
struct AnswerLink {
    AnswerLink(std::shared_ptr<Door> to, AnswerPort* session, std::size_t largest) noexcept
        : door(std::move(to)), port(session), max_message(largest) {}
    std::shared_ptr<Door> door;
    AnswerPort* port;  ///< null once the session has ended; dispatch thread only
    const std::size_t max_message;
    std::atomic<bool> open{true};   ///< the same, for other threads; may be late
    std::atomic<bool> lost{false};  ///< one of its calls will never be answered: the session must end
};

/// The part of an Answer that doesn't depend on the reply.
class AnswerDuty {
public:
    AnswerDuty(std::shared_ptr<AnswerLink> link, const Header& call) noexcept : link_(std::move(link)), call_(call) {}
    AnswerDuty(AnswerDuty&&) noexcept = default;
    AnswerDuty& operator=(AnswerDuty&& other) noexcept {
        if (this != &other) {
            drop();
            link_ = std::move(other.link_);
            call_ = other.call_;
        }
        return *this;
    }
    ~AnswerDuty() { drop(); }

    bool pending() const noexcept { return link_ != nullptr; }

    std::error_code send(const AnyOutgoing& reply) {
        auto link = std::exchange(link_, nullptr);
        if (const auto error = out_of_reach(link.get())) return error;
        if (link->door->in_dispatch_thread())
            return link->port ? link->port->answer(call_, reply) : make_error_code(errc::disconnected);
        std::vector<std::byte> copy;
        const Result<std::size_t> used = write(reply, copy, link);
        if (!used) {
            (void)post_error(link, used.error());
            return used.error();
        }
        copy.resize(*used);
        try {
            const bool posted = link->door->post([link, call = call_, payload = std::move(copy)] {
                const Serialized reply_bytes{payload};
                if (link->port) (void)link->port->answer(call, AnyOutgoing::of(reply_bytes));
            });
            return posted ? std::error_code{} : make_error_code(errc::disconnected);
        } catch (const std::bad_alloc&) {
            const auto error = std::make_error_code(std::errc::not_enough_memory);
            (void)post_error(link, error);
            return error;
        }
    }

    std::error_code fail(std::error_code error) {
        auto link = std::exchange(link_, nullptr);
        if (const auto why_not = out_of_reach(link.get())) return why_not;
        if (link->door->in_dispatch_thread())
            return link->port ? link->port->answer_error(call_, error) : make_error_code(errc::disconnected);
        return post_error(link, error);
    }

private:
    /// Why there is nobody to answer to.
    static std::error_code out_of_reach(const AnswerLink* link) noexcept {
        if (link == nullptr || !link->open.load(std::memory_order_acquire)) return make_error_code(errc::disconnected);
        return link->door->forked() ? make_error_code(errc::used_after_fork) : std::error_code();
    }
    /// What the user gave to build() may throw: the call is answered nevertheless.
    Result<std::size_t> write(const AnyOutgoing& reply, std::vector<std::byte>& to,
                              const std::shared_ptr<AnswerLink>& link) {
        if (reply.size > link->max_message) return qbipc::fail(errc::message_too_large);
        try {
            to.resize(reply.size);
            return reply.write(reply.object, to.data(), CopyOut::plain);
        } catch (const std::bad_alloc&) {
            return no_memory();
        } catch (...) {
            (void)post_error(link, make_error_code(errc::handler_failed));
            throw;
        }
    }
    /// Errors: disconnected; not_enough_memory: the session ends instead.
    std::error_code post_error(const std::shared_ptr<AnswerLink>& link, std::error_code error) noexcept {
        try {
            const bool posted = link->door->post([link, call = call_, error] {
                if (link->port) (void)link->port->answer_error(call, error);
            });
            return posted ? std::error_code() : make_error_code(errc::disconnected);
        } catch (const std::bad_alloc&) {
            link->lost.store(true, std::memory_order_release);
            link->door->cry();
            return std::make_error_code(std::errc::not_enough_memory);
        }
    }
    void drop() noexcept {
        // A handler that throws takes its Answer with it on the way out.
        if (link_)
            (void)fail(make_error_code(std::uncaught_exceptions() > 0 ? errc::handler_failed : errc::unanswered));
    }

    std::shared_ptr<AnswerLink> link_;
    Header call_;
};

}  // namespace detail

/// The duty to answer one call, once: send() or fail(). A handler that takes one as its last parameter answers later,
/// from any thread. Dropped without an answer, the caller gets errc::unanswered.
/// Threads: one at a time. In the dispatch thread the answer goes straight into the lane; elsewhere it is copied and
/// posted. Blocking: never. Lifetime: may outlive its session and its service.
template <class Reply>
class [[nodiscard]] Answer {
public:
    explicit Answer(detail::AnswerDuty duty) noexcept : duty_(std::move(duty)) {}

    /// Answers with a Reply, or anything outgoing that makes one. An answer that finds no room waits in the session.
    /// Errors: disconnected (the session or the service is gone, or this was answered already); used_after_fork (this
    /// is a child of the service's process: it answers nothing); message_too_large (the caller gets it too); what a
    /// build() gave (the caller gets it too); over_quota and not_enough_memory (likewise; where there is no memory for
    /// that either, the session ends).
    template <class X>
    Result<void> send(X&& reply) {
        if constexpr (detail::check_reply<Reply, X>()) {
            if (auto error = duty_.send(detail::AnyOutgoing::of(reply))) return qbipc::fail(error);
        }
        return {};
    }

    /// Answers with an error; the caller's call() gives it. Errors: disconnected, used_after_fork.
    Result<void> fail(std::error_code error) {
        if (auto failed = duty_.fail(error)) return qbipc::fail(failed);
        return {};
    }
    /// The same.
    Result<void> fail(std::errc error) { return fail(std::make_error_code(error)); }

    /// Whether it is still to be answered.
    bool pending() const noexcept { return duty_.pending(); }

private:
    detail::AnswerDuty duty_;
};

}  // namespace qbipc
