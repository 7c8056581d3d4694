// SPDX-License-Identifier: BSL-1.0
// Moves of a service against the clients that it has let in.
#include <random>
#include <thread>

#include "attacker/hostile_service.hpp"

namespace attacker {

namespace {

const Frame begin{.kind = answer, .flags = row, .id = echo_id};
std::string size_bytes(u64 size, std::string_view more = {}) { return std::string(bytes_of(size)) + std::string(more); }

/// The client calls; `reply` is what the service makes of the call; gives what the client says.
template <class F>
std::string call_answered_by(HostileService& house, const std::string& command, F&& reply) {
    house.visitor.begin(command);
    const Taken request = house.next_request();
    reply(request.frame);
    return house.visitor.outcome();
}

/// The same in a new session, whose client must find a violation.
template <class F>
void must_be_found_out(Battle& battle, Visitor& visitor, const std::string& what, F&& reply,
                       const std::string& command = "call 20000") {
    HostileService house(battle, visitor);
    house.let_in();
    const auto said = call_answered_by(house, command, [&](const Frame& request) { reply(house, request); });
    need(said == broke, what + ": " + said);
    need(visitor.does("call 100").starts_with("failed: "), "a connection that was cut is used");
}

Frame answer_to(const Frame& request, u8 kind = answer) {
    return {.kind = kind, .id = request.id, .correlation = request.correlation};
}

void must_end_in_time(Visitor& visitor, const std::string& command, std::chrono::milliseconds limit,
                      const std::string& expected) {
    const auto start = std::chrono::steady_clock::now();
    const auto said = visitor.does(command + ' ' + std::to_string(limit.count()));
    need(said.starts_with(expected), command + ": " + said);
    need(std::chrono::steady_clock::now() - start < limit + 10s, "too late: " + command);
}

}  // namespace

const std::vector<Move> service_moves = {
    {"answers to calls that were never made",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             // Those before it count as late.
             for (const u32 off : {u32{1}, u32{1000}, (u32{1} << 31) - 1})
                 must_be_found_out(battle, visitor, "off by " + std::to_string(off),
                                   [&](auto& house, const Frame& request) {
                                       auto frame = answer_to(request);
                                       frame.correlation += off;
                                       house.send(frame, std::string(8, '\0'));
                                   });
         });
     }},
    {"an answer that comes twice, or late, is nobody else's",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             HostileService house(battle, visitor);
             house.let_in();
             Frame late;
             need(call_answered_by(house, "call 30", [&](const Frame& request) { late = request; }) ==
                      "failed: the deadline passed",
                  "no deadline");
             // The late answer first: it must not be taken for the second call's.
             const auto said = call_answered_by(house, "echo 3 20000", [&](const Frame& request) {
                 house.send(answer_to(late), std::string(8, '\0'));
                 house.send(answer_to(request), "xxx");
                 house.send(answer_to(request), "yyyy");
             });
             need(said == "ok", "the wrong answer: " + said);
         });
     }},
    {"answers of each size that isn't the message's",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             HostileService house(battle, visitor);
             house.let_in();
             for (std::size_t size = 0; size < 40; ++size) {
                 if (size == 8) continue;
                 const auto said = call_answered_by(house, "call 20000", [&](const Frame& request) {
                     house.send(answer_to(request), std::string(size, 'x'));
                 });
                 need(said.starts_with("failed: the payload has another size"),
                      "size " + std::to_string(size) + ": " + said);
             }
         });
     }},
    {"frames of each other kind, flag and size in place of an answer",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             for (int kind = 0; kind < 255; kind += kind < 12 ? 1 : 81) {
                 if (kind == answer || kind == error || (visitor.shared_memory && kind == 0)) continue;
                 must_be_found_out(battle, visitor, "kind " + std::to_string(kind),
                                   [&](auto& house, const Frame& request) {
                                       auto frame = answer_to(request, static_cast<u8>(kind));
                                       frame.size = 8;
                                       if (visitor.shared_memory)
                                           house.answers.put(house.own, frame, "12345678"), house.ring();
                                       else
                                           put_all(house.c.get(), HostileClient::stream_frame(frame, "12345678"));
                                   });
             }
             for (const u8 flags : {u8{2}, u8{0x80}, u8{0xff}})
                 must_be_found_out(battle, visitor, "flags", [&](auto& house, const Frame& request) {
                     auto frame = answer_to(request);
                     frame.flags = flags;
                     house.send(frame, std::string(16, '\0'));
                 });
             for (const u64 size : {u64{0x10000} + 1, u64{0xff'ffff}, u64{0x0100'0000}, u64{0xffff'ffff}})
                 must_be_found_out(battle, visitor, "size", [&](auto& house, const Frame& request) {
                     auto frame = answer_to(request);
                     frame.size = size;
                     if (visitor.shared_memory)
                         house.answers.put_word(house.own, frame.first(), frame.second()), house.ring();
                     else
                         put_all(house.c.get(), HostileClient::stream_frame(frame, {}));
                 });
         });
     }},
    {"error answers that say success, too little, or too much",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             for (const std::size_t size : {0u, 1u, 7u, 8u, 9u, 64u}) {
                 HostileService house(battle, visitor);
                 house.let_in();
                 const auto said = call_answered_by(house, "call 20000", [&](const Frame& request) {
                     house.send(answer_to(request, error), std::string(size, '\0'));
                 });
                 need(said.starts_with("failed: "), "an error is taken for an answer");
             }
         });
     }},
    {"no answer, but bells, or answers that are late, without end: the deadline holds",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             for (const bool bells : {true, false}) {
                 if (bells && !visitor.shared_memory) continue;  // a stream has none
                 HostileService house(battle, visitor);
                 house.let_in();
                 must_end_in_time(visitor, "call", 10ms, "failed: the deadline passed");  // which is late from now on
                 const Frame late = answer_to(house.next_request().frame);
                 std::jthread flooding([&](std::stop_token stop) {
                     while (!stop.stop_requested()) {
                         if (bells) {
                             put(house.c.get(), std::string(512, '\0'));
                             put(house.e.get(), std::string(512, '\0'));
                         } else if (visitor.shared_memory) {
                             const u64 taken = house.theirs.load(of_client::responses_credit);
                             if (house.answers.head - taken < house.reply.lane / 2) house.send(late, "12345678");
                         } else {
                             auto frame = late;
                             frame.size = 8;
                             put_all_while(house.c.get(), HostileClient::stream_frame(frame, "12345678"), stop);
                         }
                     }
                 });
                 for (const auto* const command : {"call", "receive", "echo 1000"})
                     for (int i = 0; i < 3; ++i)
                         must_end_in_time(visitor, command, 100ms, "failed: the deadline passed");
                 // Nobody takes the requests: after some there is no room for more, and that is what is waited for.
                 for (int i = 0; i < 12; ++i)
                     must_end_in_time(visitor, "echo 15000", 30ms, "failed: the deadline passed");
             }
         });
     }},
    {"rows that announce up to 2^64-1 bytes, grow past what they announce, or never end",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             const long before = kib_of(visitor.pid(), "VmPeak:");
             for (const u64 size : {u64{1 << 20} + 1, (u64{1} << 32) - 1, u64{1} << 63, ~u64{0}})
                 must_be_found_out(
                     battle, visitor, "announced " + std::to_string(size),
                     [&](auto& house, const Frame& request) {
                         auto frame = begin;
                         frame.correlation = request.correlation;
                         house.send(frame, size_bytes(size, "abc"));
                     },
                     "echo 3 20000");
             if (battle.release) need(kib_of(visitor.pid(), "VmPeak:") - before < 8 << 10, "that cost memory");
             must_be_found_out(
                 battle, visitor, "more than announced",
                 [&](auto& house, const Frame& request) {
                     auto frame = begin;
                     frame.correlation = request.correlation;
                     house.send(frame, size_bytes(4, "abc"));
                     frame.kind = piece, frame.flags = 0;
                     house.send(frame, "def");
                 },
                 "echo 3 20000");
             must_be_found_out(
                 battle, visitor, "another answer inside a row",
                 [&](auto& house, const Frame& request) {
                     auto frame = begin;
                     frame.correlation = request.correlation;
                     house.send(frame, size_bytes(4, "abc"));
                     house.send(answer_to(request), "abcd");
                 },
                 "echo 3 20000");
             HostileService house(battle, visitor);
             house.let_in();
             const auto said = call_answered_by(house, "echo 3 100", [&](const Frame& request) {
                 auto frame = begin;
                 frame.correlation = request.correlation;
                 house.send(frame, size_bytes(1 << 20, "abc"));
             });
             need(said == "failed: the deadline passed", "no deadline: " + said);
         });
     }},
    {"events that aren't",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             for (const u8 kind : {call, one_way, answer, error, piece, abandon, cancel}) {
                 HostileService house(battle, visitor);
                 house.let_in();
                 visitor.begin("receive 20000");
                 house.send_as_event({.kind = kind, .id = tick_id, .correlation = 1}, std::string(8, '\0'));
                 const auto said = visitor.outcome();
                 need(said == broke, "kind " + std::to_string(kind) + ": " + said);
             }
             // Sizes, ids and numbers of events may be any: what no function takes is dropped.
             HostileService house(battle, visitor);
             house.let_in();
             for (u32 i = 0; i < 200; ++i) {
                 house.send(
                     {.kind = event, .service = static_cast<u16>(i % 3), .id = i % 4, .correlation = i * 77'777'777},
                     std::string(i % 30, 'x'));
                 must_end_in_time(visitor, "dispatch", 0ms, "");
             }
             house.send({.kind = event, .id = tick_id, .correlation = 9}, std::string(8, '\0'));
             visitor.does("receive 1000");
             need(visitor.does("standing") == "ok", "cut for events that mean nothing");
         });
     }},
    {"credit for requests beyond what was sent, falling, between lines, or none",
     [](Battle& battle) {
         for (const u64 credit : {~u64{0} - 63, u64{1} << 40, u64{1}, u64{63}}) {
             HostileService house(battle, battle.visitor);
             house.let_in();
             house.own.store(of_service::requests_credit, credit);
             std::string said = "ok";
             for (int i = 0; i < 40 && said != broke; ++i) said = battle.visitor.does("echo 15000 20");
             need(said == broke, "not found out: " + said);
         }
         HostileService house(battle, battle.visitor);
         house.let_in();
         for (int i = 0; i < 8; ++i) must_end_in_time(battle.visitor, "echo 15000", 20ms, "failed: ");
     }},
    {"flags forged to each value while clients call",
     [](Battle& battle) {
         HostileService house(battle, battle.visitor);
         house.let_in();
         std::jthread forging([&](std::stop_token stop) {
             for (u64 value = 0; !stop.stop_requested(); value = value * 6364136223846793005u + 1442695040888963407u)
                 for (const u64 word :
                      {of_service::requests_asleep, of_service::responses_want_room, of_service::events_want_room})
                     house.own.store(word, value);
         });
         std::jthread hearing([&](std::stop_token stop) {
             while (!stop.stop_requested()) {
                 if (const auto taken = house.requests.next(house.theirs)) {
                     house.own.store(of_service::requests_credit, house.requests.tail);
                     house.answers.put(house.own, {.size = 8, .kind = answer, .correlation = taken->frame.correlation},
                                       std::string(8, '\0'));
                     put_byte(house.c.get(), byte_bell);
                 }
                 char bells[512];
                 (void)!::recv(house.c.get(), bells, sizeof bells, MSG_DONTWAIT);
             }
         });
         for (int i = 0; i < 300; ++i) need(battle.visitor.does("call 20000") == "ok", "not answered");
     }},
    {"E shared with its maker, who makes it blocking, empties it and fills it (F1)",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             HostileService house(battle, visitor);
             house.let_in();
             const int twin = house.parts[0].get();  // the very description that the client has
             ::fcntl(twin, F_SETFL, 0);
             while (put(twin, std::string(4096, '\0')) > 0) {
             }
             std::jthread stealing([&](std::stop_token stop) {
                 while (!stop.stop_requested()) {
                     char bytes[512];
                     (void)!::recv(twin, bytes, sizeof bytes, MSG_DONTWAIT);
                     if (visitor.shared_memory) put_byte(house.e.get(), byte_bell);
                 }
             });
             for (int i = 0; i < 5; ++i) {
                 must_end_in_time(visitor, "receive", 50ms, "failed: ");
                 must_end_in_time(visitor, "call", 50ms, "failed: ");
                 visitor.does("dispatch");
             }
         });
     }},
    {"bytes on C and E that mean nothing",
     [](Battle& battle) {
         for (const int byte : {1, 3, 77, 255}) {
             for (const bool on_c : {true, false}) {
                 HostileService house(battle, battle.visitor);
                 house.let_in();
                 std::string said;
                 if (on_c) {
                     battle.visitor.begin("call 20000");
                     house.next_request();
                     put_byte(house.c.get(), static_cast<u8>(byte));
                     said = battle.visitor.outcome();
                 } else {
                     const auto quiet = battle.visitor.does("dispatch");
                     need(quiet.starts_with("ok "), "a new connection is ill: " + quiet);
                     put_byte(house.e.get(), static_cast<u8>(byte));
                     need(eventually([&] { return (said = battle.visitor.does("dispatch")) != quiet; }), "not heard");
                 }
                 need(said == broke, "byte " + std::to_string(byte) + ": " + said);
             }
         }
     }},
    {"bye, then answers; a hang-up in the middle of an answer; a hang-up of C alone and of E alone",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             for (int way = 0; way < 4; ++way) {
                 HostileService house(battle, visitor);
                 house.let_in();
                 visitor.begin("call 20000");
                 const auto request = house.next_request().frame;
                 auto frame = answer_to(request);
                 frame.size = 8;
                 const auto whole = HostileClient::stream_frame(frame, std::string(8, '\0'));
                 if (way == 0) {
                     if (visitor.shared_memory)
                         put_byte(house.c.get(), byte_bye);
                     else
                         put(house.c.get(), HostileClient::stream_frame({.kind = bye}, {}));
                 } else if (way == 1) {
                     if (!visitor.shared_memory) put(house.c.get(), std::string_view(whole).substr(0, 17));
                     house.c.close();
                 } else if (way == 2) {
                     house.parts[0].close();
                     house.e.close();
                     std::this_thread::sleep_for(20ms);
                     house.c.close();
                 } else {
                     ::shutdown(house.c.get(), SHUT_WR);
                 }
                 const auto said = visitor.outcome();
                 need(said == "failed: the peer is gone", "way " + std::to_string(way) + ": " + said);
                 need(visitor.does("receive 1000").starts_with("failed: "), "a dead connection is used");
             }
         });
     }},
    {"an answer that changes while it is read",
     [](Battle& battle) {
         HostileService house(battle, battle.visitor);
         house.let_in();
         std::atomic<bool> enough = false;
         std::jthread flipping([&] {
             for (char letter = 'a'; !enough; letter = letter == 'z' ? 'a' : static_cast<char>(letter + 1))
                 for (u64 at = 4096; at + 64 <= 4096 + house.reply.lane; at += 64)
                     std::memset(house.own.data() + at + 16, letter, 40);  // payloads alone
         });
         for (int i = 0; i < 200; ++i) {
             const auto said = call_answered_by(house, "echo 40 20000", [&](const Frame& request) {
                 house.send(answer_to(request), std::string(40, 'm'));
             });
             need(said == "ok", "no answer: " + said);
         }
         enough = true;
     }},
    {"answer lanes full of random bytes, and random words, while the client calls and receives",
     [](Battle& battle) {
         std::mt19937_64 random(99);
         for (int round = 0; round < 40; ++round) {
             HostileService house(battle, battle.visitor);
             house.let_in();
             battle.visitor.begin(round % 2 == 0 ? "call 150" : "receive 150");
             for (u64 at = round % 4 < 2 ? 4096 : 0; at < house.own.size(); at += 8) {
                 const u64 word = random();
                 const bool likely = at >= 4096 && at % 64 == 0 && word % 2 != 0;
                 house.own.store(at, likely ? Frame{.size = word >> 8 & 0x3ff,
                                                    .kind = static_cast<u8>(word >> 20 & 7),
                                                    .flags = static_cast<u8>(word >> 30 & 1)}
                                                  .first()
                                            : word);
             }
             house.ring();
             need(!battle.visitor.outcome().empty(), "");
             for (int i = 0; i < 3; ++i) battle.visitor.does("dispatch");
             must_end_in_time(battle.visitor, "call", 50ms, "failed: ");
         }
     }},
    {"streams of random bytes in place of answers and events",
     [](Battle& battle) {
         std::mt19937_64 random(7);
         for (int round = 0; round < 40; ++round) {
             HostileService house(battle, battle.stream_visitor);
             house.let_in();
             battle.stream_visitor.begin(round % 2 == 0 ? "call 150" : "receive 150");
             std::string noise(1 + random() % 10'000, '\0');
             for (auto& byte : noise) byte = static_cast<char>(random());
             put(house.c.get(), noise);
             put(house.e.get(), noise);
             need(battle.stream_visitor.outcome() != "ok", "noise is taken for an answer");
         }
     }},
    {"holes punched into the areas while they are used, 100,000 times: no signal",
     [](Battle& battle) {
         HostileService house(battle, battle.visitor);
         house.let_in();
         std::atomic<int> holes = 0;
         std::jthread punching([&](std::stop_token stop) {
             while (!stop.stop_requested()) {
                 for (const std::size_t which : {1u, 2u}) {
                     ::fallocate(house.parts[which].get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096,
                                 static_cast<off_t>(house.reply.lane));
                     (void)!::ftruncate(house.parts[which].get(), 0);
                     ++holes;
                 }
             }
         });
         while (holes < 100'000) {
             battle.visitor.does("echo 5000 1");
             battle.visitor.does("send");
             battle.visitor.does("dispatch");
             if (battle.visitor.does("standing") != "ok") break;
         }
     }},
    {"a service that takes nothing in and gives nothing out, while clients send and wait",
     [](Battle& battle) {
         for_each_visitor(battle, [&](Visitor& visitor) {
             HostileService house(battle, visitor);
             house.let_in();
             for (int i = 0; i < 20; ++i) must_end_in_time(visitor, "echo 900000", 10ms, "failed: ");
             for (int i = 0; i < 100; ++i) need(!visitor.does("send").empty(), "blocked");
             must_end_in_time(visitor, "receive", 10ms, "failed: the deadline passed");
         });
     }},
};

}  // namespace attacker
