// SPDX-License-Identifier: BSL-1.0
// detail/scope_flag.hpp: what ends with a scope, whatever way it is left.
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

/// Runs a function then. While an exception is under way it must not throw another.
template <class F>
class AtScopeEnd {
public:
    explicit AtScopeEnd(F f) : f_(std::move(f)) {}
    AtScopeEnd(const AtScopeEnd&) = delete;
    AtScopeEnd& operator=(const AtScopeEnd&) = delete;
    ~AtScopeEnd() { f_(); }

private:
    F f_;
};

}  // namespace qbipc::detail
