// SPDX-License-Identifier: BSL-1.0
// detail/admission.hpp: who may still connect, by count: half-open and open connections, in all and per user.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <sys/types.h>
#include <system_error>
#include <unordered_map>

#include <qbipc/detail/memory_account.hpp>
#include <qbipc/error.hpp>
#include <qbipc/options.hpp>

namespace qbipc::detail {

/// Places of which there are so many, for all users together and for each. Once half of them are taken, and by several
/// users, nobody takes all the rest: who has some may have no more than his part of what the others leave, one part
/// being kept for whoever comes next. So each of n users gets at least about 1/n^2 of all, in whatever order they come,
/// and the last places go one each.
class Places {
public:
    Places(std::size_t in_all, std::size_t for_each) noexcept : in_all_(in_all), for_each_(for_each) {}

    /// Whether one who has `his` of them may have one more.
    bool has_one_for(std::size_t his) const noexcept {
        if (taken_ >= in_all_ || his >= for_each_) return false;
        if (his == 0 || users_ < 2 || taken_ < in_all_ - taken_) return true;
        return his < (in_all_ - (taken_ - his)) / (users_ + 1);
    }
    void take(std::size_t& his) noexcept {
        users_ += his++ == 0;
        ++taken_;
    }
    void give_back(std::size_t& his) noexcept {
        users_ -= --his == 0;
        --taken_;
    }
    std::size_t taken() const noexcept { return taken_; }

private:
    std::size_t in_all_, for_each_;
    std::size_t taken_ = 0, users_ = 0;
};

/// Counts only, of the memory they hold too. A connection enters half-open, is established, and leaves once.
class Admission {
public:
    explicit Admission(const Limits& limits) noexcept
        : limits_(limits),
          sessions_(limits.sessions, limits.sessions_per_user),
          half_open_(limits.half_open, limits.half_open_per_user) {}

    /// busy: over a half-open limit, which passes; too_many_sessions: over another; or not_enough_memory.
    std::error_code enter(uid_t uid) try {
        const auto found = users_.find(uid);
        if (!sessions_.has_one_for(found == users_.end() ? 0 : found->second.sessions))
            return make_error_code(errc::too_many_sessions);
        if (!half_open_.has_one_for(found == users_.end() ? 0 : found->second.half_open))
            return make_error_code(errc::busy);
        User& user = found == users_.end() ? users_.try_emplace(uid, limits_).first->second : found->second;
        sessions_.take(user.sessions);
        half_open_.take(user.half_open);
        return {};
    } catch (const std::bad_alloc&) {
        return std::make_error_code(std::errc::not_enough_memory);
    }

    void establish(uid_t uid) { half_open_.give_back(user(uid).half_open); }

    void leave(uid_t uid, bool established) {
        const auto found = users_.find(uid);
        if (!established) half_open_.give_back(found->second.half_open);
        sessions_.give_back(found->second.sessions);
        if (found->second.sessions == 0) users_.erase(found);
    }

    /// Of a user who is inside, for as long as one of his connections is: private memory, and shared.
    MemoryAccount& account(uid_t uid) { return user(uid).memory; }
    MemoryAccount& lanes(uid_t uid) { return user(uid).lanes; }

    std::size_t open() const noexcept { return sessions_.taken() - half_open_.taken(); }
    std::size_t half_open() const noexcept { return half_open_.taken(); }

private:
    struct User {
        explicit User(const Limits& limits) noexcept : memory(limits.user_bytes), lanes(limits.user_lane_bytes) {}
        std::size_t sessions = 0;   ///< half-open ones included
        std::size_t half_open = 0;  ///< of these
        MemoryAccount memory, lanes;
    };
    User& user(uid_t uid) { return users_.find(uid)->second; }

    Limits limits_;
    Places sessions_, half_open_;
    std::unordered_map<uid_t, User> users_;
};

}  // namespace qbipc::detail
