// SPDX-License-Identifier: BSL-1.0
// Moves at a service's door: hellos that aren't, silence, dribbles, hang-ups, crowds.
#include <thread>
#include <vector>

#include "attacker/hostile_client.hpp"

namespace attacker {

namespace {

/// A hello that no service of ours takes: it is told why, and let go.
void must_be_refused(Fortress& fortress, const Hello& hello, u32 domain) {
    HostileClient client(fortress);
    const u8 transport = client.greeting.transport;
    client.greeting = hello;
    if (hello.transport == shm_ring) client.greeting.transport = transport;
    client.say_hello();
    need(client.take_reply(), "no reply");
    need(client.reply.status == refused && client.reply.domain == domain, "not refused, or for another reason");
    need(client.descriptors.empty(), "a refusal came with descriptors");
    need(client.cut(), "not cut");
}

template <class F>
void at_both_doors(Battle& battle, F&& f) {
    for (Fortress* fortress : {&battle.shm, &battle.stream}) f(*fortress);
}

constexpr u32 of_the_library = 3, of_an_incompatibility = 5;

}  // namespace

const std::vector<Move> handshake_moves = {
    {"256 bytes that are no hello",
     [](Battle& battle) {
         at_both_doors(battle, [](Fortress& fortress) {
             for (const int byte : {0x00, 0xff, 0x71}) {
                 Hello hello;
                 std::memset(static_cast<void*>(&hello), byte, sizeof hello);
                 must_be_refused(fortress, hello, of_the_library);
             }
         });
     }},
    {"a hello that differs in one of its first bytes",
     [](Battle& battle) {
         at_both_doors(battle, [](Fortress& fortress) {
             for (std::size_t at = 0; at < 15; ++at) {
                 Hello hello;
                 reinterpret_cast<u8*>(&hello)[at] ^= 0xff;
                 must_be_refused(fortress, hello, at < 8 ? of_the_library : of_an_incompatibility);
             }
         });
     }},
    {"a hello whose every ignored byte is set is a hello",
     [](Battle& battle) {
         at_both_doors(battle, [](Fortress& fortress) {
             HostileClient client(fortress);
             client.greeting.zero = 0xff;
             client.greeting.features = client.greeting.zeros = ~u64{0};
             std::memset(client.greeting.rest, 0xff, sizeof client.greeting.rest);
             client.say_hello();
             need(client.take_reply() && client.reply.status == admitted, "refused");
             need(client.reply.features == 0, "a feature that nobody has is in force");
             client.acknowledge();
             client.settled();
         });
     }},
    {"wishes of 2^64-1, 2^63, 0 and 1 bytes cost no memory",
     [](Battle& battle) {
         at_both_doors(battle, [&](Fortress& fortress) {
             const long before = kib_of(fortress.pid(), "VmSize:");
             for (const u64 wish : {~u64{0}, u64{1} << 63, u64{1} << 32, u64{0}, u64{1}}) {
                 HostileClient client(fortress);
                 client.greeting.largest = client.greeting.lane = wish;
                 client.say_hello();
                 need(client.take_reply() && client.reply.status == admitted, "refused");
                 need(client.reply.largest <= 1 << 20, "more than the service's cap is in force");
                 need(client.reply.lane <= 64 << 20, "a lane of a size that none may have");
                 client.acknowledge();
                 client.settled();
                 const long grown = kib_of(fortress.pid(), "VmSize:") - before;
                 if (battle.release) need(grown < 256 << 10, "grown by KiB: " + std::to_string(grown));
             }
         });
     }},
    {"a full house of silent visitors is sent away at the limit, and honest ones wait no longer",
     [](Battle& battle) {
         at_both_doors(battle, [](Fortress& fortress) {
             std::vector<HostileClient> silent;
             for (int i = 0; i < 16; ++i) silent.emplace_back(fortress);
             need(fortress.comes_to("half_open", 16), "they aren't counted");
             HostileClient late(fortress);
             late.say_hello();
             need(late.take_reply() && late.reply.status == refused, "a 17th is let in");
             HostileClient::inside(fortress).settled();
             for (auto& one : silent) {
                 need(one.take_reply() && one.reply.status == refused, "not told why");
                 need(one.cut(), "not cut");
             }
         });
     }},
    {"a hello that dribbles in, a byte at a time, ends at the limit",
     [](Battle& battle) {
         at_both_doors(battle, [](Fortress& fortress) {
             const auto start = std::chrono::steady_clock::now();
             HostileClient client(fortress);
             while (put_byte(client.c.get(), 'q') == 1 && std::chrono::steady_clock::now() - start < 60s)
                 if (readable(client.c.get(), Fortress::handshake_limit / 100)) break;
             const auto took = std::chrono::steady_clock::now() - start;
             need(took >= Fortress::handshake_limit / 2, "cut too early");
             need(client.cut(), "not cut");
         });
     }},
    {"an ack behind a byte that is none, where the event socket is closed, lets nobody in",
     [](Battle& battle) {
         at_both_doors(battle, [](Fortress& fortress) {
             const auto before = fortress.status().at("connects");
             for (int i = 0; i < 50; ++i) {
                 HostileClient client(fortress);
                 client.say_hello();
                 need(client.take_reply() && client.reply.status == admitted, "refused");
                 client.descriptors[0].close();
                 client.e.close();
                 put_all(client.c.get(), std::string(fortress.transport == "shm" ? 512 : 1, '\3') + '\1');
                 need(client.cut(), "not cut");
             }
             need(fortress.status().at("connects") == before, "a session was open");
         });
     }},
    {"a hang-up at each byte of the hello",
     [](Battle& battle) {
         at_both_doors(battle, [](Fortress& fortress) {
             for (std::size_t bytes = 0; bytes <= 256; bytes += bytes < 24 ? 1 : 29) {
                 HostileClient client(fortress);
                 put_all(client.c.get(), bytes_of(client.greeting).substr(0, bytes));
             }
         });
     }},
    {"a visitor who never takes his reply, nor acknowledges it, is no session and is gone at the limit",
     [](Battle& battle) {
         at_both_doors(battle, [](Fortress& fortress) {
             const auto connects = fortress.status()["connects"];
             std::vector<HostileClient> mute;
             for (int i = 0; i < 8; ++i) {
                 mute.emplace_back(fortress);
                 mute.back().say_hello();
             }
             for (auto& one : mute) need(one.cut(), "not cut");
             need(fortress.status()["connects"] == connects, "on_connect ran for one who never was");
         });
     }},
    {"frames before the ack are not taken",
     [](Battle& battle) {
         HostileClient client(battle.shm);
         client.say_hello();
         need(client.take_reply() && client.reply.status == admitted, "refused");
         const auto requests = battle.shm.status()["connects"];
         client.send({.kind = call, .id = add_id, .correlation = 1}, bytes_of(Add{}));  // with a bell, that is no ack
         need(client.cut(), "not cut");
         need(battle.shm.status()["connects"] == requests, "on_connect ran");
     }},
    {"an ack with another value, and an ack twice",
     [](Battle& battle) {
         for (const u8 value : {u8{0}, byte_bye, u8{3}, u8{255}}) {
             HostileClient client(battle.shm);
             client.say_hello();
             need(client.take_reply(), "no reply");
             put_byte(client.c.get(), value);
             need(client.cut(), "not cut for " + std::to_string(value));
         }
         const auto before = battle.shm.cuts();
         auto client = HostileClient::inside(battle.shm);
         client.settled().acknowledge();
         need(client.cut(), "not cut");
         need(battle.shm.comes_to("violation", before + 1), "it wasn't for the second ack");
     }},
    {"hello, ack, bells and bye in one breath, before the reply",
     [](Battle& battle) {
         at_both_doors(battle, [](Fortress& fortress) {
             HostileClient client(fortress);
             std::string breath(bytes_of(client.greeting));
             breath += static_cast<char>(byte_ack);
             if (client.greeting.transport == shm_ring)
                 breath += std::string(100, '\0') + static_cast<char>(byte_bye);
             else
                 breath += HostileClient::stream_frame({.kind = bye}, {});
             put_all(client.c.get(), breath);
             // Acknowledged unseen: the areas are sealed for good by now, and can't be mapped any more.
             need(take(client.c.get(), sizeof(Reply)).size() == sizeof(Reply), "no reply");
             need(client.cut(), "not cut");
         });
     }},
    {"half a connection: the client's direction is shut after the hello",
     [](Battle& battle) {
         at_both_doors(battle, [](Fortress& fortress) {
             for (const int how : {SHUT_WR, SHUT_RD, SHUT_RDWR}) {
                 HostileClient client(fortress);
                 client.say_hello();
                 ::shutdown(client.c.get(), how);
                 if (how != SHUT_RD) need(client.cut(), "not cut");
             }
         });
     }},
    {"1,000 visitors that come and go at every step",
     [](Battle& battle) {
         at_both_doors(battle, [](Fortress& fortress) {
             for (int i = 0; i < 500; ++i) {
                 HostileClient client(fortress);
                 if (i % 5 >= 1) put_all(client.c.get(), bytes_of(client.greeting).substr(0, i % 5 == 1 ? 100 : 256));
                 if (i % 5 >= 3 && client.take_reply() && i % 5 == 4) client.acknowledge();
             }
         });
     }},
    {"a crowd that is at the door at once is answered, each one",
     [](Battle& battle) {
         at_both_doors(battle, [](Fortress& fortress) {
             std::vector<HostileClient> crowd;
             for (int i = 0; i < 300; ++i) crowd.emplace_back(fortress);
             int told = 0;
             for (auto& one : crowd) told += one.take_reply() && one.reply.status == refused;
             need(told == 300, "only so many were told why: " + std::to_string(told));
         });
     }},
};

}  // namespace attacker
