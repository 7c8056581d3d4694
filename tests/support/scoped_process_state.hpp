// SPDX-License-Identifier: BSL-1.0
// What a process has one of, changed for a while.
#pragma once

#include <cstdlib>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

namespace qbipc::testing {

class ScopedUmask {
public:
    explicit ScopedUmask(mode_t mask) : before_(::umask(mask)) {}
    ScopedUmask(const ScopedUmask&) = delete;
    ScopedUmask& operator=(const ScopedUmask&) = delete;
    ~ScopedUmask() { ::umask(before_); }

private:
    mode_t before_;
};

/// Root becomes another user (and group), and root again.
class ScopedUser {
public:
    explicit ScopedUser(uid_t user) {
        if (::setegid(user) != 0 || ::seteuid(user) != 0) std::abort();
    }
    ScopedUser(const ScopedUser&) = delete;
    ScopedUser& operator=(const ScopedUser&) = delete;
    ~ScopedUser() {
        if (::seteuid(0) != 0 || ::setegid(0) != 0) std::abort();
    }
};

/// No descriptor can be made beyond those below `end`.
class ScopedDescriptorLimit {
public:
    explicit ScopedDescriptorLimit(int end) {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        auto now = before_;
        now.rlim_cur = static_cast<rlim_t>(end);
        if (::setrlimit(RLIMIT_NOFILE, &now) != 0) std::abort();
    }
    ScopedDescriptorLimit(const ScopedDescriptorLimit&) = delete;
    ScopedDescriptorLimit& operator=(const ScopedDescriptorLimit&) = delete;
    ~ScopedDescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }

private:
    rlimit before_{};
};

}  // namespace qbipc::testing
