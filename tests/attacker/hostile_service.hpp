// SPDX-License-Identifier: BSL-1.0
// hostile_service.hpp: a house that clients come to, whose owner may do as is written in docs/wire.md, or not.
#pragma once

#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/socket.h>
#include <vector>

#include "attacker/hostile_client.hpp"

namespace attacker {

inline constexpr int service_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
inline constexpr int client_seals = F_SEAL_SHRINK | F_SEAL_GROW;
inline constexpr const char* broke = "failed: the peer broke the protocol";

inline Fd memory_of(std::size_t size, unsigned flags = 0) {
    Fd fd(static_cast<int>(::memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags)));
    if (fd && ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) fd.close();
    return fd;
}

class HostileService {
public:
    HostileService(Battle& battle, Visitor& client)
        : visitor(client), name("hostile-" + battle.run + "-" + std::to_string(++houses)), door(listen_at(name)) {
        need(bool(door), "can't listen");
        reply = honest_reply(transport());
    }

    u8 transport() const { return visitor.shared_memory ? shm_ring : unix_socket; }

    /// Somebody comes, and has said hello.
    void open_the_door(std::chrono::milliseconds limit = 10s) {
        visitor.begin("connect " + name + ' ' + std::to_string(limit.count()));
        greet();
    }
    void greet() {
        need(readable(door.get(), 60s), "nobody comes");
        c = Fd(::accept4(door.get(), nullptr, nullptr, SOCK_CLOEXEC));
        need(take(c.get(), 256).size() == 256, "no hello");
    }
    /// What an honest service would send along; a move may put other things in their place.
    void prepare() {
        int pair[2];
        need(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0, "no pair");
        e = Fd(pair[0]);
        parts.clear();
        parts.emplace_back(pair[1]);
        if (transport() == unix_socket) return;
        parts.push_back(memory_of(reply.service_area));
        parts.push_back(memory_of(reply.client_area));
        own = Area(parts[1].get(), reply.service_area, PROT_READ | PROT_WRITE);
        theirs = Area(parts[2].get(), reply.client_area, PROT_READ);
        ::fcntl(parts[1].get(), F_ADD_SEALS, service_seals);
        ::fcntl(parts[2].get(), F_ADD_SEALS, client_seals);
        answers = {reply.responses, reply.lane};
        events = {reply.events, reply.lane};
        requests = {reply.requests, reply.lane};
    }
    void hand_over() {
        std::vector<int> numbers;
        for (const auto& part : parts) numbers.push_back(part.get());
        put_with(c.get(), bytes_of(reply), numbers);
    }
    /// All of it, up to an open session.
    void let_in(std::chrono::milliseconds limit = 10s) {
        open_the_door(limit);
        prepare();
        hand_over();
        need(take(c.get(), 1) == std::string(1, static_cast<char>(byte_ack)), "no ack");
        const auto said = visitor.outcome();
        need(said == "connected", "an honest welcome is not taken: " + said);
    }

    /// What the client asks for, in whatever way it does.
    Taken next_request() {
        if (transport() == unix_socket) {
            const auto head = take(c.get(), 16);
            need(head.size() == 16, "no request");
            u64 words[2];
            std::memcpy(words, head.data(), 16);
            Taken taken{Frame::of(words[0], words[1]), {}};
            taken.payload = take(c.get(), (taken.frame.size + 15) / 16 * 16);
            return taken;
        }
        std::optional<Taken> taken;
        need(eventually([&] {
                 taken = requests.next(theirs);
                 return taken.has_value();
             }),
             "no request");
        own.store(of_service::requests_credit, requests.tail);
        return *taken;
    }
    void send(Frame frame, std::string_view payload = {}, bool honest_size = true) {
        if (honest_size) frame.size = payload.size();
        if (transport() == unix_socket) {
            put_all(frame.kind == event ? e.get() : c.get(), HostileClient::stream_frame(frame, payload));
            return;
        }
        (frame.kind == event ? events : answers).put(own, frame, payload);
        ring();
    }
    void ring() const {
        put_byte(c.get(), byte_bell);
        put_byte(e.get(), byte_bell);
    }
    /// On a lane that the kind wouldn't be sent on.
    void send_as_event(Frame frame, std::string_view payload) {
        frame.size = payload.size();
        if (transport() == unix_socket)
            put_all(e.get(), HostileClient::stream_frame(frame, payload));
        else
            events.put(own, frame, payload), ring();
    }

    Visitor& visitor;
    const std::string name;
    Fd door, c, e;
    Reply reply;
    std::vector<Fd> parts;
    Area own, theirs;
    WriteLane answers, events;
    ReadLane requests;

private:
    static inline int houses = 0;
};

/// Both transports' visitors, each in a house of its own.
template <class F>
void for_each_visitor(Battle& battle, F&& f) {
    for (Visitor* visitor : {&battle.visitor, &battle.stream_visitor}) f(*visitor);
}

}  // namespace attacker
