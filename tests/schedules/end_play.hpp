// SPDX-License-Identifier: BSL-1.0
// end_play.hpp: a client and a service over the shipped ends of ShmRing, with all three lanes, five flags and two
// sockets: who sleeps where, who rings whom, and what becomes of it all when somebody leaves or dies.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include <qbipc/detail/shm_client_end.hpp>
#include <qbipc/detail/shm_service_end.hpp>
#include <qbipc/wait.hpp>

#include "scheduled_kernel.hpp"
#include "scheduled_memory.hpp"
#include "world.hpp"

namespace qbipc::testing {

/// How the client passes its time.
enum class Client : std::uint8_t {
    calls,    ///< one call after the other; between them a loop takes events
    one_way,  ///< sends, and waits for room
    split,    ///< one thread sends and waits for room, another takes answers and events
};

struct EndPlan {
    Client client = Client::calls;
    std::uint32_t requests = 1;
    std::uint32_t events = 0;   ///< for each request
    std::uint32_t size = 16;    ///< of a request's payload
    std::uint32_t answer = 16;  ///< of an answer's and an event's
    std::uint32_t before = 0;   ///< requests sent and taken before
    bool answers_first = false;
    bool leaves = false;  ///< the client shuts down when it is through; the service then learns of that
    std::uint32_t client_dies = World::never, service_dies = World::never;

    static EndPlan random(RandomChoices& random) {
        // Four of the largest frames fill a lane: how far it fills is drawn with their size.
        constexpr std::array<std::uint32_t, 4> sizes{16, 112, 12'000, 16'368};
        EndPlan plan;
        plan.client = static_cast<Client>(random.below(3));
        plan.requests = static_cast<std::uint32_t>(1 + random.below(6));
        plan.events = static_cast<std::uint32_t>(plan.client == Client::one_way ? 0 : random.below(2));
        plan.size = sizes[random.below(sizes.size())];
        plan.answer = sizes[random.below(sizes.size())];
        plan.before = static_cast<std::uint32_t>(random.below(6));
        plan.answers_first = random.one_in(2);
        plan.leaves = random.one_in(3);
        if (random.one_in(4)) {
            auto& dies = random.one_in(2) ? plan.client_dies : plan.service_dies;
            dies = static_cast<std::uint32_t>(random.below(40 * plan.requests));
        }
        return plan;
    }
};

class EndPlay {
public:
    EndPlay() : world(area_.data(), sizeof area_) {}
    EndPlay(const EndPlay&) = delete;
    EndPlay& operator=(const EndPlay&) = delete;

    /// One schedule. Gives what is wrong; empty: nothing.
    const std::string& run(const EndPlan& plan, Weakened weakened, Choices& choices) {
        play_ = this;
        plan_ = plan;
        prepare(choices);
        ScheduledMemory::reset(weakened);
        world.add_thread(&EndPlay::serve, service_process, plan.service_dies);
        if (plan.client == Client::split) {
            world.add_thread(&EndPlay::send, client_process, plan.client_dies);
            world.add_thread(&EndPlay::receive, client_process);
        } else {
            world.add_thread(plan.client == Client::calls ? &EndPlay::call : &EndPlay::send, client_process,
                             plan.client_dies);
        }
        world.run();
        ScheduledMemory::reset(Weakened::nothing);
        return world.error();
    }

private:
    using ClientEnd = detail::ShmClientEnd<Block, ScheduledKernel, ScheduledMemory>;
    using ServiceEnd = detail::ShmServiceEnd<ScheduledKernel, ScheduledMemory>;
    enum Process : int { service_process, client_process };
    static constexpr std::uint64_t lane_size = detail::min_lane;
    static constexpr detail::ServiceArea service_area{lane_size, lane_size};
    static constexpr detail::ClientArea client_area{lane_size};

    void prepare(Choices& choices) {
        client_.reset();
        service_.reset();
        world.begin(choices);
        ScheduledMemory::lane = area_.data() + detail::area_header;
        ScheduledMemory::lane_size = 0;  // orders are weakened by fences alone here
        const auto guard = detail::ForkGuard::here<LinuxKernel>();
        if (!guard) std::abort();
        const auto parts = [&](int call, int event, std::size_t own, std::size_t own_size, std::size_t peers,
                               std::size_t peers_size) {
            detail::ShmParts<ScheduledKernel> made;
            made.call = detail::Descriptor(call);
            made.event = detail::Descriptor(event);
            made.own = {area_.data() + own, own_size};
            made.peers = {area_.data() + peers, peers_size};
            made.lane_size = lane_size;
            made.populated = 4096;
            made.max_message = 65536;
            made.guard = *guard;
            return made;
        };
        const std::size_t at_client = service_area.size();
        using K = ScheduledKernel;
        service_.emplace(
            parts(K::service_call, K::service_event, 0, service_area.size(), at_client, client_area.size()),
            detail::Descriptor());
        client_.emplace(parts(K::client_call, K::client_event, at_client, client_area.size(), 0, service_area.size()));
        service_->drain();  // the ack
        if (!service_->established()) std::abort();
        Frame frame;
        for (std::uint32_t i = 0; i < plan_.before; ++i) {
            if (!put(*client_, Lane::requests, plan_.size, 77)) return world.fail("no room in an empty lane");
            if (!service_->peek(Lane::requests, frame)) return world.fail("a frame is not found by its own thread");
            service_->release(Lane::requests);
        }
        committed_ = {};
        got_ = {};
    }

    // ---- frames: each lane counts its own

    static std::uint64_t first_word(Lane lane, std::uint32_t number) {
        return 0x1111'0000'0000'0000u + (static_cast<std::uint64_t>(lane) << 32) + number;
    }
    static Header header(Lane lane, std::uint32_t size, std::uint32_t number) {
        return {size, Kind::one_way, 0, static_cast<std::uint16_t>(lane), number, number};
    }
    template <class End>
    static bool put(End& end, Lane lane, std::uint32_t size, std::uint32_t number) {
        std::byte* const to = end.reserve(lane, size);
        if (to == nullptr) return false;
        const std::uint64_t first = first_word(lane, number);
        ScheduledMemory::copy_out(to, &first, 8);
        ScheduledMemory::next_fence = Fence::after_frame;
        end.commit(lane, header(lane, size, number));
        return true;
    }
    /// Takes the next frame of a lane, if there is one.
    template <class End>
    bool take(End& end, Lane lane, std::uint32_t size) {
        Frame frame;
        ScheduledMemory::next_fence = Fence::after_credit;
        if (!end.peek(lane, frame)) return false;
        std::uint32_t& number = got_[static_cast<std::size_t>(lane)];
        if (!(frame.header == header(lane, size, number))) world.fail("another frame than the next one was sent");
        world.copy(reinterpret_cast<const std::uint64_t*>(frame.payload), first_word(lane, number));
        ++number;
        end.release(lane);
        return true;
    }
    /// Sends the lane's next frame; null where there is no room.
    template <class End>
    bool send_next(End& end, Lane lane, std::uint32_t size) {
        std::uint32_t& number = committed_[static_cast<std::size_t>(lane)];
        if (!put(end, lane, size, number)) return false;
        ++number;
        return true;
    }
    std::uint32_t got(Lane lane) const { return got_[static_cast<std::size_t>(lane)]; }
    std::uint32_t sent(Lane lane) const { return committed_[static_cast<std::size_t>(lane)]; }
    /// What was sent before the sender's end arrives: all of it, and nothing else.
    void check_last(Lane lane) {
        if (got(lane) < sent(lane) || got(lane) > sent(lane) + 1)
            world.fail("what was published before the end does not arrive");
    }
    void check_end(std::error_code why) {
        if (why && why != errc::disconnected) world.fail("an honest peer is said to have violated the protocol");
    }

    // ---- the service: one session, as its loop drives it

    static void serve(int) { play_->serve_all(); }
    void serve_all() {
        ServiceEnd& end = *service_;
        std::uint32_t answers = 0, events = 0;  // due
        const bool talks = plan_.client != Client::one_way;
        for (;;) {
            bool blocked = false, event_is_next = false;
            while (!blocked && (answers != 0 || events != 0)) {
                event_is_next = events != 0 && !(plan_.answers_first && answers != 0);
                const Lane lane = event_is_next ? Lane::events : Lane::responses;
                if (send_next(end, lane, plan_.answer)) {
                    --(event_is_next ? events : answers);
                } else if (end.refused(lane) == errc::lane_full) {
                    blocked = true;
                } else {
                    break;  // nobody is there to answer
                }
            }
            if (!blocked && take(end, Lane::requests, plan_.size)) {
                if (talks) answers += 1, events += plan_.events;
                continue;
            }
            if (end.ended() && !blocked) break;
            const bool all = got(Lane::requests) == plan_.requests && answers == 0 && events == 0;
            if (all && !plan_.leaves) break;
            Interest interest;
            if (blocked)
                interest.room = event_is_next ? Lane::events : Lane::responses;
            else
                interest.frames = Lane::requests;
            end.arm(interest);
            ScheduledMemory::next_fence = Fence::before_sleep;
            ServiceEnd::fence();
            ScheduledMemory::next_fence = Fence::after_credit;
            if (end.look(interest)) {
                if (end.ended() && blocked) break;
                continue;
            }
            world.sleep(1u << ScheduledKernel::call_to_service);
            end.drain();
        }
        check_end(end.ended());
        if (end.ended()) check_last(Lane::requests);
    }

    // ---- the client

    /// False: the service is gone.
    bool send_request(Party party) {
        ClientEnd& end = *client_;
        while (!send_next(end, Lane::requests, plan_.size)) {
            if (end.refused(Lane::requests) != errc::lane_full) return false;
            TimeLimit limit = forever;
            ScheduledMemory::next_fence = Fence::before_waiting_for_room;
            if (!end.wait({{}, Lane::requests}, party, limit, -1)) world.fail("a wait without a limit ended by itself");
        }
        return true;
    }
    static void send(int) { play_->send_all(); }
    void send_all() {
        const Party party = plan_.client == Client::split ? Party::sender : Party::whole;
        for (std::uint32_t i = 0; i < plan_.requests; ++i) {
            if (!send_request(party)) return;
        }
        if (plan_.leaves && plan_.client == Client::one_way) client_->shutdown();
    }

    static void receive(int) { play_->receive_all(); }
    void receive_all() {
        ClientEnd& end = *client_;
        const std::uint32_t events = plan_.requests * plan_.events;
        while (got(Lane::responses) < plan_.requests || got(Lane::events) < events) {
            const bool ended =
                static_cast<bool>(end.ended());  // before both lanes: it may come to be known at the second
            if (take(end, Lane::responses, plan_.answer) || take(end, Lane::events, plan_.answer)) continue;
            if (ended) break;
            if (end.ended()) continue;
            wait_for({Lane::responses | Lane::events, {}}, Party::receiver);
        }
        check_end(end.ended());
        if (end.ended()) check_last(Lane::responses), check_last(Lane::events);
        if (plan_.leaves) end.shutdown();
    }
    void wait_for(Interest interest, Party party) {
        TimeLimit limit = forever;
        ScheduledMemory::next_fence = Fence::before_sleep;
        if (!client_->wait(interest, party, limit, -1)) world.fail("a wait without a limit ended by itself");
    }

    static void call(int) { play_->call_all(); }
    void call_all() {
        ClientEnd& end = *client_;
        for (std::uint32_t i = 0; i < plan_.requests; ++i) {
            if (!send_request(Party::whole)) break;
            while (!take(end, Lane::responses, plan_.answer)) {
                if (end.ended()) break;
                wait_for({Lane::responses, {}}, Party::whole);
            }
            if (end.ended()) break;
            // A loop, until the events of this call have come; every second time, so that some lie about meanwhile.
            if (i % 2 == 0 && !loop_until((i + 1) * plan_.events)) break;
        }
        (void)loop_until(plan_.requests * plan_.events);
        check_end(end.ended());
        if (end.ended()) {
            while (take(end, Lane::responses, plan_.answer)) {
            }
            check_last(Lane::responses);
            check_last(Lane::events);
        }
        if (plan_.leaves) end.shutdown();
    }
    /// False: the service is gone.
    bool loop_until(std::uint32_t events) {
        ClientEnd& end = *client_;
        while (got(Lane::events) < events) {
            end.quiet();
            while (take(end, Lane::events, plan_.answer)) {
            }
            if (end.ended()) return false;
            if (got(Lane::events) >= events) break;
            ScheduledMemory::next_fence = Fence::before_sleep;
            if (end.arm({Lane::responses | Lane::events, {}})) world.sleep(1u << ScheduledKernel::event_to_client);
        }
        return true;
    }

    static inline EndPlay* play_ = nullptr;

    alignas(detail::area_header) std::array<std::byte, service_area.size() + client_area.size()> area_;

public:
    World world;

private:
    EndPlan plan_;
    std::optional<ServiceEnd> service_;
    std::optional<ClientEnd> client_;
    std::array<std::uint32_t, lane_count> committed_{}, got_{};
};

}  // namespace qbipc::testing
