// SPDX-License-Identifier: BSL-1.0
// shm_end.hpp: what both ends of a session over shared memory do alike: frames through lanes, bells, noticing the end.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <sys/socket.h>
#include <system_error>
#include <utility>

#include <qbipc/credentials.hpp>
#include <qbipc/detail/bell.hpp>
#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/greeting.hpp>
#include <qbipc/detail/hearing.hpp>
#include <qbipc/detail/memory_account.hpp>
#include <qbipc/detail/ring_bell.hpp>
#include <qbipc/detail/shared_memory.hpp>
#include <qbipc/detail/shm_lanes.hpp>
#include <qbipc/detail/standing.hpp>
#include <qbipc/error.hpp>
#include <qbipc/frame.hpp>
#include <qbipc/memory.hpp>
#include <qbipc/transport.hpp>

namespace qbipc::detail {

enum class Side : bool { client, service };

/// What makes an end: two sockets, two areas.
template <class Kernel>
struct ShmParts {
    Descriptor call;   ///< C
    Descriptor event;  ///< E
    Mapping<Kernel> own;
    Mapping<Kernel> peers;
    std::uint64_t lane_size = 0;
    std::uint64_t populated = 0;  ///< up to where each own lane may be written
    std::size_t max_message = 0;
    Credentials peer;
    ForkGuard guard;
};

/// The part of TransportEnd, for ShmRing. The fast paths are a handful of instructions on private cursors and one
/// shared line; what happens seldom is out of line.
template <Side side, class Kernel, MemoryPolicy Memory>
class ShmEnd {
public:
    std::byte* reserve(Lane lane, std::size_t size) noexcept {
        SendingLane<Memory>& out = out_of(lane);
        if (standing_.closed()) [[unlikely]]
            return refuse_closed(out);
        if (std::byte* const place = out.writer.reserve(size)) [[likely]]
            return place;
        return reserve_slowly(out, size);
    }
    std::error_code refused(Lane lane) const noexcept {
        return standing_.forked() ? make_error_code(errc::used_after_fork) : out_of(lane).refused;
    }
    void commit(Lane lane, const Header& header) noexcept {
        SendingLane<Memory>& out = out_of(lane);
        out.writer.commit(header);
        Memory::fence();
        if (const Bell bell = out.asleep.due(); bell != Bell::none) [[unlikely]]
            ring(bell);
    }
    void cancel(Lane lane) noexcept { out_of(lane).writer.cancel(); }
    CopyOut& copy_out(Lane lane) noexcept { return out_of(lane).copy; }

    bool peek(Lane lane, Frame& frame) noexcept {
        ReceivingLane<Memory>& in = in_of(lane);
        if (standing_.forked()) [[unlikely]]
            return false;
        return in.reader.peek(frame) || found_nothing(in, frame);
    }
    void release(Lane lane) noexcept {
        ReceivingLane<Memory>& in = in_of(lane);
        in.reader.release();
        if (in.reader.take_shown()) [[unlikely]]
            credit_shown(in);
    }

    std::error_code ended() const noexcept { return standing_.ended(); }
    bool said_bye() const noexcept { return standing_.said_bye(); }
    std::size_t max_message() const noexcept { return max_message_; }
    std::size_t max_frame() const noexcept { return static_cast<std::size_t>(out_[0].writer.shape().max_payload()); }
    const Credentials& peer() const noexcept { return peer_; }

    /// Blocking: never. Threads: any. The peer has mapped what was sent: nothing of it is lost.
    void shutdown() noexcept {
        if (standing_.forked() || !call_ || standing_.break_off()) return;
        constexpr auto bye = static_cast<std::byte>(Signal::bye);
        (void)Kernel::send(call_.get(), &bye, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        if constexpr (side == Side::service) (void)Kernel::send(event_.get(), &bye, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        end_sockets();
    }

protected:
    static constexpr std::size_t incoming = side == Side::client ? 2 : 1;
    static constexpr std::size_t outgoing = lane_count - incoming;

    explicit ShmEnd(ShmParts<Kernel>&& parts)
        : standing_(parts.guard),
          max_message_(parts.max_message),
          call_(std::move(parts.call)),
          event_(std::move(parts.event)),
          own_(std::move(parts.own)),
          peers_(std::move(parts.peers)),
          peer_(std::move(parts.peer)) {
        const auto shape = LaneShape::of(parts.lane_size);
        const ServiceArea service{shape.size, shape.size};
        using S = ServiceArea;
        using C = ClientArea;
        if constexpr (side == Side::client) {
            set_out(Lane::requests, shape, C::requests(), S::requests_credit, S::requests_asleep,
                    C::requests_wants_room, parts.populated);
            set_in(Lane::responses, shape, S::responses(), C::responses_credit, C::responses_asleep,
                   S::responses_wants_room);
            set_in(Lane::events, shape, service.events(), C::events_credit, C::events_asleep, S::events_wants_room);
        } else {
            set_in(Lane::requests, shape, C::requests(), S::requests_credit, S::requests_asleep,
                   C::requests_wants_room);
            set_out(Lane::responses, shape, S::responses(), C::responses_credit, C::responses_asleep,
                    S::responses_wants_room, parts.populated);
            set_out(Lane::events, shape, service.events(), C::events_credit, C::events_asleep, S::events_wants_room,
                    parts.populated);
        }
    }
    ShmEnd(ShmEnd&&) noexcept = default;
    ShmEnd& operator=(ShmEnd&&) noexcept = default;
    ~ShmEnd() = default;

    /// On the client's side requests are its only outgoing lane; on the service's its only incoming one.
    static constexpr std::size_t index(Lane lane) noexcept {
        return lane == Lane::requests ? 0 : static_cast<std::size_t>(lane) - 1;
    }
    ReceivingLane<Memory>& in_of(Lane lane) noexcept { return in_[index(lane)]; }
    SendingLane<Memory>& out_of(Lane lane) noexcept { return out_[index(lane)]; }
    const SendingLane<Memory>& out_of(Lane lane) const noexcept { return out_[index(lane)]; }

    template <class F>
    void each_in(F f) noexcept {
        if constexpr (side == Side::service) {
            f(Lane::requests, in_[0]);
        } else {
            f(Lane::responses, in_[0]);
            f(Lane::events, in_[1]);
        }
    }
    template <class F>
    void each_out(F f) noexcept {
        if constexpr (side == Side::client) {
            f(Lane::requests, out_[0]);
        } else {
            f(Lane::responses, out_[0]);
            f(Lane::events, out_[1]);
        }
    }

    /// Puts up the flags of the incoming lanes that are of interest and takes the others down. Credit is shown before,
    /// for who sleeps may not come back soon: after the fence announce_credit() is due.
    void arm_frames(LaneSet lanes, Bell bell, const Generation& generation) noexcept {
        each_in([&](Lane lane, ReceivingLane<Memory>& in) {
            in.reader.show_credit();
            if (lanes.has(lane))
                in.asleep.arm(bell, generation);
            else
                in.asleep.disarm();
        });
    }
    void arm_room(LaneSet lanes, Bell bell, const Generation& generation) noexcept {
        each_out([&](Lane lane, SendingLane<Memory>& out) {
            if (lanes.has(lane))
                out.wants_room.arm(bell, generation);
            else
                out.wants_room.disarm();
        });
    }
    void disarm_frames() noexcept {
        each_in([](Lane, ReceivingLane<Memory>& in) { in.asleep.disarm(); });
    }
    void disarm_room() noexcept {
        each_out([](Lane, SendingLane<Memory>& out) { out.wants_room.disarm(); });
    }

    /// Wakes the senders that sleep for room which was shown lately. The receiving thread's.
    void announce_credit() noexcept {
        each_in([&](Lane, ReceivingLane<Memory>& in) {
            if (in.reader.take_shown()) [[unlikely]]
                credit_shown(in);
        });
    }

    /// Whether something of the interest may be there, or the end was noticed. After arming and a fence: the last look.
    bool shows(Interest interest) noexcept { return standing_.has_ended() || finds(interest); }
    /// The same of the lanes alone, of a connection that stands.
    bool finds(Interest interest) noexcept {
        bool any = false;
        if (!interest.frames.empty()) {
            each_in([&](Lane lane, ReceivingLane<Memory>& in) {
                if (!interest.frames.has(lane)) return;
                if (in.reader.promising() || in.reader.violated()) any = true;
            });
        }
        if (!interest.room.empty()) [[unlikely]] {
            each_out([&](Lane lane, SendingLane<Memory>& out) {
                if (interest.room.has(lane) && out.writer.has_room(out.wanted)) any = true;
            });
        }
        return any;
    }

    /// No more can be sent. Both sockets go, so that whoever sleeps on the other one learns of it.
    void break_off() noexcept {
        if (!standing_.break_off()) end_sockets();
    }
    /// The same, noticed by who drives the incoming lanes: what is in them now may still come, one lap of each at most.
    void hang_up() noexcept {
        break_off();
        standing_.end(errc::disconnected);
        each_in([](Lane, ReceivingLane<Memory>& in) { in.reader.end_after_one_lap(); });
    }
    /// It is this side that ends it. A service's one thread drives all lanes; a client's incoming ones may be
    /// another's.
    void end(errc why) noexcept {
        if constexpr (side == Side::service) hang_up();
        break_off();
        standing_.end(why);
    }
    void violation() noexcept { end(errc::protocol_violation); }

    /// Has the kernel find pages of the peer's area, before they are read. What a service has to allocate in its peer's
    /// place is on the account of that user. False: there are none, for him or at all.
    bool find_pages(std::uint64_t from, std::uint64_t count) noexcept {
        const std::size_t missing = side == Side::service ? peers_.missing(from, count) : 0;
        if (!pages_.take(missing)) return false;
        if (!peers_.populate(from, count, Access::read)) return true;
        pages_.give_back(missing);
        return false;
    }

    Standing standing_;
    std::size_t max_message_;
    std::array<ReceivingLane<Memory>, incoming> in_;
    std::array<SendingLane<Memory>, outgoing> out_;
    Descriptor call_;
    Descriptor event_;
    Charge pages_;  ///< what a service's lanes grew to, on the account of the client's user

private:
    void set_in(Lane lane, const LaneShape& shape, std::uint64_t data, std::uint64_t credit, std::uint64_t asleep,
                std::uint64_t wants_room) noexcept {
        ReceivingLane<Memory>& in = in_of(lane);
        in.reader = LaneReader<Memory>(peers_.data() + data, shape, word(own_, credit), ready_at_start);
        in.at = data;
        in.asleep = Sleeper<Memory>(word(own_, asleep));
        in.wants_room = Ringer<Memory>(word(peers_, wants_room));
    }
    void set_out(Lane lane, const LaneShape& shape, std::uint64_t data, std::uint64_t credit, std::uint64_t asleep,
                 std::uint64_t wants_room, std::uint64_t populated) noexcept {
        SendingLane<Memory>& out = out_of(lane);
        out.writer = LaneWriter<Memory>(own_.data() + data, shape, word(peers_, credit), populated);
        out.asleep = Ringer<Memory>(word(peers_, asleep));
        out.wants_room = Sleeper<Memory>(word(own_, wants_room));
        out.at = data;
    }
    static std::uint64_t* word(const Mapping<Kernel>& area, std::uint64_t at) noexcept {
        return reinterpret_cast<std::uint64_t*>(area.data() + at);
    }

    /// Runs at each credit step at least. A connection that another thread, or the other direction, broke off is found
    /// here too: a peer that goes on publishing gains no more than a lap.
    void credit_shown(ReceivingLane<Memory>& in) noexcept {
        if (standing_.broken()) [[unlikely]]
            in.reader.end_after_one_lap();
        Memory::fence();
        if (const Bell bell = in.wants_room.due(); bell != Bell::none) [[unlikely]]
            ring(bell);
    }

    [[gnu::noinline]] void ring(Bell bell) noexcept {
        const int socket = side == Side::service && bell == Bell::event ? event_.get() : call_.get();
        if (ring_bell<Kernel>(socket)) return;
        if constexpr (side == Side::service)
            hang_up();
        else
            break_off();  // this may be the sending half: the receiving one finds out by itself
    }

    void end_sockets() noexcept {
        // Ends it even where a forked child holds on to a copy of a descriptor.
        Kernel::shutdown(call_.get(), SHUT_RDWR);
        Kernel::shutdown(event_.get(), SHUT_RDWR);
    }

    [[gnu::noinline, gnu::cold]] std::byte* refuse_closed(SendingLane<Memory>& out) noexcept {
        out.refused = standing_.refusal();
        return nullptr;
    }

    /// Populates what is missing, or says why there is no room.
    [[gnu::noinline, gnu::cold]] std::byte* reserve_slowly(SendingLane<Memory>& out, std::size_t size) noexcept {
        out.wanted = size;
        while (out.writer.refused() == Room::populate) {
            // Half of what a user may have is for speed; with the other half sessions get by that go round in little.
            if (pages_.scarce() && out.writer.narrow()) {
                if (std::byte* const place = out.writer.reserve(size)) return place;
                continue;
            }
            const std::uint64_t from = out.writer.populate_from();
            const std::uint64_t count = out.writer.populate_size();
            out.refused = pages_.take(count) ? own_.populate(out.at + from, count) : errc::over_quota;
            if (out.refused == errc::over_quota)
                end(errc::over_quota);  // it would find no room, and nobody to make some
            else if (out.refused)
                pages_.give_back(count);  // it may be tried again
            if (out.refused) return nullptr;
            out.writer.populated_to(from + count);
            if (std::byte* const place = out.writer.reserve(size)) return place;
        }
        if (out.writer.refused() == Room::violation) {
            violation();
            out.refused = errc::protocol_violation;
        } else {
            out.refused = errc::lane_full;
        }
        return nullptr;
    }

    [[gnu::noinline, gnu::cold]] bool peek_surely(ReceivingLane<Memory>& in, Frame& frame) noexcept {
        do {
            if (in.reader.wants_memory()) make_sure_of(in);
            if (in.reader.peek(frame)) return true;
        } while (in.reader.wants_memory());
        return false;
    }

    /// The next pages of a peer's lane. An honest peer has allocated them before it wrote there, and this is done in a
    /// moment.
    [[gnu::noinline, gnu::cold]] void make_sure_of(ReceivingLane<Memory>& in) noexcept {
        const std::uint64_t from = in.reader.present();
        const std::uint64_t count = populate_step - from % populate_step;
        if (find_pages(in.at + from, count)) return in.reader.present_to(from + count);
        in.reader.stop_here();
        end(errc::over_quota);
    }

    /// What is out of the way of a message that is there.
    [[gnu::noinline]] bool found_nothing(ReceivingLane<Memory>& in, Frame& frame) noexcept {
        if (in.reader.take_shown()) credit_shown(in);
        if (standing_.broken() || in.reader.stuck()) [[unlikely]]
            return standing_.broken() || in.reader.violated() ? peek_last(in, frame) : peek_surely(in, frame);
        return false;
    }

    /// The lane is empty, and no more will be sent: but something may have been published between the look and the end.
    [[gnu::noinline, gnu::cold]] bool peek_last(ReceivingLane<Memory>& in, Frame& frame) noexcept {
        in.reader.end_after_one_lap();
        if (peek_surely(in, frame)) return true;
        if (in.reader.violated())
            violation();
        else
            standing_.end(errc::disconnected);
        return false;
    }

    Mapping<Kernel> own_;
    Mapping<Kernel> peers_;
    Credentials peer_;
};

}  // namespace qbipc::detail
