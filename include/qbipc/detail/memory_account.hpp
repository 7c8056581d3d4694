// SPDX-License-Identifier: BSL-1.0
// detail/memory_account.hpp: private memory that the connections of one user make a service hold.
#pragma once

#include <cstddef>
#include <utility>

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
    /// Less than half is left.
    bool scarce() const noexcept { return used_ > limit_ / 2; }

private:
    std::size_t limit_;
    std::size_t used_ = 0;
};

/// What one connection has on an account; without an account nothing is counted.
class Charge {
public:
    /// From here on it is counted there.
    void open(MemoryAccount& account) noexcept { account_ = &account; }
    /// As MemoryAccount::take().
    bool take(std::size_t bytes) noexcept {
        if (account_ == nullptr) return true;
        if (!account_->take(bytes)) return false;
        held_ += bytes;
        return true;
    }
    bool scarce() const noexcept { return account_ != nullptr && account_->scarce(); }
    /// What take() gave, and was not used after all.
    void give_back(std::size_t bytes) noexcept {
        if (account_ == nullptr) return;
        account_->give_back(bytes);
        held_ -= bytes;
    }
    /// Gives all of it back: the account is about to go.
    void close() noexcept {
        if (account_ != nullptr) std::exchange(account_, nullptr)->give_back(std::exchange(held_, 0));
    }

private:
    MemoryAccount* account_ = nullptr;
    std::size_t held_ = 0;
};

}  // namespace qbipc::detail
