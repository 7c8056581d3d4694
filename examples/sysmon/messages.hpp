// SPDX-License-Identifier: BSL-1.0
// messages.hpp: what the sysmon service and its clients say to each other; both sides include it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include <qbipc/qbipc.hpp>

namespace sysmon {

// ---- parts of several messages --------------------------------------------------------------------------------------

/// One core's load since the sample before.
struct Core {
    std::uint32_t number = 0;  ///< as the kernel counts: cores that are off leave gaps
    float busy = 0;            ///< 0 to 1
};

/// Bytes.
struct Memory {
    std::uint64_t total = 0, available = 0, swap_total = 0, swap_free = 0;
};

/// A process's name: ends at the first NUL, or fills the array.
using Name = std::array<char, 32>;
constexpr std::string_view text_of(const Name& name) {
    const std::string_view all(name.data(), name.size());
    return all.substr(0, all.find('\0'));
}

/// One of the busiest processes.
struct Busy {
    std::int32_t pid = 0;
    float cores = 0;             ///< how many cores' worth of time it had since the sample before
    std::uint64_t resident = 0;  ///< bytes
    Name name{};
    char state = '?';
};

/// The machine at one moment; the cores are the tail of the message that carries it.
struct Load {
    std::int64_t milliseconds = 0;    ///< since 1970
    float busy = 0;                   ///< all cores together, 0 to 1
    std::array<float, 3> averages{};  ///< over 1, 5 and 15 minutes
    Memory memory;
    std::uint32_t processes = 0;
    std::uint32_t busiest_count = 0;  ///< so many of `busiest` are set
    std::array<Busy, 10> busiest{};
};

// ---- calls ----------------------------------------------------------------------------------------------------------

struct Machine {
    using Tail = Core;
    Load load;
};
/// How is the machine? The answer is about a second old at most; a service's first one is about the time since boot.
struct Snapshot {
    static constexpr qbipc::MessageId id = 1;
    using Reply = Machine;
};

/// A process. The tail is its command line (arguments separated by NUL), then one text per descriptor, each ended by
/// NUL.
struct Details {
    using Tail = char;
    std::int32_t pid = 0;
    std::int32_t parent = 0;
    std::uint32_t uid = 0;
    std::int32_t nice = 0;
    std::uint32_t threads = 0;
    std::uint32_t command_size = 0;  ///< bytes of the tail
    std::uint32_t descriptors = 0;   ///< open ones; the tail has the first `descriptors_listed`
    std::uint32_t descriptors_listed = 0;
    std::uint64_t resident = 0;  ///< bytes
    double cpu_seconds = 0;
    Name name{};
    char state = '?';
    bool descriptors_hidden = false;  ///< neither the service may see them, or the caller may not
};
/// What is this process doing? Fails with std::errc::no_such_process.
struct Process {
    static constexpr qbipc::MessageId id = 2;
    using Reply = Details;
    std::int32_t pid = 0;
};

struct Reniced {
    std::int32_t before = 0, after = 0;
};
/// Gives a process another nice value (-20 to 19). Only for root and the service's own user; fails as setpriority()
/// does.
struct Renice {
    static constexpr qbipc::MessageId id = 3;
    using Reply = Reniced;
    std::int32_t pid = 0;
    std::int32_t nice = 0;
};

// ---- one-way, and the event it asks for -----------------------------------------------------------------------------

/// From now on a Sample every so many milliseconds (at least `shortest_interval`); 0: none.
struct SetInterval {
    static constexpr qbipc::MessageId id = 4;
    std::uint32_t milliseconds = 0;
};
inline constexpr std::uint32_t shortest_interval = 10;

struct Sample {
    static constexpr qbipc::EventId id = 1;
    using Tail = Core;
    std::uint32_t missed = 0;  ///< samples before this one that found no room: this client reads too slowly
    Load load;
};

}  // namespace sysmon
