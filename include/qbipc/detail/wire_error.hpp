// SPDX-License-Identifier: BSL-1.0
// wire_error.hpp: error codes as two numbers that mean the same in every process, and back.
#pragma once

#include <cstdint>
#include <system_error>

#include <qbipc/error.hpp>

namespace qbipc::detail {

/// Which category the value of a WireError belongs to. A category is an address in one process: it can't travel itself.
enum class ErrorDomain : std::uint32_t {
    generic = 1,       ///< std::generic_category(): std::errc
    system = 2,        ///< std::system_category(): errno
    qbipc = 3,         ///< errc
    application = 4,   ///< any other: the receiver is told the value alone
    incompatible = 5,  ///< what a handshake disagreed about
};

/// An error as frames of Kind::error and refusals carry it: 8 bytes, little-endian.
struct WireError {
    std::uint32_t domain = 0;
    std::int32_t value = 0;
    friend constexpr bool operator==(const WireError&, const WireError&) noexcept = default;
};
static_assert(sizeof(WireError) == 8);

inline WireError to_wire(const std::error_code& error) noexcept {
    const auto domain = [&] {
        const std::error_category& of = error.category();
        if (of == std::generic_category()) return ErrorDomain::generic;
        if (of == std::system_category()) return ErrorDomain::system;
        if (of == category()) return ErrorDomain::qbipc;
        if (of == incompatible_category()) return ErrorDomain::incompatible;
        return ErrorDomain::application;
    }();
    return {static_cast<std::uint32_t>(domain), error.value()};
}

/// The same error on this side; a domain of a later version comes out as an application's. Value 0 would pass for
/// success: no honest peer sends it as an error.
inline std::error_code from_wire(WireError error) noexcept {
    if (error.value == 0) return errc::protocol_violation;
    switch (static_cast<ErrorDomain>(error.domain)) {
        case ErrorDomain::generic:
            return {error.value, std::generic_category()};
        case ErrorDomain::system:
            return {error.value, std::system_category()};
        case ErrorDomain::qbipc:
            return {error.value, category()};
        case ErrorDomain::incompatible:
            return {error.value, incompatible_category()};
        case ErrorDomain::application:
            break;
    }
    return {error.value, application_category()};
}

/// An incompatibility as the other side sees it: ours and theirs change places.
inline std::error_code seen_from_the_other_side(std::error_code error) noexcept {
    if (error.category() != incompatible_category()) return error;
    const auto bits = static_cast<std::uint32_t>(error.value());
    return incompatible(static_cast<Mismatch>(bits >> 24), static_cast<std::uint16_t>(bits & 0xfff),
                        static_cast<std::uint16_t>(bits >> 12 & 0xfff));
}

}  // namespace qbipc::detail
