// SPDX-License-Identifier: BSL-1.0
// ids.hpp: the numbers that name services, messages and events; distinct types, so that none passes for another.
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>

namespace qbipc {
namespace detail {

template <class T>
concept NumberOrEnum = (std::integral<T> || std::is_enum_v<T>)&&!std::same_as<T, bool>;

/// Not constexpr: a constant id that is out of range doesn't compile, and the error names this function.
inline void an_id_must_fit_its_type_service_ids_have_16_bits_others_32() noexcept {}

template <std::unsigned_integral Id, NumberOrEnum T>
constexpr Id id_of(T number) noexcept {
    if constexpr (std::is_enum_v<T>) {
        return id_of<Id>(static_cast<std::underlying_type_t<T>>(number));
    } else {
        if (static_cast<T>(static_cast<Id>(number)) != number || (number < T{}))
            an_id_must_fit_its_type_service_ids_have_16_bits_others_32();
        return static_cast<Id>(number);
    }
}

}  // namespace detail

/// One of the services behind an address. 0 where a message doesn't say.
struct ServiceId {
    std::uint16_t value = 0;
    constexpr ServiceId() noexcept = default;
    template <detail::NumberOrEnum T>
    constexpr ServiceId(T number) noexcept : value(detail::id_of<std::uint16_t>(number)) {}
    friend constexpr bool operator==(ServiceId, ServiceId) noexcept = default;
};

/// A request's number: `static constexpr MessageId id` makes a struct a call (with Reply) or a one-way message.
struct MessageId {
    std::uint32_t value = 0;
    constexpr MessageId() noexcept = default;
    template <detail::NumberOrEnum T>
    constexpr MessageId(T number) noexcept : value(detail::id_of<std::uint32_t>(number)) {}
    friend constexpr bool operator==(MessageId, MessageId) noexcept = default;
};

/// An event's number; events have a number space of their own.
struct EventId {
    std::uint32_t value = 0;
    constexpr EventId() noexcept = default;
    template <detail::NumberOrEnum T>
    constexpr EventId(T number) noexcept : value(detail::id_of<std::uint32_t>(number)) {}
    friend constexpr bool operator==(EventId, EventId) noexcept = default;
};

}  // namespace qbipc
