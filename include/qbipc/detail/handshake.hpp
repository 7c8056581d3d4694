// SPDX-License-Identifier: BSL-1.0
// handshake.hpp: the bytes of hello and reply, and what a reader checks before it believes them. No I/O.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include <qbipc/detail/wire_error.hpp>
#include <qbipc/error.hpp>

namespace qbipc::detail {

/// The version of all that docs/wire.md describes. Another number is another protocol: refused by name.
inline constexpr std::uint16_t protocol_version = 1;
/// Optional parts this build knows, one bit each; both sides use what both know. So far there are none.
inline constexpr std::uint64_t known_features = 0;

enum class TransportId : std::uint8_t { shm_ring = 1, unix_socket = 2 };

/// What the two processes must agree about before they can read each other. Both hello and reply begin with it, at
/// places that no later version moves: so that any two versions can name their difference.
struct Speaker {
    std::uint16_t version = protocol_version;
    std::uint16_t line_size = 64;  ///< the unit of the shared layout
    TransportId transport{};
    std::uint8_t word_bits = sizeof(void*) * 8;
    std::uint8_t byte_order = std::endian::native == std::endian::little ? 1 : 2;
    std::uint64_t features = known_features;
    friend constexpr bool operator==(const Speaker&, const Speaker&) noexcept = default;
};

/// The client's first word.
struct Hello {
    Speaker speaker;
    std::uint64_t max_message = 0;  ///< the largest message it wants to send or receive
    std::uint64_t lane_size = 0;    ///< wanted, per lane
    friend constexpr bool operator==(const Hello&, const Hello&) noexcept = default;
};

enum class Status : std::uint8_t {
    ok = 1,       ///< admitted: the descriptors come with it
    refused = 2,  ///< `error` says why; the service hangs up
    moved = 3,    ///< not here any more: look at the flag file again and connect where it says
};

/// Where things lie in the two areas of a session over shared memory: compared with the client's own numbers, not used.
struct Areas {
    std::uint64_t service_size = 0;
    std::uint64_t client_size = 0;
    std::array<std::uint64_t, 3> lane_at{};  ///< requests in the client's area; responses and events in the service's
    friend constexpr bool operator==(const Areas&, const Areas&) noexcept = default;
};

/// The service's answer to a hello.
struct Reply {
    Speaker speaker;
    Status status{};
    WireError error;
    std::uint64_t max_message = 0;  ///< in force for both directions
    std::uint64_t max_frame = 0;    ///< the largest payload of one frame
    std::uint64_t lane_size = 0;    ///< in force, per lane; 0 where the transport has no memory
    Areas areas;
    std::uint32_t descriptors = 0;  ///< how many come with it
    friend constexpr bool operator==(const Reply&, const Reply&) noexcept = default;
};

inline constexpr std::size_t handshake_size = 256;
using HandshakeBytes = std::array<std::byte, handshake_size>;

inline constexpr std::array<char, 8> hello_magic{'q', 'b', 'i', 'p', 'c', '\r', '\n', 'H'};
inline constexpr std::array<char, 8> reply_magic{'q', 'b', 'i', 'p', 'c', '\r', '\n', 'R'};

/// The place of each field in the 256 bytes; numbers are little-endian whatever the machine; the rest is zero.
namespace at {
inline constexpr std::size_t magic = 0, version = 8, line_size = 10, transport = 12, word_bits = 13, byte_order = 14,
                             status = 15, features = 16, error_domain = 24, error_value = 28, max_message = 32,
                             lane_size = 40, max_frame = 48, descriptors = 56, service_size = 64, client_size = 72,
                             lanes = 80;
}  // namespace at

template <class Number>
constexpr void put(HandshakeBytes& bytes, std::size_t place, Number number) noexcept {
    for (std::size_t i = 0; i < sizeof(Number); ++i)
        bytes[place + i] = static_cast<std::byte>(static_cast<std::uint64_t>(number) >> 8 * i & 0xff);
}

template <class Number>
constexpr Number get(const HandshakeBytes& bytes, std::size_t place) noexcept {
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < sizeof(Number); ++i)
        number |= std::to_integer<std::uint64_t>(bytes[place + i]) << 8 * i;
    return static_cast<Number>(number);
}

constexpr void put_speaker(HandshakeBytes& bytes, const std::array<char, 8>& magic, const Speaker& speaker) noexcept {
    for (std::size_t i = 0; i < magic.size(); ++i) bytes[at::magic + i] = static_cast<std::byte>(magic[i]);
    put(bytes, at::version, speaker.version);
    put(bytes, at::line_size, speaker.line_size);
    put(bytes, at::transport, speaker.transport);
    put(bytes, at::word_bits, speaker.word_bits);
    put(bytes, at::byte_order, speaker.byte_order);
    put(bytes, at::features, speaker.features);
}

constexpr HandshakeBytes encode(const Hello& hello) noexcept {
    HandshakeBytes bytes{};
    put_speaker(bytes, hello_magic, hello.speaker);
    put(bytes, at::max_message, hello.max_message);
    put(bytes, at::lane_size, hello.lane_size);
    return bytes;
}

constexpr HandshakeBytes encode(const Reply& reply) noexcept {
    HandshakeBytes bytes{};
    put_speaker(bytes, reply_magic, reply.speaker);
    put(bytes, at::status, reply.status);
    put(bytes, at::error_domain, reply.error.domain);
    put(bytes, at::error_value, static_cast<std::uint32_t>(reply.error.value));
    put(bytes, at::max_message, reply.max_message);
    put(bytes, at::lane_size, reply.lane_size);
    put(bytes, at::max_frame, reply.max_frame);
    put(bytes, at::descriptors, reply.descriptors);
    put(bytes, at::service_size, reply.areas.service_size);
    put(bytes, at::client_size, reply.areas.client_size);
    for (std::size_t i = 0; i < reply.areas.lane_at.size(); ++i) put(bytes, at::lanes + 8 * i, reply.areas.lane_at[i]);
    return bytes;
}

constexpr Speaker get_speaker(const HandshakeBytes& bytes) noexcept {
    Speaker speaker;
    speaker.version = get<std::uint16_t>(bytes, at::version);
    speaker.line_size = get<std::uint16_t>(bytes, at::line_size);
    speaker.transport = get<TransportId>(bytes, at::transport);
    speaker.word_bits = get<std::uint8_t>(bytes, at::word_bits);
    speaker.byte_order = get<std::uint8_t>(bytes, at::byte_order);
    speaker.features = get<std::uint64_t>(bytes, at::features);
    return speaker;
}

inline bool has_magic(const HandshakeBytes& bytes, const std::array<char, 8>& magic) noexcept {
    return std::equal(magic.begin(), magic.end(), bytes.begin(),
                      [](char ours, std::byte theirs) { return static_cast<std::byte>(ours) == theirs; });
}

/// No error if the two understand each other; else the first difference, in the order in which the rest depends on it.
inline std::error_code compare(const Speaker& ours, const Speaker& theirs) noexcept {
    if (ours.version != theirs.version) return incompatible(Mismatch::version, ours.version, theirs.version);
    if (ours.transport != theirs.transport)
        return incompatible(Mismatch::transport, static_cast<std::uint16_t>(ours.transport),
                            static_cast<std::uint16_t>(theirs.transport));
    if (ours.word_bits != theirs.word_bits) return incompatible(Mismatch::word_size, ours.word_bits, theirs.word_bits);
    if (ours.byte_order != theirs.byte_order)
        return incompatible(Mismatch::byte_order, ours.byte_order, theirs.byte_order);
    if (ours.line_size != theirs.line_size) return incompatible(Mismatch::layout, ours.line_size, theirs.line_size);
    return {};
}

/// What the client said, if it can be served. Wanted sizes may be any: the service makes of them what it allows.
/// Errors: protocol_violation (not a hello), incompatible (naming both sides).
inline Result<Hello> check_hello(const HandshakeBytes& bytes, const Speaker& ours) noexcept {
    if (!has_magic(bytes, hello_magic)) return fail(errc::protocol_violation);
    Hello hello;
    hello.speaker = get_speaker(bytes);
    if (const auto difference = compare(ours, hello.speaker)) return fail(difference);
    hello.max_message = get<std::uint64_t>(bytes, at::max_message);
    hello.lane_size = get<std::uint64_t>(bytes, at::lane_size);
    return hello;
}

/// What the service said. A refusal is understood across versions. Whether sizes and offsets are those that this side
/// computes is the transport's to compare.
/// Errors: protocol_violation (not a reply), incompatible (naming both sides), the service's refusal.
inline Result<Reply> check_reply(const HandshakeBytes& bytes, const Speaker& ours) noexcept {
    if (!has_magic(bytes, reply_magic)) return fail(errc::protocol_violation);
    Reply reply;
    reply.status = get<Status>(bytes, at::status);
    reply.error = {get<std::uint32_t>(bytes, at::error_domain),
                   static_cast<std::int32_t>(get<std::uint32_t>(bytes, at::error_value))};
    reply.speaker = get_speaker(bytes);
    if (reply.status == Status::refused) return fail(seen_from_the_other_side(from_wire(reply.error)));
    if (reply.status == Status::moved) return reply;
    if (reply.status != Status::ok) return fail(errc::protocol_violation);
    if (const auto difference = compare(ours, reply.speaker)) return fail(difference);
    if ((reply.speaker.features & ~ours.features) != 0) return fail(errc::protocol_violation);  // only what both know
    reply.max_message = get<std::uint64_t>(bytes, at::max_message);
    reply.lane_size = get<std::uint64_t>(bytes, at::lane_size);
    reply.max_frame = get<std::uint64_t>(bytes, at::max_frame);
    reply.descriptors = get<std::uint32_t>(bytes, at::descriptors);
    reply.areas.service_size = get<std::uint64_t>(bytes, at::service_size);
    reply.areas.client_size = get<std::uint64_t>(bytes, at::client_size);
    for (std::size_t i = 0; i < reply.areas.lane_at.size(); ++i)
        reply.areas.lane_at[i] = get<std::uint64_t>(bytes, at::lanes + 8 * i);
    return reply;
}

/// The reply that tells a client why it isn't admitted; understood by clients of every version and transport.
inline Reply refusal(const Speaker& ours, const std::error_code& why) noexcept {
    Reply reply;
    reply.speaker = ours;
    reply.status = Status::refused;
    reply.error = to_wire(why);
    return reply;
}

/// The bytes on a session's sockets that aren't part of a frame. All others are reserved: a violation.
enum class Signal : std::uint8_t {
    bell = 0,  ///< wakes the sleeper that asked for it
    ack = 1,   ///< on C, from the client, once: it has what it needs
    bye = 2,   ///< on C, before an orderly end; the last byte
};

}  // namespace qbipc::detail
