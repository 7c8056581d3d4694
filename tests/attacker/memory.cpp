// SPDX-License-Identifier: BSL-1.0
// Moves with the memory itself: its size, its seals, its words, and its life after the sockets'.
#include <fcntl.h>
#include <functional>
#include <random>
#include <sys/mman.h>
#include <sys/stat.h>
#include <thread>

#include "attacker/hostile_client.hpp"

namespace attacker {

namespace {

constexpr u64 lane = 64 << 10;

struct Jot {
    u64 client = 0, sequence = 0;
};
constexpr u32 jot_id = 23;

bool refused_with(int expected, long result) { return result < 0 && errno == expected; }

bool can_write(int fd, std::size_t size) { return bool(Area(fd, size, PROT_READ | PROT_WRITE)); }

/// What anybody who holds an area's descriptor can't do to it, at any time.
void must_keep_its_size(const Fd& area, std::size_t size) {
    for (const std::size_t other : {std::size_t{0}, size - 4096, size + 4096, 2 * size})
        need(refused_with(EPERM, ::ftruncate(area.get(), static_cast<off_t>(other))), "it can be resized");
    need(::fallocate(area.get(), FALLOC_FL_COLLAPSE_RANGE, 0, 4096) < 0, "a range can be taken out");
    struct stat status {};
    need(::fstat(area.get(), &status) == 0 && status.st_size == static_cast<off_t>(size), "it was resized");
    need((status.st_mode & 0777) == 0600, "others may open it");
}

/// What nobody can do to memory that has one writer.
void must_have_one_writer(const Fd& area, std::size_t size) {
    need(!can_write(area.get(), size), "it can be mapped for writing");
    const Fd again(::open(("/proc/self/fd/" + std::to_string(area.get())).c_str(), O_RDWR | O_CLOEXEC));
    need(!again || !can_write(again.get(), size), "it can be mapped for writing once it is opened again");
    const Area readable(area.get(), size, PROT_READ);
    need(::mprotect(readable.data(), size, PROT_READ | PROT_WRITE) < 0, "a mapping can be made writable");
    need(refused_with(EPERM, ::pwrite(area.get(), "x", 1, 0)), "it can be written");
    need(refused_with(EPERM, ::fallocate(area.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096)),
         "holes can be punched");
    need(::madvise(readable.data(), 4096, MADV_REMOVE) < 0, "its pages can be removed");
    need(refused_with(EPERM, ::fcntl(area.get(), F_ADD_SEALS, F_SEAL_WRITE)), "it can be sealed further");
}

/// Sends what makes the service write, never showing other credit than this; until it is cut.
void must_be_cut_for_credit(Fortress& fortress, bool for_events, const std::function<u64(u64)>& credit) {
    const auto before = fortress.cuts();
    auto client = HostileClient::inside(fortress);
    client.settled();
    const u64 honest = client.responses.tail;
    for (int i = 0; i < 400 && !client.cut(0ms); ++i) {
        client.own.store(for_events ? of_client::events_credit : of_client::responses_credit,
                         credit(for_events ? 0 : honest));
        if (for_events)
            client.send({.kind = one_way, .id = wish_id}, bytes_of(Wish{.count = 10, .size = 4000}));
        else
            client.send({.kind = call, .id = echo_id, .correlation = 5}, std::string(4000, 'x'));
        // The service takes no further calls once answers wait; then it reads the credit again and again.
        for (int j = 0; j < 20 && client.requests.head - client.service.load(of_service::requests_credit) > lane / 2;
             ++j)
            std::this_thread::sleep_for(1ms);
        if (client.requests.head - client.service.load(of_service::requests_credit) > lane / 2) client.ring();
    }
    need(client.cut(), "not cut");
    need(fortress.comes_to("violation", before + 1), "not for a violation");
}

}  // namespace

const std::vector<Move> memory_moves = {
    {"the service's area resized, written, punched, remapped, opened again",
     [](Battle& battle) {
         HostileClient client(battle.shm);
         client.say_hello();
         need(client.take_reply() && client.reply.status == admitted, "refused");
         for (int acknowledged = 0; acknowledged < 2; ++acknowledged) {
             must_keep_its_size(client.descriptors[1], client.reply.service_area);
             must_have_one_writer(client.descriptors[1], client.reply.service_area);
             must_keep_its_size(client.descriptors[2], client.reply.client_area);
             if (acknowledged == 0) client.acknowledge(), client.settled();
         }
     }},
    {"the client's area punched before the ack, and whatever else after it",
     [](Battle& battle) {
         HostileClient client(battle.shm);
         client.say_hello();
         need(client.take_reply() && client.reply.status == admitted, "refused");
         const int area = client.descriptors[2].get();
         const auto size = static_cast<off_t>(client.reply.client_area);
         need(::fallocate(area, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size) == 0, "can't be punched");
         client.acknowledge();
         client.settled();
         must_have_one_writer(client.descriptors[2], client.reply.client_area);
     }},
    {"holes punched and pages removed in a race with the ack",
     [](Battle& battle) {
         for (int i = 0; i < 100; ++i) {
             HostileClient client(battle.shm);
             client.say_hello();
             need(client.take_reply() && client.reply.status == admitted, "refused");
             std::jthread punching([&](std::stop_token stop) {
                 while (!stop.stop_requested() &&
                        ::fallocate(client.descriptors[2].get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                                    static_cast<off_t>(client.reply.client_area)) == 0) {
                 }
             });
             client.acknowledge();
             for (int j = 0; j < 5; ++j) client.call_add();
         }
     }},
    {"an area whose seals the client has sealed before the service could",
     [](Battle& battle) {
         for (const int seals : {F_SEAL_SEAL, F_SEAL_SEAL | F_SEAL_FUTURE_WRITE}) {
             HostileClient client(battle.shm);
             client.say_hello();
             need(client.take_reply() && client.reply.status == admitted, "refused");
             need(::fcntl(client.descriptors[2].get(), F_ADD_SEALS, seals) == 0, "can't be sealed");
             client.acknowledge();
             if (seals == F_SEAL_SEAL)
                 need(client.cut(), "a session whose memory can be punched for good");
             else
                 client.settled();
         }
     }},
    {"credit for answers beyond what was sent, falling, between lines",
     [](Battle& battle) {
         must_be_cut_for_credit(battle.shm, false, [](u64) { return ~u64{0} - 63; });
         must_be_cut_for_credit(battle.shm, false, [](u64) { return u64{1} << 40; });
         must_be_cut_for_credit(battle.shm, false, [](u64 honest) { return honest + 1; });
         must_be_cut_for_credit(battle.shm, false, [](u64 honest) { return honest + 63; });
     }},
    {"credit for events beyond what was sent, falling, between lines",
     [](Battle& battle) {
         must_be_cut_for_credit(battle.shm, true, [](u64) { return ~u64{0} - 63; });
         must_be_cut_for_credit(battle.shm, true, [](u64) { return u64{1} << 40; });
         must_be_cut_for_credit(battle.shm, true, [](u64) { return u64{8}; });
     }},
    {"no credit at all: calls are taken until answers find no room, and each is answered once",
     [](Battle& battle) {
         auto client = HostileClient::inside(battle.shm);
         u32 sent = 0;
         const auto waiting = [&] { return client.requests.head - client.service.load(of_service::requests_credit); };
         for (int quiet = 0; quiet < 20 || (sent <= 60 && quiet < 4000);) {
             if (waiting() + 8192 < lane)
                 client.send({.kind = call, .id = echo_id, .correlation = ++sent}, std::string(1000, 'x')), quiet = 0;
             else
                 ++quiet, std::this_thread::sleep_for(5ms);
         }
         need(sent > 60, "too few were taken");
         for (u32 expected = 1; expected <= sent; ++expected) {
             const auto taken = client.next_answer();
             need(taken && taken->frame.correlation == expected, "an answer is missing, or came twice");
         }
         client.settled();
     }},
    {"words of random values, all of them, all the time",
     [](Battle& battle) {
         std::mt19937_64 random(815);
         for (int round = 0; round < 60; ++round) {
             auto client = HostileClient::inside(battle.shm);
             client.settled();
             for (int i = 0; i < 40; ++i) {
                 for (u64 at = 0; at < 4096; at += 8) {
                     const u64 value = random();
                     client.own.store(at, value % 3 == 0   ? value
                                          : value % 3 == 1 ? value % 8192 / 64 * 64
                                                           : value % 16);
                 }
                 client.send({.kind = call, .id = echo_id, .correlation = 5}, std::string(500, 'x'));
                 client.send({.kind = one_way, .id = wish_id}, bytes_of(Wish{.count = 20, .size = 900}));
             }
         }
     }},
    {"a client that is gone but keeps the mapping, and publishes on and on",
     [](Battle& battle) {
         for (int round = 0; round < 5; ++round) {
             auto client = HostileClient::inside(battle.shm);
             client.settled();
             std::jthread publishing([&](std::stop_token stop) {
                 while (!stop.stop_requested()) client.requests.put(client.own, {.kind = one_way, .id = clear_id}, {});
             });
             std::this_thread::sleep_for(5ms);
             ::shutdown(client.c.get(), SHUT_RDWR);
             need(battle.shm.comes_to("sessions", Fortress::friends), "its session stands");
         }
     }},
    {"what was published before a hang-up is taken, all of it, and nothing after it",
     [](Battle& battle) {
         for (int round = 0; round < 10; ++round) {
             const auto before = battle.shm.status()["jots"];
             auto client = HostileClient::inside(battle.shm);
             client.settled();
             u64 count = 0;
             const auto number = static_cast<u64>(1000 + battle.shm.status()["connects"]);
             while (client.requests.head + 256 < lane)
                 client.requests.put(client.own, {.size = sizeof(Jot), .kind = one_way, .id = jot_id},
                                     bytes_of(Jot{number, ++count}));
             client.c.close();
             need(battle.shm.comes_to("jots", before + static_cast<long long>(count)), "not what was published");
         }
     }},
    {"descriptors of a session that is over are kept, and used",
     [](Battle& battle) {
         for (int i = 0; i < 20; ++i) {
             auto client = HostileClient::inside(battle.shm);
             client.settled();
             if (i % 2 == 0)
                 client.c.close();  // E stays open
             else
                 client.e.close(), client.descriptors[0].close(), put_byte(client.c.get(), byte_bye);
             need(battle.shm.comes_to("sessions", Fortress::friends), "its session stands");
             put(client.e.get(), "more");
             for (u64 at = 0; at < 4096; at += 8) client.own.store(at, ~u64{0});
             need(client.service.load(of_service::requests_credit) != ~u64{0}, "");
         }
     }},
};

}  // namespace attacker
