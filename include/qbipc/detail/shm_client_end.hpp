// SPDX-License-Identifier: BSL-1.0
// shm_client_end.hpp: a client's end of a session over shared memory: spins or sleeps by itself, or is watched by a
// loop.
#pragma once

#include <array>
#include <cstddef>
#include <poll.h>
#include <utility>

#include <qbipc/detail/bell.hpp>
#include <qbipc/detail/shm_end.hpp>
#include <qbipc/detail/waiting.hpp>
#include <qbipc/error.hpp>
#include <qbipc/memory.hpp>
#include <qbipc/time.hpp>
#include <qbipc/transport.hpp>
#include <qbipc/wait.hpp>

namespace qbipc::detail {

/// Three sleepers, each with a socket of its own, so that none takes another's bell: who calls, and the sending half,
/// sleep on C; the loop, and the receiving half, on E.
template <WaitStrategy Wait, class Kernel, MemoryPolicy Memory>
class ShmClientEnd : public ShmEnd<Side::client, Kernel, Memory> {
    using Base = ShmEnd<Side::client, Kernel, Memory>;

public:
    explicit ShmClientEnd(ShmParts<Kernel>&& parts) noexcept : Base(std::move(parts)) {}
    ShmClientEnd(ShmClientEnd&&) noexcept = default;
    ShmClientEnd& operator=(ShmClientEnd&& other) noexcept {
        if (this != &other) {
            finish();
            Base::operator=(std::move(other));
            caller_ = other.caller_;
            receiver_ = other.receiver_;
            loop_wants_room_ = other.loop_wants_room_;
        }
        return *this;
    }
    ~ShmClientEnd() { finish(); }

    /// The limit is taken by reference: a duration becomes a point in time once, however often one waits within it.
    Result<void> wait(Interest interest, Party party, TimeLimit& limit, int alarm) {
        const auto ready = [&]() noexcept { return this->shows(interest); };
        Sleeping& who = party == Party::receiver ? receiver_ : caller_;
        if (limit.is_zero()) [[unlikely]] {
            if (ready()) return {};
        } else if (who.strategy.spin(ready, limit)) [[likely]] {
            return {};
        }
        return sleep(interest, party, limit, alarm);
    }
    Result<void> wait(Interest interest, Party party, TimeLimit&& limit, int alarm) {
        return wait(interest, party, limit, alarm);
    }

    std::array<int, 1> descriptors() const noexcept { return {event_.get()}; }

    void quiet() noexcept {
        if (standing_.forked()) return;
        listen_to(event_.get(), receiver_);
        this->disarm_frames();
        if (std::exchange(loop_wants_room_, false)) this->disarm_room();
    }

    bool arm(Interest interest) noexcept {
        if (standing_.closed()) return false;
        this->arm_frames(interest.frames, Bell::event, receiver_.bells);
        // The words for room belong to the sending half's thread where there is one.
        if (!interest.room.empty()) {
            loop_wants_room_ = true;
            this->arm_room(interest.room, Bell::event, receiver_.bells);
        }
        Memory::fence();
        this->announce_credit();
        return !this->shows(interest);
    }

    static constexpr bool sent_in_part() noexcept { return false; }

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

    /// What belongs to one socket and who sleeps on it.
    struct alignas(64) Sleeping {
        Wait strategy;
        Generation bells;
    };

    [[gnu::noinline]] Result<void> sleep(Interest interest, Party party, TimeLimit& limit, int alarm) {
        const bool receiving = party != Party::sender;
        Sleeping& who = party == Party::receiver ? receiver_ : caller_;
        const int socket = party == Party::receiver ? event_.get() : call_.get();
        const Bell bell = party == Party::receiver ? Bell::event : Bell::call;
        const bool may_sleep = Wait::sleeps && !limit.is_zero();
        const auto wake = [&]() noexcept {
            if (!may_sleep) return;
            if (receiving) this->disarm_frames();
            if (party != Party::receiver) this->disarm_room();
        };
        for (;;) {
            if (may_sleep) {
                if (receiving) this->arm_frames(interest.frames, bell, who.bells);
                if (party != Party::receiver) this->arm_room(interest.room, bell, who.bells);
                Memory::fence();
                if (receiving) this->announce_credit();
            }
            if (this->shows(interest)) {
                wake();
                return {};
            }
            std::array<pollfd, 2> watched{{{socket, POLLIN, 0}, {alarm, POLLIN, 0}}};
            const auto start = Kernel::now();
            const Deadline until = may_sleep ? limit.deadline() : Deadline(start);
            const int ready = poll_until<Kernel>(watched.data(), watched.size(), until);
            if (may_sleep && ready > 0) who.strategy.slept(Kernel::now() - start);
            if (watched[0].revents != 0) listen_to(socket, who, receiving);
            wake();
            if (ready < 0) return fail_system(-ready);
            if (ready > 0) {
                // Who rings on and on for nothing mustn't keep this side past its limit.
                const bool over = limit.is_zero() || limit.deadline().passed();
                if (over && !this->shows(interest)) return fail(errc::timed_out);
                return {};
            }
            if (may_sleep || limit.is_zero() || limit.deadline().passed()) return fail(errc::timed_out);
            if (who.strategy.spin([&]() noexcept { return this->shows(interest); }, limit)) return {};
        }
    }

    [[gnu::noinline]] void listen_to(int socket, Sleeping& who, bool receiving = true) noexcept {
        const Heard heard = hear<Kernel>(socket);
        if (heard.bells) who.bells.drained();
        if (heard.bye) standing_.heard_bye();
        if (heard.violation || heard.ack) {
            if (receiving) this->each_in([](Lane, auto& in) { in.reader.stop_here(); });  // nothing more of who cheats
            return this->violation();
        }
        if (!heard.gone) return;
        if (receiving)
            this->hang_up();
        else
            this->break_off();  // for the receiving half to find out: it may still have frames to take
    }

    void finish() noexcept {
        if (call_) this->shutdown();
    }

    Sleeping caller_;
    Sleeping receiver_;
    bool loop_wants_room_ = false;
};

}  // namespace qbipc::detail
