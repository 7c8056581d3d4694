// SPDX-License-Identifier: BSL-1.0
// detail/connecting_share.hpp: how much of a service's time those who connect may have.
#pragma once

#include <chrono>
#include <cstddef>

#include <qbipc/time.hpp>

namespace qbipc::detail {

/// Who connects costs a service many times what a call does, and nothing keeps him from doing it again at once. While
/// sessions have something to say those at the door get a quarter of the time: so long at once, and then nothing for
/// three times as long as it took. Without such sessions they get all of it. One thread's.
class ConnectingShare {
public:
    static constexpr Clock::duration at_once = std::chrono::microseconds(50);
    static constexpr int times_for_sessions = 3;

    /// So many frames of sessions were taken.
    void took(std::size_t frames) noexcept { contended_ = contended_ || frames != 0; }

    /// Whether there is time for one more; asked before each.
    bool has_time(Clock::time_point now = Clock::now()) noexcept {
        if (!began()) {
            if (contended_ && now < due_) return false;
            began_ = now;
        }
        return !contended_ || now - began_ < at_once;
    }

    /// Whether there was time for anybody since it was last done().
    bool began() const noexcept { return began_ != Clock::time_point{}; }
    /// No more of them for now.
    void done(Clock::time_point now = Clock::now()) noexcept {
        if (!began()) return;
        due_ = now + times_for_sessions * (now - began_);
        began_ = {};
        contended_ = false;
    }

private:
    Clock::time_point began_{};  ///< to see to them, this time; none if it is zero
    Clock::time_point due_{};
    bool contended_ = false;  ///< sessions had something since the last time
};

}  // namespace qbipc::detail
