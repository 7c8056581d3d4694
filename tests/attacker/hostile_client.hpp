// SPDX-License-Identifier: BSL-1.0
// hostile_client.hpp: somebody at a service's door, and inside, who may do as is written in docs/wire.md, or not.
#pragma once

#include <atomic>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <thread>
#include <vector>

#include "attacker/battle.hpp"
#include "attacker/sockets.hpp"
#include "attacker/wire.hpp"

namespace attacker {

/// Shared memory, mapped.
class Area {
public:
    Area() = default;
    Area(int fd, std::size_t size, int protection)
        : at_(static_cast<char*>(::mmap(nullptr, size, protection, MAP_SHARED, fd, 0))), size_(size) {
        if (at_ == MAP_FAILED) at_ = nullptr;
    }
    Area(Area&& other) noexcept : at_(std::exchange(other.at_, nullptr)), size_(other.size_) {}
    Area& operator=(Area&& other) noexcept {
        std::swap(at_, other.at_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~Area() {
        if (at_ != nullptr) ::munmap(at_, size_);
    }
    explicit operator bool() const { return at_ != nullptr; }
    char* data() const { return at_; }
    std::size_t size() const { return size_; }
    u64 load(u64 at) const { return std::atomic_ref(word(at)).load(std::memory_order_acquire); }
    void store(u64 at, u64 value) const { std::atomic_ref(word(at)).store(value, std::memory_order_seq_cst); }

private:
    u64& word(u64 at) const { return *reinterpret_cast<u64*>(at_ + at); }
    char* at_ = nullptr;
    std::size_t size_ = 0;
};

/// What was read from a lane.
struct Taken {
    Frame frame;
    std::string payload;
};

/// A lane that this side reads.
struct ReadLane {
    u64 at = 0, size = 0, tail = 0;

    std::optional<Taken> next(const Area& area) {
        u64 offset = tail % size;
        u64 first = area.load(at + offset);
        if (first == wrap_word && offset != 0) {
            tail += size - offset;
            offset = 0;
            first = area.load(at);
        }
        if (first == 0) return {};
        Taken taken{Frame::of(first, area.load(at + offset + 8)), {}};
        taken.payload.assign(area.data() + at + offset + 16, taken.frame.size);
        tail += lines_of(taken.frame.size);
        return taken;
    }
};

/// A lane that this side writes.
struct WriteLane {
    u64 at = 0, size = 0, head = 0;

    /// As a writer should, but that it never looks for room.
    void put(const Area& area, const Frame& frame, std::string_view payload) {
        const u64 span = lines_of(payload.size());
        if (head % size + span + 64 > size) {
            area.store(at, 0);
            put_word(area, wrap_word, 0);
            head += size - head % size;
        }
        const u64 place = at + head % size;
        std::memcpy(area.data() + place + 16, payload.data(), payload.size());
        area.store(at + (head + span) % size, 0);
        area.store(place + 8, frame.second());
        area.store(place, frame.first());
        head += span;
    }
    /// Whatever word, where the next frame would be.
    void put_word(const Area& area, u64 first, u64 second) const {
        area.store(at + head % size + 8, second);
        area.store(at + head % size, first);
    }
};

class HostileClient {
public:
    /// Has connected, and not said anything.
    explicit HostileClient(const Fortress& fortress) : c(connect_to(fortress.name)) {
        need(bool(c), "nobody accepts");
        greeting.transport = fortress.transport == "shm" ? shm_ring : unix_socket;
    }
    /// All the way to an open session, as an honest one would.
    static HostileClient inside(Fortress& fortress, u64 lane = 64 << 10) {
        for (int attempt = 0;; ++attempt) {
            HostileClient client(fortress);
            client.greeting.lane = lane;
            client.say_hello();
            client.take_reply();
            if (client.reply.status != admitted &&
                attempt < 6000) {  // busy: other moves' visitors are still in the door
                std::this_thread::sleep_for(10ms);
                continue;
            }
            need(client.reply.status == admitted, "an honest handshake is refused");
            client.acknowledge();
            return client;
        }
    }
    /// A call that was answered: the session is open on the service's side too.
    HostileClient& settled() {
        need(answered(call_add()).has_value(), "an honest call isn't answered");
        return *this;
    }

    // ---- the handshake
    void say_hello() { put_all(c.get(), bytes_of(greeting)); }
    bool take_reply() {
        const auto bytes = take(c.get(), sizeof reply, &descriptors);
        if (bytes.size() != sizeof reply) return false;
        std::memcpy(&reply, bytes.data(), sizeof reply);
        if (reply.status == admitted) enter();
        return true;
    }
    void acknowledge() { put_byte(c.get(), byte_ack); }

    // ---- inside
    void send(Frame frame, std::string_view payload = {}, bool honest_size = true) {
        if (honest_size) frame.size = payload.size();
        if (greeting.transport == shm_ring) {
            requests.put(own, frame, payload);
            ring();
        } else {
            put_all(c.get(), stream_frame(frame, payload));
        }
    }
    static std::string stream_frame(const Frame& frame, std::string_view payload) {
        const u64 words[] = {frame.first(), frame.second()};
        std::string bytes(reinterpret_cast<const char*>(words), sizeof words);
        bytes += payload;
        bytes.resize((bytes.size() + 15) / 16 * 16);
        return bytes;
    }
    void ring() const { put_byte(c.get(), byte_bell); }
    u32 call_add() {
        const Add add;
        send({.kind = call, .id = add_id, .correlation = ++correlation}, bytes_of(add));
        return correlation;
    }

    /// The next frame on responses; none within the time. Shows credit, as an honest one would.
    std::optional<Taken> next_answer(std::chrono::milliseconds limit = 60s) { return next(responses, c, 0, limit); }
    std::optional<Taken> next_event(std::chrono::milliseconds limit = 60s) { return next(events, e, 128, limit); }
    /// The answer to this call; others are dropped.
    std::optional<Taken> answered(u32 to) {
        while (auto taken = next_answer())
            if (taken->frame.correlation == to) return taken;
        return {};
    }
    bool cut(std::chrono::milliseconds limit = 60s) const { return hung_up(c.get(), limit); }

    Fd c, e;
    Hello greeting;
    Reply reply;
    std::vector<Fd> descriptors;
    Area service, own;
    WriteLane requests;
    ReadLane responses, events;
    u32 correlation = 0;

private:
    void enter() {
        if (!descriptors.empty()) e = descriptors[0].twin();
        if (greeting.transport != shm_ring || descriptors.size() < 3) return;
        service = Area(descriptors[1].get(), reply.service_area, PROT_READ);
        own = Area(descriptors[2].get(), reply.client_area, PROT_READ | PROT_WRITE);
        need(bool(service) && bool(own), "the areas can't be mapped");
        requests = {reply.requests, reply.lane};
        responses = {reply.responses, reply.lane};
        events = {reply.events, reply.lane};
    }

    std::optional<Taken> next(ReadLane& lane, const Fd& socket, u64 credit, std::chrono::milliseconds limit) {
        const auto end = std::chrono::steady_clock::now() + limit;
        if (greeting.transport == unix_socket) {
            const auto head = take(socket.get(), 16, nullptr, limit);
            if (head.size() != 16) return {};
            u64 words[2];
            std::memcpy(words, head.data(), 16);
            Taken taken{Frame::of(words[0], words[1]), {}};
            taken.payload = take(socket.get(), (taken.frame.size + 15) / 16 * 16, nullptr, limit);
            if (taken.frame.kind == bye) return {};
            taken.payload.resize(std::min<std::size_t>(taken.payload.size(), taken.frame.size));
            return taken;
        }
        for (;;) {
            auto taken = lane.next(service);
            own.store(credit, lane.tail);
            if (taken) {
                ring();  // the service may wait for room
                return taken;
            }
            if (std::chrono::steady_clock::now() >= end) return {};
            if (readable(c.get(), 0ms) && hung_up_already()) return {};
            std::this_thread::sleep_for(100us);
        }
    }
    bool hung_up_already() const {
        char bytes[512];
        return ::recv(c.get(), bytes, sizeof bytes, MSG_DONTWAIT) == 0;
    }
};

}  // namespace attacker
