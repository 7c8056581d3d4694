// SPDX-License-Identifier: BSL-1.0
// Moves with frames that no writer would publish, in a lane of shared memory.
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "attacker/hostile_client.hpp"

namespace attacker {

namespace {

constexpr u64 lane = 64 << 10;
constexpr u64 largest = 1 << 20;

/// What such a client does costs it its connection, for a violation.
template <class F>
void must_be_cut(Fortress& fortress, const std::string& what, F&& f) {
    const auto before = fortress.cuts();
    auto client = HostileClient::inside(fortress);
    client.settled();
    f(client);
    need(client.cut(), "not cut: " + what);
    need(fortress.comes_to("violation", before + 1), "not for a violation: " + what);
}

std::string size_bytes(u64 size, std::string_view more = {}) { return std::string(bytes_of(size)) + std::string(more); }

/// A row's first frame and what follows; the last one is what is wrong.
struct Row {
    const char* what;
    std::vector<std::pair<Frame, std::string>> frames;
};
const Frame begin{.kind = call, .flags = row, .id = echo_id, .correlation = 9};
const Frame middle{.kind = piece, .id = echo_id, .correlation = 9};

const Row wrong_rows[] = {
    {"a piece outside a row", {{middle, "x"}}},
    {"an abandon outside a row", {{{.kind = abandon, .id = echo_id, .correlation = 9}, ""}}},
    {"a row without a size", {{begin, ""}}},
    {"a row with half a size", {{begin, "1234"}}},
    {"a row with a size and nothing else", {{begin, size_bytes(100)}}},
    {"more in the first frame than announced", {{begin, size_bytes(3, "abcd")}}},
    {"more in the pieces than announced", {{begin, size_bytes(3, "a")}, {middle, "bcd"}}},
    {"an empty piece", {{begin, size_bytes(3, "a")}, {middle, ""}}},
    {"a piece of another call", {{begin, size_bytes(3, "a")}, {{.kind = piece, .id = echo_id, .correlation = 8}, "b"}}},
    {"a piece of another id", {{begin, size_bytes(3, "a")}, {{.kind = piece, .id = add_id, .correlation = 9}, "b"}}},
    {"a piece of another service",
     {{begin, size_bytes(3, "a")}, {{.kind = piece, .service = 1, .id = echo_id, .correlation = 9}, "b"}}},
    {"a piece that begins a row",
     {{begin, size_bytes(3, "a")}, {{.kind = piece, .flags = row, .id = echo_id, .correlation = 9}, "b"}}},
    {"a call inside a row", {{begin, size_bytes(3, "a")}, {{.kind = call, .id = add_id, .correlation = 10}, "b"}}},
    {"a row inside a row", {{begin, size_bytes(3, "a")}, {begin, size_bytes(3, "b")}}},
    {"an abandon with a payload",
     {{begin, size_bytes(3, "a")}, {{.kind = abandon, .id = echo_id, .correlation = 9}, "b"}}},
    {"a bye inside a row", {{begin, size_bytes(3, "a")}, {{.kind = bye}, ""}}},
};

const u64 too_large[] = {largest + 1,  u64{1} << 31, (u64{1} << 32) - 1, u64{1} << 32,
                         u64{1} << 63, ~u64{0},      ~u64{0} - 7};

}  // namespace

const std::vector<Move> frame_moves = {
    {"every kind that isn't a client's to send, with and without a size",
     [](Battle& battle) {
         for (int kind = 0; kind < 256; kind += kind < 12 ? 1 : 61) {
             if (kind == call || kind == one_way) continue;
             for (const u64 size : {u64{0}, u64{16}}) {
                 if (kind == 0 && size == 0) continue;  // that is no frame
                 if (kind == wrap && size == 0) continue;
                 must_be_cut(battle.shm, "kind " + std::to_string(kind), [&](HostileClient& client) {
                     client.requests.put_word(client.own, Frame{.size = size, .kind = static_cast<u8>(kind)}.first(),
                                              0);
                     client.ring();
                 });
             }
         }
     }},
    {"sizes beyond a quarter of the lane, beyond its end, and beyond 24 bits",
     [](Battle& battle) {
         for (const u64 size : {lane / 4 - 15, lane / 2, lane - 16, lane, u64{0xff'ffff}, u64{0x0100'0000},
                                u64{0x8000'0000}, u64{0xffff'ffff}}) {
             must_be_cut(battle.shm, "size " + std::to_string(size), [&](HostileClient& client) {
                 client.requests.put_word(client.own, Frame{.size = size, .kind = call, .id = echo_id}.first(), 0);
                 client.ring();
             });
         }
         // The largest that may be, one line before the end.
         must_be_cut(battle.shm, "past the end", [&](HostileClient& client) {
             while (client.requests.head % lane != lane - 64) {
                 client.send({.kind = one_way, .id = clear_id});
                 if (client.requests.head % 4096 == 0) client.settled();
             }
             client.requests.put_word(client.own, Frame{.size = 4096, .kind = one_way, .id = clear_id}.first(), 0);
             client.ring();
         });
     }},
    {"flags that mean nothing, on calls and one-way messages",
     [](Battle& battle) {
         for (const u8 kind : {call, one_way})
             for (const u8 flags : {u8{2}, u8{4}, u8{0x80}, u8{0xff}})
                 must_be_cut(battle.shm, "flags " + std::to_string(flags), [&](HostileClient& client) {
                     client.send({.kind = kind, .flags = flags, .id = echo_id, .correlation = 3}, "12345678abc");
                 });
     }},
    {"a wrap marker at the lane's start",
     [](Battle& battle) {
         const auto before = battle.shm.cuts();
         auto client = HostileClient::inside(battle.shm);
         client.requests.put_word(client.own, wrap_word, 0);
         client.ring();
         need(client.cut() && battle.shm.comes_to("violation", before + 1), "not cut");
     }},
    {"two wrap markers in a row, and one with other bits set",
     [](Battle& battle) {
         must_be_cut(battle.shm, "two in a row", [](HostileClient& client) {
             client.own.store(client.requests.at, wrap_word);
             client.requests.put_word(client.own, wrap_word, 0);
             client.ring();
         });
         for (const u64 bit : {u64{1}, u64{1} << 24, u64{1} << 40, u64{1} << 48, u64{1} << 63})
             must_be_cut(battle.shm, "dirty", [&](HostileClient& client) {
                 client.own.store(client.requests.at, 0);
                 client.requests.put_word(client.own, wrap_word | bit, 0);
                 client.ring();
             });
     }},
    {"a lane full of nothing but markers and small jumps",
     [](Battle& battle) {
         must_be_cut(battle.shm, "markers", [](HostileClient& client) {
             for (u64 at = 0; at < lane; at += 64) client.own.store(client.requests.at + at, wrap_word);
             client.ring();
         });
         // An honest marker after each frame: the lane goes round and round, and is served.
         auto client = HostileClient::inside(battle.shm);
         for (int i = 0; i < 300; ++i) {
             client.settled();
             const u64 rest = lane - client.requests.head % lane;
             if (rest == lane) continue;
             client.own.store(client.requests.at, 0);
             client.requests.put_word(client.own, wrap_word, 0);
             client.requests.head += rest;
             client.ring();
             // What comes next clears the place of the marker.
             need(eventually([&] { return client.service.load(of_service::requests_credit) == client.requests.head; }),
                  "a marker isn't passed");
         }
     }},
    {"payloads of every size that isn't the message's, ids and services that nobody has: an error, not a cut",
     [](Battle& battle) {
         auto client = HostileClient::inside(battle.shm);
         for (std::size_t size = 0; size < 600; size += size < 40 ? 1 : 37) {
             if (size == sizeof(Add)) continue;
             client.send({.kind = call, .id = add_id, .correlation = ++client.correlation}, std::string(size, 'x'));
             const auto taken = client.answered(client.correlation);
             need(taken && taken->frame.kind == error && taken->payload.size() == 8, "no error for another size");
         }
         for (const u32 id : {u32{0}, unheard_id, ~u32{0}, u32{1} << 31}) {
             client.send({.kind = call, .service = 0xffff, .id = id, .correlation = ++client.correlation}, "x");
             const auto taken = client.answered(client.correlation);
             need(taken && taken->frame.kind == error, "no error for another id");
             client.send({.kind = one_way, .id = id}, "x");
         }
         client.settled();
     }},
    {"one correlation id for a thousand calls, and calls for one-way messages and the other way round",
     [](Battle& battle) {
         auto client = HostileClient::inside(battle.shm);
         u32 before = 0;
         for (const u32 id : {u32{0}, u32{7}, ~u32{0}}) {
             for (int i = 0; i < 100; ++i) {
                 client.send({.kind = call, .id = add_id, .correlation = id}, bytes_of(Add{}));
                 client.send({.kind = call, .id = unanswered_id, .correlation = id}, std::string(4, '\0'));
                 client.send({.kind = one_way, .id = add_id, .correlation = id}, bytes_of(Add{}));
                 client.send({.kind = call, .id = clear_id, .correlation = id});
                 const auto taken = client.next_answer();
                 need(taken.has_value(), "not answered");
                 need(taken->frame.correlation == id || taken->frame.correlation == before, "another's answer");
             }
             before = id;
         }
         while (client.next_answer(10ms)) {
         }
     }},
    {"rows that are wrong in each way that the page names",
     [](Battle& battle) {
         for (Fortress* fortress : {&battle.shm, &battle.stream})
             for (const Row& one : wrong_rows) {
                 if (fortress == &battle.stream && one.frames.back().first.kind == bye) continue;  // an end like others
                 must_be_cut(*fortress, one.what, [&](HostileClient& client) {
                     for (const auto& [frame, payload] : one.frames) client.send(frame, payload);
                 });
             }
     }},
    {"rows of announced sizes up to 2^64-1 cost a cut and no memory",
     [](Battle& battle) {
         for (Fortress* fortress : {&battle.shm, &battle.stream}) {
             const long before = kib_of(fortress->pid(), "VmPeak:");
             for (const u64 size : too_large)
                 must_be_cut(*fortress, "announced " + std::to_string(size),
                             [&](HostileClient& client) { client.send(begin, size_bytes(size, "abc")); });
             const long grown = kib_of(fortress->pid(), "VmPeak:") - before;
             if (battle.release) need(grown < 4 << 10, "the service's peak grew by KiB: " + std::to_string(grown));
         }
     }},
    {"200 rows of the largest size that begin and never go on cost what was sent, not what was announced",
     [](Battle& battle) {
         for (Fortress* fortress : {&battle.shm, &battle.stream}) {
             std::vector<HostileClient> clients;
             const long before = kib_of(fortress->pid(), "VmData:");
             for (int i = 0; i < 100; ++i) {
                 clients.push_back(HostileClient::inside(*fortress));
                 clients.back().settled();
                 clients.back().send(begin, size_bytes(largest, "abc"));
             }
             need(fortress->comes_to("sessions", Fortress::friends + 100), "some were cut");
             for (auto& one : clients) one.send(middle, std::string(1000, 'x'));
             const long grown = kib_of(fortress->pid(), "VmData:") - before;
             if (battle.release) need(grown < 16 << 10, "the service's data grew by KiB: " + std::to_string(grown));
         }
     }},
    {"a row of a byte at a time, abandoned a byte before its end, again and again",
     [](Battle& battle) {
         auto client = HostileClient::inside(battle.shm);
         client.settled();
         for (int again = 0; again < 3; ++again) {
             client.send({.kind = call, .flags = row, .id = echo_id, .correlation = 77}, size_bytes(3'000, "a"));
             for (int i = 2; i < 3'000; ++i) {
                 client.send({.kind = piece, .id = echo_id, .correlation = 77}, "b");
                 while (client.requests.head - client.service.load(of_service::requests_credit) > lane / 2)
                     std::this_thread::yield();
             }
             client.send({.kind = abandon, .id = echo_id, .correlation = 77});
             client.settled();
         }
     }},
    {"a frame's words that change while they are looked at",
     [](Battle& battle) {
         for (int round = 0; round < 20; ++round) {
             auto client = HostileClient::inside(battle.shm);
             client.settled();
             const u64 place = client.requests.at + client.requests.head % lane;
             const u64 good = Frame{.size = 16, .kind = call, .id = add_id}.first();
             const u64 bad = Frame{.size = 0xff'ffff, .kind = call}.first();
             std::jthread flipping([&](std::stop_token stop) {
                 for (u64 i = 0; !stop.stop_requested(); ++i) {
                     client.own.store(place, i % 2 == 0 ? good : bad);
                     client.own.store(place + 8, i);
                     client.own.store(place + 64, i % 3 == 0 ? 0 : good);
                 }
             });
             for (int i = 0; i < 50; ++i) client.ring(), std::this_thread::yield();
         }
     }},
    {"a payload that changes while it is read comes back as one of its states, byte for byte",
     [](Battle& battle) {
         auto client = HostileClient::inside(battle.shm);
         client.settled();
         std::atomic<u64> place{client.requests.at + client.requests.head % lane};
         std::jthread flipping([&](std::stop_token stop) {
             // Not to the end: one that is held up must not write over what a later lap has there, a header.
             for (char letter = 'a'; !stop.stop_requested();
                  letter = letter == 'z' ? 'a' : static_cast<char>(letter + 1))
                 std::memset(client.own.data() + place + 16, letter, 3900);
         });
         for (int i = 0; i < 500; ++i) {
             if (client.requests.head % lane + 8192 > lane) {
                 client.own.store(client.requests.at, 0);
                 client.requests.put_word(client.own, wrap_word, 0);
                 client.requests.head += lane - client.requests.head % lane;
                 client.ring();
                 need(eventually(
                          [&] { return client.service.load(of_service::requests_credit) == client.requests.head; }),
                      "a marker isn't passed");
             }
             place = client.requests.at + client.requests.head % lane;
             client.send({.kind = call, .id = echo_id, .correlation = ++client.correlation}, std::string(4000, 'm'));
             const auto taken = client.answered(client.correlation);
             need(taken && taken->frame.kind == answer && taken->payload.size() == 4000, "no echo of that size");
             for (const char letter : taken->payload)
                 need(letter >= 'a' && letter <= 'z', "a byte that was never there");
         }
     }},
    {"lanes full of random bytes",
     [](Battle& battle) {
         std::mt19937_64 random(4711);
         for (int round = 0; round < 150; ++round) {
             auto client = HostileClient::inside(battle.shm);
             if (round % 2 != 0) client.settled();
             for (u64 at = 0; at < lane; at += 8) {
                 const u64 word = random();
                 // Half of the lines begin as frames could.
                 const bool likely = at % 64 == 0 && word % 2 != 0;
                 client.own.store(client.requests.at + at, likely ? Frame{.size = word >> 8 & 0x3ff,
                                                                          .kind = static_cast<u8>(word >> 20 & 7),
                                                                          .flags = static_cast<u8>(word >> 30 & 1),
                                                                          .id = 0}
                                                                        .first()
                                                                  : word);
             }
             client.ring();
             std::this_thread::sleep_for(1ms);
         }
     }},
};

}  // namespace attacker
