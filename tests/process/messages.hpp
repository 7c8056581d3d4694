// SPDX-License-Identifier: BSL-1.0
// What the process tests and their helper say to each other over the library, and the pattern that shows a torn
// payload.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <qbipc/ids.hpp>

namespace qbipc::testing {

// ---- calls
struct Sum {
    double value = 0;
};
struct Add {
    static constexpr MessageId id = 1;
    using Reply = Sum;
    double a = 0, b = 0;
};
/// Comes back as it was sent.
struct Echo {
    static constexpr MessageId id = 2;
    using Reply = Echo;
    using Tail = char;
};
struct Identity {
    std::uint32_t uid = 0, gid = 0;
    std::int32_t pid = 0;
    std::uint32_t sessions = 0;
};
struct Who {
    static constexpr MessageId id = 3;
    using Reply = Identity;
};
/// Isn't answered; the answer that it gets instead is `events` events.
struct AnswerByEvents {
    static constexpr MessageId id = 4;
    using Reply = Sum;
    std::uint32_t events = 0;
};
/// The service sends `events` events and then kills itself (`how` is the signal), or exits where that is 0.
struct Die {
    static constexpr MessageId id = 5;
    using Reply = Sum;
    std::uint32_t events = 0;
    std::uint32_t how = 0;
};
/// Only for root and user 2002.
struct Secret {
    static constexpr MessageId id = 6;
    using Reply = Sum;
};
/// The handler throws.
struct Throw {
    static constexpr MessageId id = 7;
    using Reply = Sum;
};
/// Written into the service's ledger before it is answered. The tail is patterned(client + sequence).
struct Note {
    static constexpr MessageId id = 8;
    using Reply = Note;
    using Tail = char;
    std::uint64_t client = 0, sequence = 0;
};
/// Has padding, which the service's function leaves full of poison.
struct Gaps {
    static constexpr MessageId id = 9;
    using Reply = Gaps;
    char small = 1;
    double large = 2;
    char last = 3;
};
/// No service has a function for it.
struct Unheard {
    static constexpr MessageId id = 99;
    using Reply = Sum;
};

// ---- one-way
struct Clear {
    static constexpr MessageId id = 20;
};
/// Asks for `count` events with tails of `size` bytes; where `every` isn't 0, only each every-th has a tail. Those that
/// find no room are sent when there is some, in order.
struct Wish {
    static constexpr MessageId id = 21;
    std::uint32_t count = 0, size = 0;
    std::uint32_t every = 0;
    std::uint32_t patient = 1;  ///< 0: what finds no room is dropped
};
struct Leave {
    static constexpr MessageId id = 22;
};
/// As Note, without an answer.
struct Jot {
    static constexpr MessageId id = 23;
    using Tail = char;
    std::uint64_t client = 0, sequence = 0;
};

// ---- events
/// Numbered from 1 in each session. The tail is patterned(number).
struct Tick {
    static constexpr EventId id = 1;
    using Tail = char;
    std::uint64_t number = 0;
};
/// Sent from on_connect.
struct Hello {
    static constexpr EventId id = 2;
    std::uint32_t number = 0;
};

inline char pattern_at(std::uint64_t seed, std::size_t i) { return static_cast<char>(seed * 131 + i * 7 + (i >> 8)); }

inline std::string patterned(std::uint64_t seed, std::size_t size) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = pattern_at(seed, i);
    return bytes;
}

inline bool is_pattern(std::uint64_t seed, std::span<const char> bytes) {
    for (std::size_t i = 0; i < bytes.size(); ++i)
        if (bytes[i] != pattern_at(seed, i)) return false;
    return true;
}

/// One line of the ledger file: written by one write(2), so it is there whole or not at all, whoever is killed.
struct LedgerEntry {
    std::uint64_t client = 0, sequence = 0;
    friend bool operator==(const LedgerEntry&, const LedgerEntry&) = default;
};
inline constexpr std::uint64_t torn = ~std::uint64_t{0};

}  // namespace qbipc::testing
