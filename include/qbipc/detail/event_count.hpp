// SPDX-License-Identifier: BSL-1.0
// detail/event_count.hpp: how many events a client took, and how many it never got.
#pragma once

#include <cstdint>

namespace qbipc::detail {

/// An event carries how many were offered to its session, refused ones included: what a client misses is a gap in that.
class EventCount {
public:
    void took(std::uint32_t number) noexcept {
        missed_ += static_cast<std::uint32_t>(number - last_ - 1);
        last_ = number;
        ++taken_;
    }
    std::uint64_t taken() const noexcept { return taken_; }
    std::uint64_t missed() const noexcept { return missed_; }

private:
    std::uint32_t last_ = 0;
    std::uint64_t taken_ = 0, missed_ = 0;
};

}  // namespace qbipc::detail
