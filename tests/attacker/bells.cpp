// SPDX-License-Identifier: BSL-1.0
// Moves with the bytes on a session's sockets, and with the flags that say which bell is to be rung.
#include <atomic>
#include <thread>

#include "attacker/hostile_client.hpp"

namespace attacker {

namespace {

/// Does it again and again beside `f`.
template <class Again, class F>
void meanwhile(Again&& again, F&& f) {
    std::jthread beside([&](std::stop_token stop) {
        while (!stop.stop_requested()) again();
    });
    f();
}

}  // namespace

const std::vector<Move> bell_moves = {
    {"each byte that means nothing, on C",
     [](Battle& battle) {
         const auto before = battle.shm.cuts();
         for (const int byte : {1, 3, 4, 5, 77, 127, 128, 254, 255}) {
             auto client = HostileClient::inside(battle.shm);
             client.settled();
             put_byte(client.c.get(), static_cast<u8>(byte));
             need(client.cut(), "not cut for " + std::to_string(byte));
         }
         need(battle.shm.comes_to("violation", before + 9), "not all of them were violations");
     }},
    {"bells at full rate on C and on E",
     [](Battle& battle) {
         auto client = HostileClient::inside(battle.shm);
         client.settled();
         const std::string bells(4096, '\0');
         const auto flood = [&] {
             put(client.c.get(), bells);
             put(client.e.get(), bells);
         };
         meanwhile(flood, [&] { std::this_thread::sleep_for(500ms); });
         client.settled();  // noise isn't a crime
         need(!readable(client.c.get(), 0ms) || !client.cut(0ms), "cut");
         // Once it has heard the last of it, the service sleeps.
         const auto quiet = battle.shm.status()["requests"];
         need(eventually([&] { return battle.shm.status()["requests"] > quiet; }), "the honest ones are not heard");
     }},
    {"a client that never reads its bells, whatever it is rung for",
     [](Battle& battle) {
         auto client = HostileClient::inside(battle.shm);
         client.settled();
         // A new generation for each answer and event: one byte each, until the sockets take no more.
         for (u64 generation = 1; generation < 3'000; ++generation) {
             client.own.store(of_client::responses_asleep, generation << 2 | (generation % 2 + 1));
             client.own.store(of_client::events_asleep, generation << 2 | 2);
             client.send({.kind = one_way, .id = wish_id}, bytes_of(Wish{.count = 1}));
             const u32 number = client.call_add();
             std::optional<Taken> taken;
             do {
                 taken = client.responses.next(client.service);
                 client.own.store(of_client::responses_credit, client.responses.tail);
             } while (!taken || taken->frame.correlation != number);
             while (client.events.next(client.service)) client.own.store(of_client::events_credit, client.events.tail);
         }
     }},
    {"E is closed while events are wished for: no signal, and only that session ends",
     [](Battle& battle) {
         for (int i = 0; i < 20; ++i) {
             auto client = HostileClient::inside(battle.shm);
             client.settled();
             client.descriptors[0].close();
             client.e.close();
             client.own.store(of_client::events_asleep, 1 << 2 | 2);
             client.send({.kind = one_way, .id = wish_id}, bytes_of(Wish{.count = 1}));
             need(client.cut(), "not cut");
         }
     }},
    {"C is shut for reading while answers are rung for",
     [](Battle& battle) {
         for (int i = 0; i < 20; ++i) {
             auto client = HostileClient::inside(battle.shm);
             client.settled();
             ::shutdown(client.c.get(), SHUT_RD);
             client.own.store(of_client::responses_asleep, 1 << 2 | 1);
             client.call_add();
             client.own.store(of_client::responses_asleep, 2 << 2 | 1);
             client.call_add();
             need(battle.shm.comes_to("sessions", Fortress::friends), "the session stands");
         }
     }},
    {"bye, and then more bytes, bells and frames",
     [](Battle& battle) {
         const auto before = battle.shm.status()["bye"];
         for (int i = 0; i < 20; ++i) {
             auto client = HostileClient::inside(battle.shm);
             client.settled();
             const std::string bytes = {byte_bell, byte_bye, 77, 77, byte_bell, byte_ack};
             put(client.c.get(), bytes);
             client.call_add();
             need(client.cut(), "not cut");
         }
         need(battle.shm.comes_to("bye", before + 20), "it was a bye");
     }},
    {"flags forged to each value, faster than they can be looked at",
     [](Battle& battle) {
         auto client = HostileClient::inside(battle.shm);
         client.settled();
         u64 value = 0;
         const auto forge = [&] {
             for (const u64 word :
                  {of_client::responses_asleep, of_client::events_asleep, of_client::requests_want_room})
                 client.own.store(word, value);
             value = value * 6364136223846793005u + 1442695040888963407u;
         };
         meanwhile(forge, [&] {
             const auto end = std::chrono::steady_clock::now() + 700ms;
             while (std::chrono::steady_clock::now() < end) {
                 client.settled();
                 client.send({.kind = one_way, .id = wish_id}, bytes_of(Wish{.count = 1}));
                 while (client.events.next(client.service))
                     client.own.store(of_client::events_credit, client.events.tail);
             }
         });
     }},
    {"a flag for each bell there is and isn't, with calls that nobody announces",
     [](Battle& battle) {
         for (const u64 flag : {u64{0}, u64{1}, u64{2}, u64{3}, u64{4}, u64{7}, ~u64{0}, ~u64{0} - 1, u64{1} << 63}) {
             auto client = HostileClient::inside(battle.shm);
             client.settled();
             client.own.store(of_client::responses_asleep, flag);
             client.own.store(of_client::requests_want_room, flag);
             client.requests.put(client.own, {.size = sizeof(Add), .kind = call, .id = add_id, .correlation = 7},
                                 bytes_of(Add{}));
             client.ring();
             need(client.answered(7).has_value(), "not answered");
         }
     }},
    {"a service's socket that the client makes blocking blocks nobody (F1)",
     [](Battle& battle) {
         auto client = HostileClient::inside(battle.shm);
         client.settled();
         // E's description is the client's own end; what can be shared is its end of C: full, blocking, never read.
         ::fcntl(client.c.get(), F_SETFL, 0);
         ::fcntl(client.e.get(), F_SETFL, 0);
         int least = 1;
         ::setsockopt(client.c.get(), SOL_SOCKET, SO_RCVBUF, &least, sizeof least);
         ::setsockopt(client.e.get(), SOL_SOCKET, SO_RCVBUF, &least, sizeof least);
         while (put(client.c.get(), std::string(4096, '\0')) > 0) {
         }
         for (u64 generation = 1; generation < 2'000; ++generation) {
             client.own.store(of_client::responses_asleep, generation << 2 | 1);
             client.own.store(of_client::events_asleep, generation << 2 | 2);
             const u32 number = client.call_add();
             while (auto taken = client.next_answer(10s))
                 if (taken->frame.correlation == number) break;
         }
     }},
};

}  // namespace attacker
