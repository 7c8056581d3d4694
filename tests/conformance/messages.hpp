// SPDX-License-Identifier: BSL-1.0
// messages.hpp: the messages of the conformance suite.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

#include <qbipc/ids.hpp>
#include <qbipc/message.hpp>

namespace conformance {

/// The application's own error codes.
enum class Trouble : int { lost = 1, broken = 2, huge = 2147483647, negative = -5 };

inline const std::error_category& trouble_category() {
    static const struct : std::error_category {
        const char* name() const noexcept override { return "trouble"; }
        std::string message(int value) const override { return "trouble " + std::to_string(value); }
    } instance;
    return instance;
}
inline std::error_code make_error_code(Trouble trouble) { return {static_cast<int>(trouble), trouble_category()}; }

struct Number {
    std::uint64_t value;
};
/// A call: how many, doubled.
struct Double {
    static constexpr qbipc::MessageId id = 1;
    using Reply = Number;
    std::uint64_t value;
};
/// A call with an Error type.
struct Try {
    static constexpr qbipc::MessageId id = 2;
    using Reply = Number;
    using Error = Trouble;
    std::uint64_t value;
};
/// One-way.
struct Note {
    static constexpr qbipc::MessageId id = 3;
    std::uint64_t number;
};
/// A call of variable size both ways.
struct Echoed {
    using Tail = std::byte;
    std::uint64_t number;
};
struct Echo {
    static constexpr qbipc::MessageId id = 4;
    using Reply = Echoed;
    using Tail = std::byte;
    std::uint64_t number;
};
/// One-way, of variable size.
struct Parcel {
    static constexpr qbipc::MessageId id = 5;
    using Tail = std::byte;
    std::uint64_t number;
};
/// A call with nothing in it, either way.
struct Done {};
struct Ping {
    static constexpr qbipc::MessageId id = 6;
    using Reply = Done;
};
/// One-way: please send so many events.
struct Tell {
    static constexpr qbipc::MessageId id = 7;
    std::uint64_t count;
};
/// A call that is answered when the test says so.
struct Later {
    static constexpr qbipc::MessageId id = 8;
    using Reply = Number;
    std::uint64_t value;
};
/// A call with text.
struct Greeting {
    using Tail = char;
};
struct Greet {
    static constexpr qbipc::MessageId id = 9;
    using Reply = Greeting;
    using Tail = char;
};

/// Events.
struct Tick {
    static constexpr qbipc::EventId id = 1;
    std::uint64_t number;
};
struct Chunk {
    static constexpr qbipc::EventId id = 2;
    using Tail = std::byte;
    std::uint64_t number;
};

/// Byte i of message number n: no period of a line, a page or a piece.
constexpr std::byte pattern(std::uint64_t n, std::size_t i) {
    return static_cast<std::byte>(n * 131 + i * 7 + (i >> 8) * 3 + (i >> 16) * 5);
}
inline std::vector<std::byte> patterned(std::uint64_t n, std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = pattern(n, i);
    return bytes;
}
template <class Range>
bool is_patterned(const Range& bytes, std::uint64_t n, std::size_t size) {
    if (bytes.size() != size) return false;
    for (std::size_t i = 0; i < size; ++i)
        if (bytes[i] != pattern(n, i)) return false;
    return true;
}

}  // namespace conformance

template <>
struct std::is_error_code_enum<conformance::Trouble> : std::true_type {};
