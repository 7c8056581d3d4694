// SPDX-License-Identifier: BSL-1.0
// Moves of a service against those who come to it: false memory, false descriptors, false replies.
#include <functional>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <thread>

#include "attacker/hostile_service.hpp"

namespace attacker {

namespace {

/// A session that the client must not enter. `spoil` changes what it is handed.
void must_refuse(Battle& battle, Visitor& visitor, const std::string& what,
                 const std::function<void(HostileService&)>& spoil, const std::string& why = broke) {
    HostileService house(battle, visitor);
    house.open_the_door();
    house.prepare();
    spoil(house);
    house.hand_over();
    const auto said = visitor.outcome();
    need(said.starts_with(why), what + ": " + said);
}

/// Whatever comes of it: it must come in time.
void must_end_in_time(Visitor& visitor, const std::string& command, std::chrono::milliseconds limit) {
    const auto start = std::chrono::steady_clock::now();
    visitor.does(command + ' ' + std::to_string(limit.count()));
    need(std::chrono::steady_clock::now() - start < limit + 10s, "too late: " + command);
}

struct Lie {
    const char* what;
    void (*tell)(Reply&);
};
const Lie lies[] = {
    {"a lane of 0 bytes", [](Reply& r) { r.lane = 0; }},
    {"a lane of 96 KiB", [](Reply& r) { r.lane = 96 << 10; }},
    {"a lane of 32 KiB", [](Reply& r) { r.lane = 32 << 10; }},
    {"a lane of 128 MiB", [](Reply& r) { r.lane = 128 << 20; }},
    {"a lane of 2^63 bytes", [](Reply& r) { r.lane = u64{1} << 63; }},
    {"a lane of 2^64-1 bytes", [](Reply& r) { r.lane = ~u64{0}; }},
    {"a frame as large as the lane", [](Reply& r) { r.frame = r.lane; }},
    {"a frame of 0 bytes", [](Reply& r) { r.frame = 0; }},
    {"a service's area of 0 bytes", [](Reply& r) { r.service_area = 0; }},
    {"a service's area one page larger", [](Reply& r) { r.service_area += 4096; }},
    {"a client's area one page smaller", [](Reply& r) { r.client_area -= 4096; }},
    {"a client's area of 2^64-1 bytes", [](Reply& r) { r.client_area = ~u64{0}; }},
    {"requests elsewhere", [](Reply& r) { r.requests = 8192; }},
    {"responses on the page of words", [](Reply& r) { r.responses = 0; }},
    {"events where the responses are", [](Reply& r) { r.events = r.responses; }},
    {"events beyond the area", [](Reply& r) { r.events = u64{1} << 40; }},
    {"features that nobody has", [](Reply& r) { r.features = u64{1} << 63; }},
    {"status 0", [](Reply& r) { r.status = 0; }},
    {"status 4", [](Reply& r) { r.status = 4; }},
    {"status 255", [](Reply& r) { r.status = 255; }},
    {"another magic", [](Reply& r) { r.magic[7] = 'H'; }},
    {"more descriptors than came", [](Reply& r) { r.descriptors += 1; }},
    {"2^32-1 descriptors", [](Reply& r) { r.descriptors = ~u32{0}; }},
    {"fewer descriptors than came", [](Reply& r) { r.descriptors = 0; }},
    {"another version", [](Reply& r) { r.version = 2; }},
    {"another transport", [](Reply& r) { r.transport ^= 3; }},
};

}  // namespace

const std::vector<Move> greeting_moves = {
    {"a service that offers areas with each incomplete set of seals",
     [](Battle& battle) {
         const int all[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE, F_SEAL_SEAL};
         for (int set = 0; set < 15; ++set)
             must_refuse(battle, battle.visitor, "service's area, set " + std::to_string(set), [&](auto& house) {
                 house.parts[1] = memory_of(house.reply.service_area);
                 for (int i = 0; i < 4; ++i)
                     if ((set >> i & 1) != 0) ::fcntl(house.parts[1].get(), F_ADD_SEALS, all[i]);
             });
         for (const int seals : {0, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE})
             must_refuse(battle, battle.visitor, "client's area, seals " + std::to_string(seals), [&](auto& house) {
                 house.parts[2] = memory_of(house.reply.client_area);
                 ::fcntl(house.parts[2].get(), F_ADD_SEALS, seals);
             });
         // All seals that are asked for, and one that keeps the client from writing: refused by the kernel's word.
         must_refuse(
             battle, battle.visitor, "a client's area that can't be written",
             [&](auto& house) {
                 house.theirs = Area();  // a mapping through a descriptor that could write stands in the way
                 need(::fcntl(house.parts[2].get(), F_ADD_SEALS, F_SEAL_WRITE) == 0, "can't be sealed");
             },
             "failed: ");
     }},
    {"a service that offers huge pages, which take the same seals",
     [](Battle& battle) {
         const std::size_t huge = std::size_t{2} << 20;
         for (const std::size_t which : {1u, 2u})
             must_refuse(battle, battle.visitor, "huge pages", [&](auto& house) {
                 // A size that a lane of huge pages could have; the client is told the truth about it.
                 Fd pages = memory_of(2 * huge, MFD_HUGETLB);
                 if (!pages) {
                     battle.remarks.push_back("no huge pages here: offered without");
                     pages = memory_of(4096);
                 }
                 (which == 1 ? house.reply.service_area : house.reply.client_area) = 2 * huge;
                 ::fcntl(pages.get(), F_ADD_SEALS, which == 1 ? service_seals : client_seals);
                 house.parts[which] = std::move(pages);
             });
     }},
    {"a service that offers areas a page too small, a page too large, empty, enormous",
     [](Battle& battle) {
         for (const std::size_t which : {1u, 2u})
             for (const long off : {-4096L, 4096L, -1L, 1L, -100'000'000L, 1L << 40})
                 must_refuse(battle, battle.visitor, "size off by " + std::to_string(off), [&](auto& house) {
                     const auto right =
                         static_cast<long>(which == 1 ? house.reply.service_area : house.reply.client_area);
                     house.parts[which] = memory_of(static_cast<std::size_t>(std::max(0L, right + off)));
                     ::fcntl(house.parts[which].get(), F_ADD_SEALS, which == 1 ? service_seals : client_seals);
                 });
     }},
    {"a service that offers files, devices, pipes and directories for areas",
     [](Battle& battle) {
         int pipe[2];
         need(::pipe2(pipe, O_CLOEXEC) == 0, "no pipe");
         const Fd in(pipe[0]), out(pipe[1]);
         Fd sorts[] = {Fd(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)),
                       Fd(::open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)),
                       Fd(::open("/dev/zero", O_RDWR | O_CLOEXEC)),
                       Fd(::open("/dev/null", O_RDWR | O_CLOEXEC)),
                       Fd(::open("/proc/self/mem", O_RDWR | O_CLOEXEC)),
                       Fd(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
                       Fd(::epoll_create1(EPOLL_CLOEXEC)),
                       Fd(::eventfd(0, EFD_CLOEXEC)),
                       in.twin(),
                       Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))};
         for (auto& sort : sorts) {
             if (!sort) continue;
             for (const std::size_t which : {1u, 2u})
                 must_refuse(battle, battle.visitor, "another sort of descriptor", [&](auto& house) {
                     (void)!::ftruncate(sort.get(), static_cast<off_t>(which == 1 ? house.reply.service_area
                                                                                  : house.reply.client_area));
                     house.parts[which] = sort.twin();
                 });
         }
         // An area that the client may only read, by another descriptor of the very memory.
         must_refuse(
             battle, battle.visitor, "a client's area opened for reading",
             [&](auto& house) {
                 const auto path = "/proc/self/fd/" + std::to_string(house.parts[2].get());
                 house.parts[2] = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
             },
             "failed: ");
         // One memory for both.
         must_refuse(battle, battle.visitor, "the client's area twice",
                     [](auto& house) { house.parts[1] = house.parts[2].twin(); });
     }},
    {"a service that offers something else than a socket for E",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             int pipe[2];
             need(::pipe2(pipe, O_CLOEXEC | O_NONBLOCK) == 0, "no pipe");
             const Fd in(pipe[0]), out(pipe[1]);
             int packets[2];
             need(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, packets) == 0, "no pair");
             const Fd one(packets[0]), other(packets[1]);
             const Fd sorts[] = {memory_of(4096),
                                 Fd(::open("/dev/zero", O_RDWR | O_CLOEXEC)),
                                 Fd(::eventfd(1, EFD_CLOEXEC)),
                                 Fd(::epoll_create1(EPOLL_CLOEXEC)),
                                 in.twin(),
                                 out.twin(),
                                 one.twin(),
                                 listen_at("e-" + battle.run + std::to_string(visitor.shared_memory)),
                                 Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))};
             for (const auto& sort : sorts) {
                 HostileService house(battle, visitor);
                 house.open_the_door(2s);
                 house.prepare();
                 house.parts[0] = sort.twin();
                 house.hand_over();
                 if (visitor.outcome() == "connected") {
                     must_end_in_time(visitor, "receive", 100ms);
                     must_end_in_time(visitor, "call", 100ms);
                     visitor.does("dispatch");
                     must_end_in_time(visitor, "receive", 100ms);
                 }
             }
         });
     }},
    {"a service that sends too few descriptors, and too many: none is kept",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             const std::size_t right = visitor.shared_memory ? 3 : 1;
             for (const std::size_t count : {std::size_t{0}, right - 1, right + 1, std::size_t{16}, std::size_t{253}}) {
                 must_refuse(
                     battle, visitor, std::to_string(count) + " descriptors",
                     [&](auto& house) {
                         while (house.parts.size() > count) house.parts.pop_back();
                         while (house.parts.size() < count) house.parts.push_back(house.door.twin());
                     },
                     count < right ? "failed: the descriptors did not arrive" : broke);
                 need(eventually([&] { return descriptors_of(visitor.pid()) < 30; }), "descriptors are kept");
             }
         });
     }},
    {"a service that sends 10 descriptors with each byte of its reply",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             HostileService house(battle, visitor);
             house.open_the_door();
             house.prepare();
             const std::vector<int> ten(10, house.door.get());
             const auto bytes = bytes_of(house.reply);
             for (std::size_t i = 0; i < bytes.size(); ++i) {
                 while (put_with(house.c.get(), bytes.substr(i, 1), ten) < 0 && errno == EAGAIN)
                     std::this_thread::sleep_for(1ms);
             }
             need(visitor.outcome() == broke, "not refused");
         });
     }},
    {"a service's descriptors for a client that has no room for them",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             rlimit before{};
             need(::prlimit(visitor.pid(), RLIMIT_NOFILE, nullptr, &before) == 0, "no limit");
             // One for the socket that connects; of what comes along only a part has room.
             for (unsigned room = 1; room < 4; ++room) {
                 HostileService house(battle, visitor);
                 house.open_the_door();
                 house.prepare();
                 if (!visitor.shared_memory) house.parts.push_back(house.door.twin());
                 const rlimit tight{limit_with_room(visitor.pid(), room - 1), before.rlim_max};
                 need(::prlimit(visitor.pid(), RLIMIT_NOFILE, &tight, nullptr) == 0, "can't limit");
                 house.hand_over();
                 const auto said = visitor.outcome();
                 need(::prlimit(visitor.pid(), RLIMIT_NOFILE, &before, nullptr) == 0, "can't unlimit");
                 need(said.starts_with("failed: "), "taken with room for " + std::to_string(room - 1) + ": " + said);
             }
         });
     }},
    {"a service that lies about each thing in its reply",
     [](Battle& battle) {
         for (const Lie& lie : lies)
             must_refuse(
                 battle, battle.visitor, lie.what, [&](auto& house) { lie.tell(house.reply); }, "failed: ");
         for (const Lie& lie : lies) {
             if (std::string(lie.what).find("lane") != std::string::npos) continue;  // a stream has none
             HostileService house(battle, battle.stream_visitor);
             house.open_the_door();
             house.prepare();
             lie.tell(house.reply);
             house.hand_over();
             if (battle.stream_visitor.outcome() == "connected")  // what a stream doesn't have isn't looked at
                 must_end_in_time(battle.stream_visitor, "call", 50ms);
         }
     }},
    {"a service that hangs up after each byte of its reply",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             for (std::size_t bytes = 0; bytes < 256; bytes += bytes < 20 ? 1 : 47) {
                 HostileService house(battle, visitor);
                 house.open_the_door();
                 put_all(house.c.get(), bytes_of(house.reply).substr(0, bytes));
                 house.c.close();
                 house.door.close();
                 need(visitor.outcome() == "failed: the peer is gone", "not told at once");
             }
         });
     }},
    {"a service that never ends its reply, whose descriptors came with its first byte",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             HostileService house(battle, visitor);
             const auto start = std::chrono::steady_clock::now();
             house.open_the_door(300ms);
             house.prepare();
             put_with(house.c.get(), bytes_of(house.reply).substr(0, 1), std::vector<int>(16, house.door.get()));
             for (std::size_t i = 1; i < 200 && put(house.c.get(), bytes_of(house.reply).substr(i, 1)) == 1; ++i)
                 std::this_thread::sleep_for(5ms);
             need(visitor.outcome() == "failed: the deadline passed", "not at the deadline");
             need(std::chrono::steady_clock::now() - start < 15s, "long after the deadline");
         });
     }},
    {"a service that says for ever that it is busy, or has moved",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             for (const u8 status : {moved, refused}) {
                 HostileService house(battle, visitor);
                 house.reply.status = status;
                 house.reply.domain = 3;
                 house.reply.value = 18;  // busy
                 const auto start = std::chrono::steady_clock::now();
                 visitor.begin("connect " + house.name + " 400");
                 std::jthread answering([&](std::stop_token stop) {
                     while (!stop.stop_requested()) {
                         if (!readable(house.door.get(), 10ms)) continue;
                         const Fd one(::accept4(house.door.get(), nullptr, nullptr, SOCK_CLOEXEC));
                         take(one.get(), 256, nullptr, 1s);
                         put(one.get(), bytes_of(house.reply));
                     }
                 });
                 need(visitor.outcome().starts_with("failed: "), "not refused");
                 need(std::chrono::steady_clock::now() - start < 20s, "long after the deadline");
             }
         });
     }},
    {"refusals with reasons that no refusal has",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             for (const u32 domain : {u32{0}, u32{1}, u32{2}, u32{3}, u32{4}, u32{5}, u32{6}, ~u32{0}})
                 for (const std::int32_t value : {0, -1, 1, 9999, std::numeric_limits<std::int32_t>::min()}) {
                     if (domain == 3 && value == 18) continue;
                     HostileService house(battle, visitor);
                     house.open_the_door();
                     house.reply.status = refused;
                     house.reply.domain = domain;
                     house.reply.value = value;
                     put(house.c.get(), bytes_of(house.reply));
                     house.c.close();
                     need(visitor.outcome().starts_with("failed: "), "a refusal is taken for a yes");
                 }
         });
     }},
};

}  // namespace attacker
