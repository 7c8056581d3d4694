// SPDX-License-Identifier: BSL-1.0
// Moves that send a service descriptors, which it never asked for, in every step.
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <thread>
#include <vector>

#include "attacker/hostile_client.hpp"

namespace attacker {

namespace {

constexpr std::size_t counts[] = {1, 2, 16, 253};

std::vector<int> copies(int fd, std::size_t count) { return std::vector<int>(count, fd); }

}  // namespace

const std::vector<Move> descriptor_moves = {
    {"a hello with 1, 2, 16 and 253 descriptors",
     [](Battle& battle) {
         for (Fortress* fortress : {&battle.shm, &battle.stream}) {
             for (const auto count : counts) {
                 const auto before = fortress->descriptors_at_rest();
                 HostileClient client(*fortress);
                 need(put_with(client.c.get(), bytes_of(client.greeting), copies(client.c.get(), count)) == 256,
                      "can't be sent");
                 need(client.take_reply() && client.reply.status == admitted, "refused");
                 client.acknowledge();
                 client.settled();
                 need(fortress->comes_to("fds", before + fortress->each()), "descriptors were taken");
             }
         }
     }},
    {"a descriptor with every single byte of the hello",
     [](Battle& battle) {
         for (Fortress* fortress : {&battle.shm, &battle.stream}) {
             const auto before = fortress->descriptors_at_rest();
             HostileClient client(*fortress);
             const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
             const auto hello = bytes_of(client.greeting);
             for (std::size_t i = 0; i < hello.size(); ++i)
                 need(put_with(client.c.get(), hello.substr(i, 1), copies(null.get(), 1)) == 1, "can't be sent");
             need(client.take_reply() && client.reply.status == admitted, "refused");
             client.acknowledge();
             client.settled();
             need(fortress->comes_to("fds", before + fortress->each()), "descriptors were taken");
         }
     }},
    {"an ack with 253 descriptors, one control message or many",
     [](Battle& battle) {
         for (const bool one_by_one : {false, true}) {
             const auto before = battle.shm.descriptors_at_rest();
             HostileClient client(battle.shm);
             client.say_hello();
             need(client.take_reply(), "no reply");
             const char ack = byte_ack;
             put_with(client.c.get(), {&ack, 1}, copies(client.c.get(), one_by_one ? 16 : 253), one_by_one);
             client.settled();
             need(battle.shm.comes_to("fds", before + battle.shm.each()), "descriptors were taken");
         }
     }},
    {"10,000 bells with descriptors of every sort",
     [](Battle& battle) {
         auto client = HostileClient::inside(battle.shm);
         client.settled();
         const auto before = battle.shm.status()["fds"];
         const Fd zero(::open("/dev/zero", O_RDWR | O_CLOEXEC)), epoll(::epoll_create1(EPOLL_CLOEXEC)),
             me(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
         const int sorts[] = {zero.get(), epoll.get(), me.get(), client.c.get(), client.e.get(), 0};
         const char bells[4] = {};
         for (std::size_t i = 0; i < 10'000; ++i) {
             const auto some = copies(sorts[i % 6], i % 7 == 0 ? 16 : i % 3);
             const auto sent = put_with(client.c.get(), {bells, i % 4 + 1}, some);
             if (sent < 0) std::this_thread::yield();
             if (i % 1000 == 0) need(battle.shm.status()["fds"] == before, "descriptors were taken");
         }
         client.settled();
         need(battle.shm.comes_to("fds", before), "descriptors were taken");
     }},
    {"sockets that are in flight inside each other",
     [](Battle& battle) {
         for (int i = 0; i < 50; ++i) {
             auto client = HostileClient::inside(battle.shm);
             const char bell = byte_bell;
             // Each end of the session on its way through the other, and through itself.
             put_with(client.c.get(), {&bell, 1}, copies(client.e.get(), 1));
             put_with(client.e.get(), {&bell, 1}, copies(client.c.get(), 1));
             put_with(client.e.get(), {&bell, 1}, copies(client.e.get(), 1));
             put_with(client.c.get(), {&bell, 1}, copies(client.c.get(), 1));
         }
     }},
    {"frames on a stream with descriptors in their middle",
     [](Battle& battle) {
         auto client = HostileClient::inside(battle.stream);
         client.settled();
         const auto before = battle.stream.status()["fds"];
         for (int i = 0; i < 200; ++i) {
             const auto bytes = HostileClient::stream_frame(
                 {.size = sizeof(Add), .kind = call, .id = add_id, .correlation = ++client.correlation},
                 bytes_of(Add{}));
             put_with(client.c.get(), std::string_view(bytes).substr(0, 7), copies(client.e.get(), 16));
             put_with(client.c.get(), std::string_view(bytes).substr(7), copies(client.e.get(), 253));
             need(client.answered(client.correlation).has_value(), "not answered");
         }
         need(battle.stream.comes_to("fds", before), "descriptors were taken");
     }},
};

}  // namespace attacker
