// SPDX-License-Identifier: BSL-1.0
// detail/check_message.hpp: what a struct must be to travel, each mistake in one sentence.
#pragma once

// How these checks are made, here and in the other check_*.hpp: a public function is a template without constraints;
// its body asks a check and does its work only where that says yes. A check is a consteval function with one
// static_assert per cause, each guarded by those before it, and each over a named bool: then the first error of both
// compilers is the sentence, and it is the only one. (A `requires` on the function shows overload noise first;
// `static_assert(check())` adds a second error; a static data member is never instantiated.)

#include <concepts>
#include <system_error>
#include <type_traits>

#include <qbipc/message.hpp>
#include <qbipc/padding.hpp>

namespace qbipc::detail {

template <class E>
consteval bool check_tail_element() {
    constexpr bool can_be_copied_as_bytes =
        std::is_trivially_copyable_v<E> && std::is_object_v<E> && !std::is_array_v<E> && !std::is_const_v<E>;
    static_assert(can_be_copied_as_bytes,
                  "the elements of a Tail must be trivially copyable, such as char, std::byte or a plain struct");
    if constexpr (can_be_copied_as_bytes) {
        constexpr bool is_aligned_in_a_lane = alignof(E) <= payload_alignment;
        static_assert(is_aligned_in_a_lane,
                      "the elements of a Tail must not need an alignment over 16: lanes don't give more");
        if constexpr (is_aligned_in_a_lane) {
            constexpr bool has_no_padding = no_padding<E> || (PaddingFound<E> && padding_mask<E>.runs == 0);
            static_assert(
                has_no_padding,
                "the elements of a Tail are sent as they lie in memory: they must have no padding (name the bytes), "
                "or qbipc::no_padding<Element> must vouch for them");
            return has_no_padding;
        }
    }
    return false;
}

/// The struct itself: a request's, an event's or a Reply's fixed part, and its Tail and Error.
template <class M>
consteval bool check_payload() {
    constexpr bool is_a_struct = std::is_class_v<M>;
    static_assert(is_a_struct, "a message is a struct: put the value into one");
    if constexpr (is_a_struct) {
        constexpr bool is_trivially_copyable = std::is_trivially_copyable_v<M>;
        static_assert(
            is_trivially_copyable,
            "a message must be trivially copyable: no std::string, container, virtual function or destructor inside; "
            "give it a Tail for variable size");
        if constexpr (is_trivially_copyable) {
            constexpr bool is_aligned_in_a_lane = alignof(M) <= payload_alignment;
            static_assert(is_aligned_in_a_lane, "a message must not need an alignment over 16: lanes don't give more");
            if constexpr (is_aligned_in_a_lane) {
                constexpr bool padding_can_be_found = PaddingFound<M>;
                static_assert(
                    padding_can_be_found,
                    "the padding of this message can't be found, so it could leak memory: a union, a pointer, a "
                    "bit-field, or no constexpr default constructor; if it has none, "
                    "qbipc::no_padding<M> = true vouches for it");
                if constexpr (!padding_can_be_found) {
                    return false;
                } else if constexpr (HasTail<M> && !check_tail_element<tail_of_t<M>>()) {
                    return false;
                } else if constexpr (HasError<M>) {
                    constexpr bool error_is_an_error_code_enum = std::is_error_code_enum_v<typename M::Error>;
                    static_assert(error_is_an_error_code_enum,
                                  "a message's Error must be an enum with a make_error_code() and "
                                  "std::is_error_code_enum<Error>");
                    return error_is_an_error_code_enum;
                } else {
                    return true;
                }
            }
        }
    }
    return false;
}

template <class M>
concept HasIdOfAnyKind = requires { M::id; };

/// A request or an event: a payload with an id, and where it is a call, a payload as its Reply.
template <class M>
consteval bool check_message() {
    if constexpr (check_payload<M>()) {
        constexpr bool has_an_id = HasIdOfAnyKind<M>;
        static_assert(has_an_id,
                      "this struct has no id: give it `static constexpr qbipc::MessageId id = ...;`, or an EventId to "
                      "make it an event");
        if constexpr (has_an_id) {
            constexpr bool id_has_a_type_of_ours = HasMessageId<M> || HasEventId<M>;
            static_assert(id_has_a_type_of_ours,
                          "the id of a message must be a qbipc::MessageId, that of an event a qbipc::EventId");
            if constexpr (id_has_a_type_of_ours) {
                constexpr bool only_a_call_has_a_reply = HasMessageId<M> || !HasReply<M>;
                static_assert(only_a_call_has_a_reply, "an event has no Reply: nobody answers it");
                if constexpr (!only_a_call_has_a_reply) {
                    return false;
                } else if constexpr (HasReply<M>) {
                    return check_payload<reply_of_t<M>>();
                } else {
                    return true;
                }
            }
        }
    }
    return false;
}

}  // namespace qbipc::detail
