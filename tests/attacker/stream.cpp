// SPDX-License-Identifier: BSL-1.0
// Moves with frames on a stream: cut short, spread out, too large, never read.
#include <random>
#include <thread>

#include "attacker/hostile_client.hpp"

namespace attacker {

namespace {

template <class F>
void must_be_cut(Fortress& fortress, const std::string& what, F&& f) {
    const auto before = fortress.cuts();
    auto client = HostileClient::inside(fortress);
    client.settled();
    f(client);
    need(client.cut(), "not cut: " + what);
    need(fortress.comes_to("violation", before + 1), "not for a violation: " + what);
}

std::string header(const Frame& frame) { return HostileClient::stream_frame(frame, {}); }

}  // namespace

const std::vector<Move> stream_moves = {
    {"a stream's frames of other kinds, sizes, flags and reserved bits",
     [](Battle& battle) {
         for (int kind = 0; kind < 255; kind += kind < 12 ? 1 : 81) {
             if (kind == call || kind == one_way) continue;
             must_be_cut(battle.stream, "kind " + std::to_string(kind), [&](HostileClient& client) {
                 put_all(client.c.get(), header({.size = 16, .kind = static_cast<u8>(kind)}) + std::string(16, 'x'));
             });
         }
         for (const u64 size : {u64{65537}, u64{0xff'ffff}, u64{0x0100'0000}, u64{0x8000'0010}, u64{0xffff'ffff}})
             must_be_cut(battle.stream, "size " + std::to_string(size), [&](HostileClient& client) {
                 put_all(client.c.get(), header({.size = size, .kind = call, .id = echo_id}));
             });
         for (const u8 flags : {u8{2}, u8{0x80}, u8{0xff}})
             must_be_cut(battle.stream, "flags", [&](HostileClient& client) {
                 client.send({.kind = call, .flags = flags, .id = echo_id}, "12345678abc");
             });
         must_be_cut(battle.stream, "a bye with a payload", [&](HostileClient& client) {
             put_all(client.c.get(), header({.size = 16, .kind = bye}) + std::string(16, 'x'));
         });
     }},
    {"100 frames of 64 KiB that were announced and never come",
     [](Battle& battle) {
         const long before = kib_of(battle.stream.pid(), "VmData:");
         std::vector<HostileClient> clients;
         for (int i = 0; i < 100; ++i) {
             clients.push_back(HostileClient::inside(battle.stream));
             clients.back().settled();
             put_all(clients.back().c.get(), header({.size = 65536, .kind = call, .id = echo_id, .correlation = 3}));
         }
         need(battle.stream.comes_to("sessions", Fortress::friends + 100), "some were cut");
         const long grown = kib_of(battle.stream.pid(), "VmData:") - before;
         if (battle.release) need(grown < 16 << 10, "the service's data grew by KiB: " + std::to_string(grown));
         battle.remarks.push_back("the service's data grew by KiB: " + std::to_string(grown));
     }},
    {"frames a byte at a time, with dirty padding",
     [](Battle& battle) {
         auto client = HostileClient::inside(battle.stream);
         for (int i = 0; i < 20; ++i) {
             auto bytes = HostileClient::stream_frame(
                 {.size = 5, .kind = call, .id = echo_id, .correlation = ++client.correlation}, "hello");
             for (std::size_t at = 21; at < bytes.size(); ++at) bytes[at] = '\xff';
             for (const char byte : bytes) need(put(client.c.get(), {&byte, 1}) == 1, "can't be sent");
             const auto taken = client.answered(client.correlation);
             need(taken && taken->payload == "hello", "no echo");
         }
     }},
    {"a stream that ends in the middle of a frame: that frame never was",
     [](Battle& battle) {
         const auto before = battle.stream.status();
         const auto jot = HostileClient::stream_frame({.size = 16, .kind = one_way, .id = 23}, std::string(16, '\1'));
         for (std::size_t bytes = 0; bytes < jot.size(); ++bytes) {
             auto client = HostileClient::inside(battle.stream);
             put_all(client.c.get(), std::string_view(jot).substr(0, bytes));
             client.c.close();
             need(battle.stream.comes_to("sessions", Fortress::friends), "its session stands");
         }
         need(battle.stream.status()["jots"] == before.at("jots"), "half a frame was taken");
     }},
    {"answers and events that nobody reads, for as long as anything can be sent",
     [](Battle& battle) {
         auto client = HostileClient::inside(battle.stream);
         client.settled();
         const long before = kib_of(battle.stream.pid(), "VmData:");
         const auto wish = HostileClient::stream_frame({.size = sizeof(Wish), .kind = one_way, .id = wish_id},
                                                       bytes_of(Wish{.count = 100, .size = 1000}));
         const auto echo = HostileClient::stream_frame({.size = 60'000, .kind = call, .id = echo_id, .correlation = 5},
                                                       std::string(60'000, 'x'));
         for (int stuck = 0; stuck < 50;) {
             pollfd room{client.c.get(), POLLOUT, 0};
             if (::poll(&room, 1, 5) <= 0) {
                 ++stuck;
                 continue;
             }
             stuck = 0;
             if (!put_all(client.c.get(), wish)) break;
             // As much of an echo as there is room for now: what is sent stays a frame.
             std::string_view rest = echo;
             for (int i = 0; i < 50 && !rest.empty(); ++i) {
                 const auto sent = put(client.c.get(), rest);
                 if (sent > 0) rest.remove_prefix(static_cast<std::size_t>(sent)), i = 0;
                 if (sent < 0) std::this_thread::sleep_for(2ms);
             }
             if (!rest.empty()) break;
         }
         const long grown = kib_of(battle.stream.pid(), "VmData:") - before;
         if (battle.release) need(grown < 16 << 10, "the service's data grew by KiB: " + std::to_string(grown));
         need(battle.stream.status()["sessions"] == Fortress::friends + 1, "cut");
     }},
    {"bye in the middle of everything, and more after it",
     [](Battle& battle) {
         for (int i = 0; i < 20; ++i) {
             auto client = HostileClient::inside(battle.stream);
             client.settled();
             const auto add = HostileClient::stream_frame(
                 {.size = sizeof(Add), .kind = call, .id = add_id, .correlation = 5}, bytes_of(Add{}));
             put_all(client.c.get(), add + header({.kind = bye}) + add + add);
             need(client.cut(), "not cut");
         }
     }},
    {"bytes on E, where a client has nothing to say",
     [](Battle& battle) {
         for (Fortress* fortress : {&battle.shm, &battle.stream}) {
             auto client = HostileClient::inside(*fortress);
             client.settled();
             while (put(client.e.get(), std::string(4096, '\x4d')) > 0) {
             }
             client.settled();
             client.send({.kind = one_way, .id = wish_id}, bytes_of(Wish{.count = 5, .size = 10}));
             for (int i = 0; i < 8; ++i) need(client.next_event().has_value(), "no event");
         }
     }},
    {"streams of random bytes",
     [](Battle& battle) {
         std::mt19937_64 random(42);
         for (int round = 0; round < 150; ++round) {
             auto client = HostileClient::inside(battle.stream);
             std::string noise(1 + random() % 20'000, '\0');
             for (auto& byte : noise) byte = static_cast<char>(random());
             if (round % 2 == 0) {  // a header that could be one, to get further
                 const u64 first = Frame{.size = random() % 300,
                                         .kind = static_cast<u8>(1 + random() % 2),
                                         .flags = static_cast<u8>(random() % 2),
                                         .id = static_cast<u32>(random() % 25)}
                                       .first();
                 std::memcpy(noise.data(), &first, std::min(noise.size(), sizeof first));
             }
             put(client.c.get(), noise);
             if (round % 3 == 0) client.cut(20ms);
         }
     }},
};

}  // namespace attacker
