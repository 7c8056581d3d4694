// SPDX-License-Identifier: BSL-1.0
// detail/memory_account.hpp: private memory that the connections of one user make a service hold.
#pragma once

#include <cstddef>

namespace qbipc::detail {

/// A count with a limit. Dispatch thread only.
class MemoryAccount {
public:
    explicit MemoryAccount(std::size_t limit) noexcept : limit_(limit) {}

    /// Bytes that are about to be allocated. False: that would be too much, and nothing is counted.
    bool take(std::size_t bytes) noexcept {
        if (bytes > limit_ - used_ || used_ > limit_) return false;
        used_ += bytes;
        return true;
    }
    void give_back(std::size_t bytes) noexcept { used_ -= bytes; }

    /// What was allocated already: `now` bytes where `before` were counted. False: the limit is exceeded.
    bool change(std::size_t before, std::size_t now) noexcept {
        used_ += now - before;
        return now <= before || used_ <= limit_;
    }
    std::size_t used() const noexcept { return used_; }

private:
    std::size_t limit_;
    std::size_t used_ = 0;
};

}  // namespace qbipc::detail
