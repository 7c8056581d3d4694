// SPDX-License-Identifier: BSL-1.0
// wire.hpp: the bytes of docs/wire.md, written down a second time from that page alone. No header of the library is
// included on this side: what an attacker sends owes nothing to the code that is to withstand it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace attacker {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

inline constexpr u8 shm_ring = 1, unix_socket = 2;
inline constexpr u8 admitted = 1, refused = 2, moved = 3;
inline constexpr u8 byte_bell = 0, byte_ack = 1, byte_bye = 2;

struct Hello {
    char magic[8] = {'q', 'b', 'i', 'p', 'c', '\r', '\n', 'H'};
    u16 version = 1, line = 64;
    u8 transport = shm_ring, pointer_bits = 64, byte_order = 1, zero = 0;
    u64 features = 0, zeros = 0;
    u64 largest = 1 << 20, lane = 64 << 10;
    u8 rest[208] = {};
};
static_assert(sizeof(Hello) == 256);

struct Reply {
    char magic[8] = {'q', 'b', 'i', 'p', 'c', '\r', '\n', 'R'};
    u16 version = 1, line = 64;
    u8 transport = shm_ring, pointer_bits = 64, byte_order = 1, status = admitted;
    u64 features = 0;
    u32 domain = 0;
    std::int32_t value = 0;
    u64 largest = 1 << 20, lane = 0, frame = 0;
    u32 descriptors = 0, zero = 0;
    u64 service_area = 0, client_area = 0;
    u64 requests = 0, responses = 0, events = 0;
    u8 rest[152] = {};
};
static_assert(sizeof(Reply) == 256);

/// An honest service's reply for lanes of this size; a stream's has none.
inline Reply honest_reply(u8 transport, u64 lane = 64 << 10) {
    Reply reply;
    reply.transport = transport;
    if (transport == unix_socket) {
        reply.frame = 65536;
        reply.descriptors = 1;
        return reply;
    }
    reply.lane = lane;
    reply.frame = lane / 4 - 16;
    reply.descriptors = 3;
    reply.service_area = 4096 + 2 * lane;
    reply.client_area = 4096 + lane;
    reply.requests = reply.responses = 4096;
    reply.events = 4096 + lane;
    return reply;
}

// Kinds of frames.
inline constexpr u8 call = 1, one_way = 2, answer = 3, error = 4, event = 5, piece = 6, abandon = 7, wrap = 8,
                    cancel = 9, bye = 255;
inline constexpr u8 row = 1;  ///< the flag of a row's first frame

struct Frame {
    u64 size = 0;  ///< 24 bits are its place; attackers put more there
    u8 kind = call;
    u8 flags = 0;
    u16 service = 0;
    u32 id = 0;
    u32 correlation = 0;

    u64 first() const { return size | u64{kind} << 32 | u64{flags} << 40 | u64{service} << 48; }
    u64 second() const { return id | u64{correlation} << 32; }
    static Frame of(u64 first, u64 second) {
        return {first & 0xffff'ffff,           static_cast<u8>(first >> 32), static_cast<u8>(first >> 40),
                static_cast<u16>(first >> 48), static_cast<u32>(second),     static_cast<u32>(second >> 32)};
    }
};
inline constexpr u64 wrap_word = u64{wrap} << 32;

/// Where the words are: in the service's area, and in the client's.
namespace of_service {
inline constexpr u64 requests_credit = 0, requests_asleep = 128, responses_want_room = 256, events_want_room = 384;
}
namespace of_client {
inline constexpr u64 responses_credit = 0, events_credit = 128, responses_asleep = 256, events_asleep = 384,
                     requests_want_room = 512;
}
inline constexpr u64 header_page = 4096;

constexpr u64 lines_of(u64 payload) { return (payload + 16 + 63) / 64 * 64; }

// The messages of the victims, as tests/process/messages.hpp has them.
inline constexpr u32 add_id = 1, echo_id = 2, who_id = 3, unanswered_id = 4, throw_id = 7, gaps_id = 9, unheard_id = 99,
                     clear_id = 20, wish_id = 21;
inline constexpr u32 tick_id = 1, hello_id = 2;
struct Add {
    double a = 1, b = 0;
};
struct Wish {
    u32 count = 0, size = 0, every = 0, patient = 0;
};

template <class T>
std::string_view bytes_of(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
}

inline constexpr unsigned char poison = 0xa5;

}  // namespace attacker
