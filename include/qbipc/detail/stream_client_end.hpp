// SPDX-License-Identifier: BSL-1.0
// stream_client_end.hpp: a client's end of a session over sockets: waits by itself, or is watched by a loop.
#pragma once

#include <array>
#include <cstdint>
#include <poll.h>
#include <sys/epoll.h>
#include <utility>

#include <qbipc/detail/stream_end.hpp>
#include <qbipc/detail/waiting.hpp>
#include <qbipc/error.hpp>
#include <qbipc/time.hpp>
#include <qbipc/transport.hpp>
#include <qbipc/wait.hpp>

namespace qbipc::detail {

/// Whoever receives reads C and E; a sending half only polls C for room.
template <WaitStrategy Wait, class Kernel>
class StreamClientEnd : public StreamEnd<true, Kernel> {
    using Base = StreamEnd<true, Kernel>;

public:
    explicit StreamClientEnd(StreamParts&& parts) : Base(std::move(parts)) {}
    StreamClientEnd(StreamClientEnd&&) noexcept = default;
    StreamClientEnd& operator=(StreamClientEnd&& other) noexcept {
        if (this != &other) {
            finish();
            Base::operator=(std::move(other));
            caller_ = other.caller_;
            receiver_ = other.receiver_;
            watch_ = std::move(other.watch_);
            call_events_ = other.call_events_;
            event_events_ = other.event_events_;
        }
        return *this;
    }
    ~StreamClientEnd() { finish(); }

    /// The limit is taken by reference: a duration becomes a point in time once, however often one waits within it.
    Result<void> wait(Interest interest, Party party, TimeLimit& limit, int alarm) {
        if (standing_.has_ended()) return {};
        // Spinning asks the socket for frames; for room it would only be in the receiver's way.
        Wait& strategy = party == Party::receiver ? receiver_ : caller_;
        if (interest.room.empty() && party != Party::sender && !limit.is_zero() &&
            strategy.spin([&]() noexcept { return shows(interest); }, limit))
            return {};
        return sleep(interest, party, limit, alarm, strategy);
    }
    Result<void> wait(Interest interest, Party party, TimeLimit&& limit, int alarm) {
        return wait(interest, party, limit, alarm);
    }

    /// One descriptor, an epoll over C and E made at the first call: a loop that watches for reading learns of room in
    /// it too. -errno where it can't be made.
    std::array<int, 1> descriptors() noexcept {
        if (!watch_) {
            const int epoll = Kernel::epoll_create1(EPOLL_CLOEXEC);
            if (epoll < 0) return {epoll};
            Descriptor watch(epoll);
            for (const auto* const socket : {&call_, &event_})
                if (const int error = control(watch, EPOLL_CTL_ADD, *socket, EPOLLIN); error < 0) return {error};
            watch_ = std::move(watch);
            call_events_ = event_events_ = EPOLLIN;
        }
        return {watch_.get()};
    }

    /// There are no bells: what the sockets hold is taken by peek(), which has to ask them now. An edge-triggered loop
    /// was told once: what the last turn knew of them may be older than that.
    void quiet() noexcept {
        if (standing_.closed()) return;
        push_tail();
        this->each_in([](Lane, auto& in) { in.forget(); });
    }

    bool arm(Interest interest) noexcept {
        if (standing_.closed()) return false;
        if (watch_) {
            std::uint32_t call = interest.frames.has(Lane::responses) ? EPOLLIN : 0u;
            if (interest.room.has(Lane::requests) || this->has_tail(Lane::requests)) call |= EPOLLOUT;
            const std::uint32_t event = interest.frames.has(Lane::events) ? EPOLLIN : 0u;
            if (call != call_events_) control(watch_, EPOLL_CTL_MOD, call_, call_events_ = call);
            if (event != event_events_) control(watch_, EPOLL_CTL_MOD, event_, event_events_ = event);
        }
        // For the same loop's sake nothing may stay behind in a socket that was not read to its end.
        this->each_in([&](Lane lane, auto& in) {
            if (interest.frames.has(lane) && !in.left_empty()) in.fill(this->socket_of(lane));
        });
        return !this->shows_frames(interest.frames, false) && !this->shows_room(interest.room, false);
    }

    /// Stays true where the rest will never be out.
    bool sent_in_part() noexcept {
        if (this->sent_in_part_ && !this->has_tail(Lane::requests)) this->sent_in_part_ = standing_.closed();
        return this->sent_in_part_;
    }

    bool alive() const noexcept {
        if (standing_.closed()) return false;
        pollfd socket{call_.get(), POLLRDHUP, 0};
        const timespec at_once{};
        return Kernel::ppoll(&socket, 1, &at_once) <= 0;
    }

private:
    using Base::call_;
    using Base::event_;
    using Base::standing_;

    bool shows(Interest interest) noexcept {
        return standing_.has_ended() || this->shows_frames(interest.frames, true) ||
               this->shows_room(interest.room, true);
    }

    [[gnu::noinline]] Result<void> sleep(Interest interest, Party party, TimeLimit& limit, int alarm, Wait& strategy) {
        if (party == Party::sender) interest.frames = {};  // the other half's to read
        const bool may_sleep = Wait::sleeps && !limit.is_zero();
        for (;;) {
            if (shows(interest)) return {};
            const bool tail = this->has_tail(Lane::requests);
            const auto in = [&](Lane lane) { return static_cast<short>(interest.frames.has(lane) ? POLLIN : 0); };
            const auto out = static_cast<short>(tail || interest.room.has(Lane::requests) ? POLLOUT : 0);
            const int event = party == Party::sender ? -1 : event_.get();
            std::array<pollfd, 3> watched{{{call_.get(), static_cast<short>(in(Lane::responses) | out), 0},
                                           {event, in(Lane::events), 0},
                                           {alarm, POLLIN, 0}}};
            const auto start = Kernel::now();
            const Deadline until = may_sleep ? limit.deadline() : Deadline(start);
            const int ready = poll_until<Kernel>(watched.data(), watched.size(), until);
            if (ready < 0) return fail_system(-ready);
            if (ready == 0) {
                if (may_sleep || limit.is_zero() || limit.deadline().passed()) return fail(errc::timed_out);
                if (strategy.spin([&]() noexcept { return shows(interest); }, limit)) return {};
                continue;
            }
            if (may_sleep) strategy.slept(Kernel::now() - start);
            if (tail && (watched[0].revents & POLLOUT) != 0 && !push_tail() && limit.deadline().passed())
                return fail(errc::timed_out);
            if (((watched[0].revents | watched[1].revents) & (POLLHUP | POLLERR)) != 0) {
                // Of a sending half's the receiving one finds out by itself: it may still have frames to take.
                if (party == Party::sender)
                    this->break_off();
                else
                    this->hang_up();
            }
            const bool only_tail = tail && ready == 1 && watched[0].revents == POLLOUT && interest.room.empty();
            if (!only_tail) return {};
        }
    }

    /// Where the kernel has no memory for it poll calls the socket writable all the same: who came back at once would
    /// do so again and again. False: it isn't out.
    bool push_tail() noexcept {
        this->flush_tails();
        if (!this->has_tail(Lane::requests)) return true;
        if (this->short_of_memory(Lane::requests)) Kernel::sleep({0, 1'000'000});
        return false;
    }

    int control(const Descriptor& epoll, int operation, const Descriptor& socket, std::uint32_t events) noexcept {
        epoll_event event{};
        event.events = events;
        return Kernel::epoll_ctl(epoll.get(), operation, socket.get(), &event);
    }

    void finish() noexcept {
        if (call_) this->shutdown();
    }

    Wait caller_;
    Wait receiver_;
    Descriptor watch_;
    std::uint32_t call_events_ = 0;   // what C is registered for there
    std::uint32_t event_events_ = 0;  // what E is
};

}  // namespace qbipc::detail
