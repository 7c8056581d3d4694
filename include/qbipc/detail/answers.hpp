// SPDX-License-Identifier: BSL-1.0
// detail/answers.hpp: what an answer frame means to the call that waits for it.
#pragma once

#include <bit>
#include <cstddef>
#include <new>
#include <system_error>
#include <type_traits>
#include <vector>

#include <qbipc/detail/check_handler.hpp>
#include <qbipc/detail/message_receiver.hpp>
#include <qbipc/detail/wire_error.hpp>
#include <qbipc/error.hpp>
#include <qbipc/incoming.hpp>
#include <qbipc/message.hpp>

namespace qbipc::detail {

/// What a call of M gives: its Reply; for ids known only at run time, bytes.
template <class M>
struct AnswerOf {
    using type = reply_of_t<M>;
};
template <>
struct AnswerOf<Raw> {
    using type = Raw;
};
template <class M>
using answer_of_t = typename AnswerOf<M>::type;

/// The error of an error frame, in the category that M declares for its application's own.
template <class M, MemoryPolicy Memory>
std::error_code error_of(const ReceivedMessage& message) {
    WireError wire;
    if (message.size != sizeof wire) return make_error_code(errc::protocol_violation);
    Memory::copy_in(&wire, message.payload, sizeof wire);
    if constexpr (HasError<M>) {
        if (wire.domain == static_cast<std::uint32_t>(ErrorDomain::application) && wire.value != 0)
            return make_error_code(static_cast<typename M::Error>(wire.value));
    }
    return from_wire(wire);
}

/// An answer, owned; not_enough_memory where there is none for it.
template <class M, MemoryPolicy Memory>
Result<Received<answer_of_t<M>>> read_answer(const ReceivedMessage& message) try {
    if (message.header.kind == Kind::error) return fail(error_of<M, Memory>(message));
    std::vector<std::byte> unused;
    const Incoming<Memory> payload(message.payload, message.size, unused, message.assembled);
    if (!payload.template fits<answer_of_t<M>>()) return fail(make_error_code(errc::wrong_size));
    return payload.template received<answer_of_t<M>>();
} catch (const std::bad_alloc&) {
    return no_memory();
}

/// What the function of a call takes: the answer where it lies, or a private copy of what has a tail.
template <class R, class Visit>
consteval bool takes_answer() {
    // The last look would compile a function of `auto` that expects a view.
    if constexpr (HasTail<R> && Takes<Visit, const R&, TailView<tail_of_t<R>>>)
        return true;
    else if constexpr (Takes<Visit, const View<R>&>)
        return true;
    else
        return Takes<Visit, const R&>;
}
template <class R, class Visit>
consteval bool check_visit() {
    constexpr bool visit_takes_the_reply = takes_answer<R, Visit>();
    static_assert(visit_takes_the_reply,
                  "this function can't take the answer: call() with a function needs a callable with (const Reply&), "
                  "(const Reply&, tail) or (const qbipc::View<Reply>&)");
    return visit_takes_the_reply;
}

/// An answer, given to a function. `scratch`: private memory for its tail, which a view doesn't need.
template <class M, MemoryPolicy Memory, class Visit>
Result<void> visit_answer(const ReceivedMessage& message, Visit&& visit, std::vector<std::byte>& scratch) {
    using R = answer_of_t<M>;
    if (message.header.kind == Kind::error) return fail(error_of<M, Memory>(message));
    const Incoming<Memory> payload(message.payload, message.size, scratch, message.assembled);
    if (!payload.template fits<R>()) return fail(make_error_code(errc::wrong_size));
    const R fixed = payload.template fixed<R>();
    if constexpr (HasTail<R> && Takes<Visit, const R&, TailView<tail_of_t<R>>>)
        visit(fixed, TailView<tail_of_t<R>>(payload.template tail_copy<R>()));
    else if constexpr (!Takes<Visit, const View<R>&>)
        visit(fixed);
    else if constexpr (HasTail<R>)
        visit(View<R>(fixed, payload.template tail_in_place<R>()));
    else
        visit(View<R>(fixed, {}));
    return {};
}

}  // namespace qbipc::detail
