// SPDX-License-Identifier: BSL-1.0
// frame.hpp: a frame's 16-byte header, the three lanes, and sets of them. The bytes are in docs/wire.md.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <qbipc/config.hpp>

namespace qbipc {

/// An ordered one-way stream of frames of one connection. A backlog in one never blocks another.
enum class Lane : std::uint8_t {
    requests,   ///< client to service: calls and one-way messages
    responses,  ///< service to client: answers and error answers
    events,     ///< service to client
};
inline constexpr std::size_t lane_count = 3;

/// A set of lanes.
class LaneSet {
public:
    constexpr LaneSet() noexcept = default;
    constexpr LaneSet(Lane lane) noexcept : bits_(static_cast<std::uint8_t>(1u << static_cast<unsigned>(lane))) {}
    constexpr bool has(Lane lane) const noexcept { return (bits_ >> static_cast<unsigned>(lane) & 1u) != 0; }
    constexpr bool empty() const noexcept { return bits_ == 0; }
    friend constexpr LaneSet operator|(LaneSet a, LaneSet b) noexcept {
        a.bits_ = static_cast<std::uint8_t>(a.bits_ | b.bits_);
        return a;
    }
    friend constexpr bool operator==(LaneSet, LaneSet) noexcept = default;

private:
    std::uint8_t bits_ = 0;
};
constexpr LaneSet operator|(Lane a, Lane b) noexcept { return LaneSet(a) | LaneSet(b); }

/// What a frame is. Never zero: a zero first word is an unpublished place in a lane.
enum class Kind : std::uint8_t {
    call = 1,     ///< a request that wants an answer
    one_way = 2,  ///< a request that wants none
    answer = 3,   ///< the reply to a call; carries the call's correlation
    error = 4,    ///< a call's refusal; payload {u32 domain, i32 value}
    event = 5,    ///< correlation counts the events offered to this session, refused ones included
    piece = 6,    ///< continues the row begun by a frame with Header::row
    abandon = 7,  ///< ends an unfinished row: what arrived of it is dropped
    wrap = 8,     ///< ShmRing only: the lane goes on at its start
    cancel = 9,   ///< reserved
};

/// A frame's header, decoded. In memory of a little-endian machine it has the very bytes of the wire.
struct Header {
    static constexpr std::uint8_t row = 1;  ///< flag: first piece of a row; its payload begins with the row's size, u64

    std::uint32_t size = 0;  ///< payload of this frame in bytes, below 2^24; the upper 8 bits of the word are reserved
    Kind kind{};
    std::uint8_t flags = 0;
    std::uint16_t service = 0;      ///< service id
    std::uint32_t id = 0;           ///< message id or event id
    std::uint32_t correlation = 0;  ///< calls and their answers: which call; events: see Kind::event

    /// The first word: size 24 bits, reserved 8, kind 8, flags 8, service id 16, from the lowest bit up.
    constexpr std::uint64_t first_word() const noexcept {
        return size | std::uint64_t{static_cast<std::uint8_t>(kind)} << 32 | std::uint64_t{flags} << 40 |
               std::uint64_t{service} << 48;
    }
    /// The second word: id 32 bits, correlation 32.
    constexpr std::uint64_t second_word() const noexcept { return id | std::uint64_t{correlation} << 32; }

    static constexpr Header from_words(std::uint64_t first, std::uint64_t second) noexcept {
        return {static_cast<std::uint32_t>(first),      static_cast<Kind>(first >> 32 & 0xff),
                static_cast<std::uint8_t>(first >> 40), static_cast<std::uint16_t>(first >> 48),
                static_cast<std::uint32_t>(second),     static_cast<std::uint32_t>(second >> 32)};
    }
    /// As from_words(), in place: on a little-endian machine two stores, where compilers make six of it. What follows
    /// may then read a word at once, which has to wait where its parts were stored one by one.
    void assign_words(std::uint64_t first, std::uint64_t second) noexcept {
        if constexpr (std::endian::native == std::endian::little) {
            std::memcpy(this, &first, sizeof first);
            std::memcpy(reinterpret_cast<std::byte*>(this) + sizeof first, &second, sizeof second);
        } else {
            *this = from_words(first, second);
        }
    }
    friend constexpr bool operator==(const Header&, const Header&) noexcept = default;
};
inline constexpr std::size_t header_size = 16;
inline constexpr std::size_t max_frame_size = (std::size_t{1} << 24) - 1;
static_assert(sizeof(Header) == header_size);

/// A frame as it lies in a lane. The payload may be memory that the peer can still write: only copy_in() of the
/// transport's Memory may read it, and what wasn't copied is never trusted.
struct Frame {
    Header header;
    const std::byte* payload = nullptr;
};

}  // namespace qbipc
