// SPDX-License-Identifier: BSL-1.0
// detail/admission.hpp: who may still connect, by count: half-open and open connections, in all and per user.
#pragma once

#include <cstddef>
#include <cstdint>
#include <sys/types.h>
#include <system_error>
#include <unordered_map>

#include <qbipc/detail/memory_account.hpp>
#include <qbipc/error.hpp>
#include <qbipc/options.hpp>

namespace qbipc::detail {

/// Counts only, of the memory they hold too. A connection enters half-open, is established, and leaves once.
class Admission {
public:
    explicit Admission(const Limits& limits) noexcept : limits_(limits) {}

    /// busy: over a half-open limit, which passes; too_many_sessions: over another.
    std::error_code enter(uid_t uid) {
        if (open_ + half_open_ >= limits_.sessions) return make_error_code(errc::too_many_sessions);
        if (half_open_ >= limits_.half_open) return make_error_code(errc::busy);
        Counts& user = of(uid);
        const auto refusal = user.open + user.half_open >= limits_.sessions_per_user
                                 ? make_error_code(errc::too_many_sessions)
                             : user.half_open >= limits_.half_open_per_user ? make_error_code(errc::busy)
                                                                            : std::error_code{};
        if (refusal) {
            forget_if_idle(uid);
            return refusal;
        }
        ++user.half_open, ++half_open_;
        return {};
    }

    void establish(uid_t uid) {
        Counts& user = of(uid);
        --user.half_open, --half_open_;
        ++user.open, ++open_;
    }

    void leave(uid_t uid, bool established) {
        Counts& user = of(uid);
        if (established)
            --user.open, --open_;
        else
            --user.half_open, --half_open_;
        forget_if_idle(uid);
    }

    /// Of a user who is inside, for as long as one of his connections is.
    MemoryAccount& account(uid_t uid) { return of(uid).memory; }

    std::size_t open() const noexcept { return open_; }
    std::size_t half_open() const noexcept { return half_open_; }

private:
    struct Counts {
        std::size_t half_open, open;
        MemoryAccount memory;
    };
    Counts& of(uid_t uid) {
        return users_.try_emplace(uid, Counts{0, 0, MemoryAccount(limits_.user_bytes)}).first->second;
    }
    void forget_if_idle(uid_t uid) {
        const auto found = users_.find(uid);
        if (found != users_.end() && found->second.half_open == 0 && found->second.open == 0) users_.erase(found);
    }

    Limits limits_;
    std::size_t half_open_ = 0, open_ = 0;
    std::unordered_map<uid_t, Counts> users_;
};

}  // namespace qbipc::detail
