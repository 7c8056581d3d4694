// SPDX-License-Identifier: BSL-1.0
// Moves that only look: at bytes that aren't theirs to see; and at what a service says of events that it dropped.
#include <algorithm>
#include <thread>

#include "attacker/hostile_client.hpp"

namespace attacker {

namespace {

void must_be_zero(const Area& area, const std::string& what) {
    need(std::all_of(area.data(), area.data() + area.size(), [](char byte) { return byte == 0; }),
         "not all zero: " + what);
}

/// The victims' heap is full of it, and so are the gaps of the answers. This process' id, which some answers give, may
/// look like it.
void must_be_clean(std::string_view given, const std::string& what) {
    const pid_t own_pid = ::getpid();
    const std::string_view harmless = bytes_of(own_pid);
    std::string bytes(given);
    for (std::size_t at = 0; (at = bytes.find(harmless, at)) != bytes.npos;)
        bytes.replace(at, harmless.size(), 4, '\0');
    const auto at = bytes.find(static_cast<char>(poison));
    need(at == bytes.npos, "poison at " + std::to_string(at) + " of " + what);
}

void must_be_clean(const Reply& reply) {
    must_be_clean(bytes_of(reply), "a reply");
    need(reply.zero == 0 && std::all_of(std::begin(reply.rest), std::end(reply.rest), [](u8 b) { return b == 0; }),
         "a reply's zeros aren't");
}

/// Everything there is to ask for, errors included. Nothing that is sent has a byte of poison.
void ask_for_everything(HostileClient& client, int rounds) {
    const auto ask = [&](u32 id, std::string_view payload) {
        if (++client.correlation % 256 >= 0x80) client.correlation += 0x80;  // no 0xa5 in it
        client.send({.kind = call, .id = id, .correlation = client.correlation}, payload);
        const auto taken = client.answered(client.correlation);
        need(taken.has_value(), "not answered");
        must_be_clean(taken->payload, "an answer to " + std::to_string(id));
    };
    for (int i = 0; i < rounds; ++i) {
        ask(add_id, bytes_of(Add{}));
        ask(gaps_id, std::string(24, '\1'));
        ask(who_id, {});
        ask(throw_id, {});
        ask(unheard_id, "x");
        ask(add_id, "x");
        ask(echo_id, std::string(static_cast<std::size_t>(i % 40 * 7), 'x'));
        ask(6, {});  // which a policy guards
        if (i % 50 == 0) ask(echo_id, std::string(15'000, 'x'));
    }
}

/// Received and reported as lost together are what was sent, exactly.
void must_account_for_each_event(Fortress& fortress, Battle& battle) {
    auto client = HostileClient::inside(fortress);
    client.settled();
    const auto refused_before = fortress.status()["refused_events"];
    constexpr u32 wishes = 60, each = 1000;
    u64 received = 0, missed = 0;
    u32 last = 0;
    const auto take_one = [&](std::chrono::milliseconds limit) {
        const auto taken = client.next_event(limit);
        if (!taken) return false;
        need(taken->frame.kind == event && taken->frame.correlation > last, "events out of order");
        missed += taken->frame.correlation - last - 1;
        last = taken->frame.correlation;
        ++received;
        return true;
    };
    for (u32 i = 0; i < wishes; ++i) {
        client.send({.kind = one_way, .id = wish_id}, bytes_of(Wish{.count = each, .size = 50}));
        client.settled();  // all of them were offered
        need(take_one(60s), "no event");
    }
    while (take_one(20ms)) {
    }
    // One more, for which there is room: its number tells of all before it.
    client.send({.kind = one_way, .id = wish_id}, bytes_of(Wish{.count = 1}));
    while (last != 3 + wishes * each + 1) need(take_one(60s), "the last event doesn't come");
    need(received + missed == 3 + wishes * each + 1, "received and lost aren't what was sent");
    need(missed > 0, "none was lost: the consumer wasn't slow");
    need(fortress.status()["refused_events"] - refused_before == static_cast<long long>(missed),
         "the service counts otherwise");
    battle.remarks.push_back(fortress.transport + ": " + std::to_string(received) + " events received, " +
                             std::to_string(missed) + " reported as lost");
}

}  // namespace

const std::vector<Move> leak_moves = {
    {"a new connection's memory is looked at: it is all zero, and so is what nobody uses",
     [](Battle& battle) {
         for (int i = 0; i < 20; ++i) {
             HostileClient client(battle.shm);
             client.say_hello();
             need(client.take_reply() && client.reply.status == admitted, "refused");
             must_be_clean(client.reply);
             must_be_zero(client.service, "the service's area");
             must_be_zero(client.own, "the client's area");
             client.acknowledge();
             client.settled();
             for (u64 at = 8; at < header_page; at += 8)
                 need(at % 128 == 0 || client.service.load(at) == 0, "the page of words has more than words");
         }
     }},
    {"replies of each sort have nothing but what the page names",
     [](Battle& battle) {
         for (Fortress* fortress : {&battle.shm, &battle.stream}) {
             for (int i = 0; i < 20; ++i) {
                 HostileClient client(*fortress);
                 if (i % 4 == 1) client.greeting.version = static_cast<u16>(i);
                 if (i % 4 == 2) client.greeting.magic[0] = 'x';
                 if (i % 4 == 3) client.greeting.transport ^= 3;
                 client.say_hello();
                 need(client.take_reply(), "no reply");
                 must_be_clean(client.reply);
             }
         }
     }},
    {"a lane of answers is searched for what the service's memory was full of",
     [](Battle& battle) {
         auto client = HostileClient::inside(battle.shm);
         ask_for_everything(client, 1'500);
         client.send({.kind = one_way, .id = wish_id}, bytes_of(Wish{.count = 100, .size = 0}));
         client.settled();
         must_be_clean({client.service.data() + header_page, client.service.size() - header_page},
                       "the service's lanes");
     }},
    {"a stream of answers is searched likewise, byte by byte",
     [](Battle& battle) {
         auto client = HostileClient::inside(battle.stream);
         ask_for_everything(client, 300);
         std::string calls;
         for (int i = 0; i < 50; ++i)
             for (const u32 id : {gaps_id, who_id, throw_id, unheard_id})
                 calls += HostileClient::stream_frame({.size = id == gaps_id ? 24u : 0u, .kind = call, .id = id},
                                                      std::string(id == gaps_id ? 24 : 0, '\1'));
         put_all(client.c.get(), calls);
         std::string all;
         for (std::string more = "x"; !more.empty() && all.size() < 200 * 16; all += more)
             more = take(client.c.get(), 4096, nullptr, 20s);
         for (std::string more = "x"; !more.empty(); all += more) more = take(client.c.get(), 4096, nullptr, 300ms);
         need(all.size() >= 200 * 16, "too few answers");
         must_be_clean(all, "the stream, padding included");
     }},
    {"a consumer that takes one event in a thousand is told exactly what it missed",
     [](Battle& battle) {
         must_account_for_each_event(battle.shm, battle);
         must_account_for_each_event(battle.stream, battle);
     }},
};

}  // namespace attacker
