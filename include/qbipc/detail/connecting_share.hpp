// SPDX-License-Identifier: BSL-1.0
// detail/connecting_share.hpp: how much of a service's time those who connect may have.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <utility>

#include <qbipc/time.hpp>

namespace qbipc::detail {

/// Who connects costs a service many times what a call does, and nothing keeps him from doing it again at once. While
/// sessions have something to say those at the door get a quarter of the time: so long at once, and then nothing for
/// three times as long as it took, a millisecond at most. Without such sessions they get all of it. One thread's.
class ConnectingShare {
public:
    static constexpr Clock::duration at_once = std::chrono::microseconds(50);
    static constexpr int times_for_sessions = 3;
    static constexpr Clock::duration longest_pause = std::chrono::milliseconds(1);  ///< it may have been preempted
    /// How long sessions that had something are expected to have more. Where all share one core it is their clients
    /// that the time is for: they have nothing to say before they get it.
    static constexpr Clock::duration memory = std::chrono::milliseconds(1);

    /// So many frames of sessions were taken.
    void took(std::size_t frames) noexcept { news_ = news_ || frames != 0; }

    /// Whether it is their turn; then done() is to follow. Else it is at due().
    bool begin(Clock::time_point now = Clock::now()) noexcept {
        if (std::exchange(news_, false)) contended_until_ = now + memory;
        began_ = now;
        return !is_contended(now) || now >= due_;
    }
    Clock::time_point due() const noexcept { return due_; }
    /// Whether there is time for one more, the first apart.
    bool has_time(Clock::time_point now = Clock::now()) const noexcept {
        return !is_contended(now) || now - began_ < at_once;
    }
    /// No more of them for now.
    void done(Clock::time_point now = Clock::now()) noexcept {
        due_ = now + std::min<Clock::duration>(times_for_sessions * (now - began_), longest_pause);
    }

private:
    bool is_contended(Clock::time_point now) const noexcept { return now < contended_until_; }

    Clock::time_point began_{};  ///< to see to them, this time
    Clock::time_point due_{};
    Clock::time_point contended_until_{};
    bool news_ = false;  ///< of sessions, since the last time
};

}  // namespace qbipc::detail
