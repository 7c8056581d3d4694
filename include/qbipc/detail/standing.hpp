// SPDX-License-Identifier: BSL-1.0
// standing.hpp: how a connection stands, as the threads of both halves and shutdown() from any thread may ask and tell.
#pragma once

#include <atomic>
#include <system_error>
#include <type_traits>

#include <qbipc/detail/fork_guard.hpp>
#include <qbipc/error.hpp>

namespace qbipc::detail {

/// An atomic that its owner may move while no other thread uses it.
template <class T>
class Movable {
public:
    constexpr Movable(T value = {}) noexcept : value_(value) {}
    Movable(Movable&& other) noexcept : value_(other.load()) {}
    Movable& operator=(Movable&& other) noexcept {
        store(other.load());
        return *this;
    }
    T load() const noexcept { return value_.load(std::memory_order_acquire); }
    void store(T value) noexcept { value_.store(value, std::memory_order_release); }
    /// Sets it and says whether it was set before.
    bool test_and_set() noexcept
        requires std::is_same_v<T, bool>
    {
        return value_.exchange(true, std::memory_order_acq_rel);
    }

private:
    std::atomic<T> value_;
};

/// A connection stands; is broken, once anybody noticed that no more will be sent; and has ended, once the receiving
/// thread knows it. Who reads ended() of one lane may read it before or after that lane: what was published before it
/// is found by a peek() that comes later, and a peek() that finds a lane empty has looked at it once more after the
/// end. Who takes from two lanes reads it before both: the end may come to be known at the second.
class Standing {
public:
    Standing() noexcept = default;
    explicit Standing(ForkGuard guard) noexcept : guard_(guard) {}

    bool forked() const noexcept { return guard_.forked(); }
    ForkGuard guard() const noexcept { return guard_; }

    /// False while frames can be sent and more may come; two loads.
    bool closed() const noexcept { return broken() || forked(); }
    bool broken() const noexcept { return broken_.load(); }
    /// Says whether it was so before. What the peer published until then is visible to whoever sees broken().
    bool break_off() noexcept { return broken_.test_and_set(); }

    /// The receiving thread knows. What the peer has done is a better reason than that it is gone.
    void end(errc why) noexcept {
        broken_.test_and_set();
        if (ended_.load() == 0 || why != errc::disconnected) ended_.store(static_cast<int>(why));
    }
    bool has_ended() const noexcept { return ended_.load() != 0 || forked(); }
    std::error_code ended() const noexcept {
        if (forked()) [[unlikely]]
            return errc::used_after_fork;
        const int why = ended_.load();
        if (why != 0) [[unlikely]]
            return static_cast<errc>(why);
        return none_;
    }
    /// Why nothing can be sent when closed().
    std::error_code refusal() const noexcept {
        const auto why = ended();
        return why ? why : make_error_code(errc::disconnected);
    }

    void heard_bye() noexcept { bye_.store(true); }
    bool said_bye() const noexcept { return bye_.load(); }

private:
    ForkGuard guard_;
    Movable<bool> broken_;
    Movable<bool> bye_;
    Movable<int> ended_;    // an errc, or 0
    std::error_code none_;  // made once: making it anew calls into the standard library
};

}  // namespace qbipc::detail
