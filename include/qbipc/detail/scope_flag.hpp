// SPDX-License-Identifier: BSL-1.0
// detail/scope_flag.hpp: a flag that is up for as long as a scope lasts, whatever way it is left.
#pragma once

#include <utility>

namespace qbipc::detail {

/// Says that a user's function runs, for instance.
class ScopeFlag {
public:
    explicit ScopeFlag(bool& flag) noexcept : flag_(flag), before_(std::exchange(flag, true)) {}
    ScopeFlag(const ScopeFlag&) = delete;
    ScopeFlag& operator=(const ScopeFlag&) = delete;
    ~ScopeFlag() { flag_ = before_; }

private:
    bool& flag_;
    bool before_;
};

}  // namespace qbipc::detail
