// SPDX-License-Identifier: BSL-1.0
// stream_service_end.hpp: a service's end of one session over sockets, watched by the service's loop.
#pragma once

#include <array>
#include <cstdint>
#include <poll.h>
#include <sys/epoll.h>
#include <utility>

#include <qbipc/detail/handshake.hpp>
#include <qbipc/detail/peer_process.hpp>
#include <qbipc/detail/stream_end.hpp>
#include <qbipc/error.hpp>
#include <qbipc/transport.hpp>

namespace qbipc::detail {

/// The kernel's own readiness is its flag: a socket is registered for what is of interest, and for no more. A session
/// that isn't read from is not registered for reading, or it would be announced again and again.
template <class Kernel>
class StreamServiceEnd : public StreamEnd<false, Kernel> {
    using Base = StreamEnd<false, Kernel>;

public:
    /// `watches_process`: once the client has confirmed, the death of its process ends the session.
    explicit StreamServiceEnd(StreamParts&& parts, bool watches_process = false)
        : Base(std::move(parts)), watches_process_(watches_process) {}
    StreamServiceEnd(StreamServiceEnd&& other) noexcept
        : Base(std::move(other)),
          process_(std::move(other.process_)),
          epoll_(std::exchange(other.epoll_, -1)),
          tag_(other.tag_),
          call_events_(other.call_events_),
          event_events_(other.event_events_),
          watches_process_(other.watches_process_),
          established_(other.established_) {}
    StreamServiceEnd& operator=(StreamServiceEnd&& other) noexcept {
        if (this != &other) {
            finish();
            Base::operator=(std::move(other));
            process_ = std::move(other.process_);
            epoll_ = std::exchange(other.epoll_, -1);
            tag_ = other.tag_;
            call_events_ = other.call_events_;
            event_events_ = other.event_events_;
            watches_process_ = other.watches_process_;
            established_ = other.established_;
        }
        return *this;
    }
    ~StreamServiceEnd() { finish(); }

    Result<void> attach(int epoll, std::uint64_t tag) noexcept {
        tag_ = tag;
        call_events_ = EPOLLIN;
        // Until the ack nothing of E is of interest. Its hang-up can't be kept out: it is announced once, not for ever.
        event_events_ = EPOLLET;
        if (const int error = control(epoll, EPOLL_CTL_ADD, call_.get(), call_events_); error < 0)
            return fail_system(-error);
        if (const int error = control(epoll, EPOLL_CTL_ADD, event_.get(), event_events_); error < 0) {
            control(epoll, EPOLL_CTL_DEL, call_.get(), 0);
            return fail_system(-error);
        }
        epoll_ = epoll;
        return {};
    }

    void drain() noexcept {
        if (standing_.forked()) return;
        // An ack behind what has ended it opens nothing any more.
        if (!established_ && (standing_.has_ended() || !take_ack())) return;
        this->flush_tails();
        auto& in = this->in_of(Lane::requests);
        const bool had_frame = in.has_front();
        if (!had_frame && in.fill(call_.get())) return;
        if (in.over()) return leave();
        // Not a frame brought us here: room, or that somebody is gone, of whom not all is read yet.
        std::array<pollfd, 3> peer{{{call_.get(), 0, 0}, {event_.get(), 0, 0}, {process_.fd(), POLLIN, 0}}};
        const timespec at_once{};
        if (Kernel::ppoll(peer.data(), peer.size(), &at_once) > 0) leave();
    }

    /// What the socket didn't take after all goes out once it is writable, whosever turn it is now: after a deferred
    /// answer, or an event that another session's request brought, nobody arms this one.
    void commit(Lane lane, const Header& header) noexcept {
        Base::commit(lane, header);
        if (!this->sent_in_part_ || epoll_ < 0 || standing_.forked()) [[likely]]
            return;
        if (lane == Lane::events)
            control(epoll_, EPOLL_CTL_MOD, event_.get(), event_events_ = EPOLLOUT);
        else
            control(epoll_, EPOLL_CTL_MOD, call_.get(), call_events_ |= EPOLLOUT);
    }

    void arm(Interest interest) noexcept {
        if (epoll_ < 0 || standing_.forked()) return;
        std::uint32_t call = interest.frames.has(Lane::requests) || !established_ ? EPOLLIN : 0u;
        if (interest.room.has(Lane::responses) || this->has_tail(Lane::responses)) call |= EPOLLOUT;
        const std::uint32_t event = interest.room.has(Lane::events) || this->has_tail(Lane::events) ? EPOLLOUT : 0u;
        if (call != call_events_) control(epoll_, EPOLL_CTL_MOD, call_.get(), call_events_ = call);
        if (event != event_events_) control(epoll_, EPOLL_CTL_MOD, event_.get(), event_events_ = event);
    }
    static void fence() noexcept {}
    /// What lies in the sockets the epoll announces by itself.
    bool look(Interest interest) noexcept {
        return standing_.has_ended() || this->shows_frames(interest.frames, false) ||
               this->shows_room(interest.room, false);
    }

    bool established() const noexcept { return established_; }

    bool sent_in_part() noexcept { return this->has_tail(Lane::responses) || this->has_tail(Lane::events); }

    /// Requests begin behind the ack.
    bool peek(Lane lane, Frame& frame) noexcept {
        if (established_ && Base::peek(lane, frame)) return true;
        if (standing_.ended()) [[unlikely]]
            leave();
        return false;
    }

private:
    using Base::call_;
    using Base::event_;
    using Base::standing_;

    bool take_ack() noexcept {
        std::byte byte{};
        const auto count = Kernel::recv(call_.get(), &byte, 1, MSG_DONTWAIT);
        if (count == -EAGAIN) return false;
        if (count == 1 && byte == static_cast<std::byte>(Signal::ack)) {
            established_ = true;
            if (watches_process_) process_.watch(call_.get(), epoll_, tag_);
            return true;
        }
        standing_.end(count == 1 ? errc::protocol_violation : errc::disconnected);
        leave();
        return false;
    }

    /// The sockets have nothing more to announce but that they have hung up, and would do so for ever.
    void leave() noexcept {
        if (standing_.forked()) return;
        this->hang_up();
        detach();
    }

    void detach() noexcept {
        if (epoll_ < 0) return;
        process_.forget(epoll_);
        control(epoll_, EPOLL_CTL_DEL, call_.get(), 0);
        control(std::exchange(epoll_, -1), EPOLL_CTL_DEL, event_.get(), 0);
    }

    int control(int epoll, int operation, int socket, std::uint32_t events) noexcept {
        epoll_event event{};
        event.events = events;
        event.data.u64 = tag_;
        return Kernel::epoll_ctl(epoll, operation, socket, &event);
    }

    void finish() noexcept {
        // A child shares the epoll with its parent: taking a socket out would take it from the parent.
        if (!call_ || standing_.forked()) return;
        this->shutdown();
        detach();
    }

    PeerProcess<Kernel> process_;
    int epoll_ = -1;
    std::uint64_t tag_ = 0;
    std::uint32_t call_events_ = 0;   // what C is registered for
    std::uint32_t event_events_ = 0;  // what E is
    bool watches_process_ = false;
    bool established_ = false;
};

}  // namespace qbipc::detail
