// SPDX-License-Identifier: BSL-1.0
// bell.hpp: who sleeps says which bell to ring, and who gave it something to do rings once per sleep.
//
// A flag is a word written by the side that sleeps: zero while it is awake, else generation << 2 | bell. There is one
// for each lane and reason: a receiver asleep until frames come, a sender asleep until room comes. Sleeping and ringing
// pair up:
//
//     sleeper:  drain the bell, disarm, take frames; show credit, arm, fence, look at lanes and at whom one must ring,
//     sleep ringer:   publish (a frame, or credit), fence, look at the flag, ring
//
// Either the sleeper's look sees what was published, or the ringer's look sees the flag. Each step is necessary, and in
// this order: tests/models/ has a model in which any one left out loses a wake-up.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>

#include <qbipc/memory.hpp>

namespace qbipc::detail {

/// A bell is a byte on one of a session's two stream sockets, each of which is read by one party.
enum class Bell : std::uint64_t {
    none = 0,
    call = 1,   ///< socket C: the client's callers; all of the service
    event = 2,  ///< socket E: the client's loop, or its receiving half
};

/// How often a bell was drained: one for each bell that a side listens to, shared by all flags armed for that bell. It
/// moves only after a byte was read, so at most one byte of each flag and generation is ever on its way.
class Generation {
public:
    /// At least one byte was just read from the bell's socket. Not for a read that found none.
    void drained() noexcept { ++value_; }
    std::uint64_t value() const noexcept { return value_; }

private:
    std::uint64_t value_ = 1;
};

/// The sleeping side of a flag. Threads: those of one party, one at a time.
template <MemoryPolicy Memory>
class Sleeper {
public:
    Sleeper() noexcept = default;
    explicit Sleeper(std::uint64_t* flag) noexcept : flag_(flag) {}

    /// From the fence() that must follow, the peer rings this bell. Credit must have been shown before it.
    void arm(Bell bell, const Generation& generation) noexcept {
        assert(bell != Bell::none);
        put(generation.value() << 2 | static_cast<std::uint64_t>(bell));
    }
    /// Awake: no bell is wanted. One may still come.
    void disarm() noexcept { put(0); }
    bool armed() const noexcept { return now_ != 0; }

private:
    void put(std::uint64_t value) noexcept {
        if (value == now_) return;
        now_ = value;
        Memory::store_relaxed(flag_, value);
    }

    std::uint64_t* flag_ = nullptr;
    std::uint64_t now_ = 0;  ///< what the flag holds; it is never read back
};

/// The other side of a flag. Threads: one at a time.
template <MemoryPolicy Memory>
class Ringer {
public:
    Ringer() noexcept = default;
    explicit Ringer(const std::uint64_t* flag) noexcept : flag_(flag) {}

    /// Which bell is to be rung now, if any; after a fence() that follows what was published. Once for each generation
    /// of each bell: while a byte that nobody drained lies in the socket, its reader cannot sleep.
    Bell due() noexcept {
        const std::uint64_t value = Memory::load_relaxed(flag_);  // once: a second look could see the other bell
        if (value == 0) [[likely]]
            return Bell::none;
        const std::uint64_t bell = value & 3;
        if (bell == 0 || bell == 3) return Bell::none;  // no such bell: the peer cheats itself only
        std::uint64_t& rung = rung_[static_cast<std::size_t>(bell - 1)];
        if (value == rung) return Bell::none;
        rung = value;
        return static_cast<Bell>(bell);
    }

private:
    const std::uint64_t* flag_ = nullptr;
    std::array<std::uint64_t, 2> rung_{};  ///< for each bell the value last rung for
};

}  // namespace qbipc::detail
