// SPDX-License-Identifier: BSL-1.0
// detail/error_code.hpp: an error or none, where saying "none" must cost nothing.
#pragma once

#include <system_error>

#include <qbipc/error.hpp>

namespace qbipc::detail {

/// A std::error_code that is free to make when there is no error: a default error_code asks the standard library for
/// its category, a call each time, and a round trip makes half a dozen of them.
class [[nodiscard]] ErrorCode {
public:
    constexpr ErrorCode() noexcept = default;
    ErrorCode(std::error_code error) noexcept : value_(error.value()), category_(&error.category()) {}
    explicit ErrorCode(const Result<void>& result) noexcept {
        if (!result) *this = ErrorCode(result.error());
    }
    ErrorCode(errc error) noexcept : ErrorCode(make_error_code(error)) {}

    /// Whether there is one.
    explicit operator bool() const noexcept { return value_ != 0; }
    operator std::error_code() const noexcept {
        return category_ != nullptr ? std::error_code(value_, *category_) : std::error_code();
    }
    friend bool operator==(const ErrorCode& error, errc code) noexcept { return std::error_code(error) == code; }

private:
    int value_ = 0;
    const std::error_category* category_ = nullptr;  ///< none: no error
};

}  // namespace qbipc::detail
