// SPDX-License-Identifier: BSL-1.0
// shm_service_end.hpp: a service's end of one session over shared memory, watched by the service's loop.
#pragma once

#include <cstdint>
#include <fcntl.h>
#include <sys/epoll.h>
#include <utility>

#include <qbipc/detail/bell.hpp>
#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/peer_process.hpp>
#include <qbipc/detail/shm_end.hpp>
#include <qbipc/error.hpp>
#include <qbipc/memory.hpp>
#include <qbipc/transport.hpp>

namespace qbipc::detail {

/// Listens to C alone: whatever it sleeps for, the client rings there.
template <class Kernel, MemoryPolicy Memory>
class ShmServiceEnd : public ShmEnd<Side::service, Kernel, Memory> {
    using Base = ShmEnd<Side::service, Kernel, Memory>;

public:
    /// `client_area`: kept until the client's ack, to be sealed then. `watches_process`: from then on, too, the death
    /// of the client's process ends the session.
    ShmServiceEnd(ShmParts<Kernel>&& parts, Descriptor client_area, bool watches_process = false) noexcept
        : Base(std::move(parts)), client_area_(std::move(client_area)), watches_process_(watches_process) {}
    ShmServiceEnd(ShmServiceEnd&& other) noexcept
        : Base(std::move(other)),
          client_area_(std::move(other.client_area_)),
          process_(std::move(other.process_)),
          bells_(other.bells_),
          epoll_(std::exchange(other.epoll_, -1)),
          tag_(other.tag_),
          watches_process_(other.watches_process_),
          established_(other.established_) {}
    ShmServiceEnd& operator=(ShmServiceEnd&& other) noexcept {
        if (this != &other) {
            finish();
            Base::operator=(std::move(other));
            client_area_ = std::move(other.client_area_);
            process_ = std::move(other.process_);
            bells_ = other.bells_;
            epoll_ = std::exchange(other.epoll_, -1);
            tag_ = other.tag_;
            watches_process_ = other.watches_process_;
            established_ = other.established_;
        }
        return *this;
    }
    ~ShmServiceEnd() { finish(); }

    Result<void> attach(int epoll, std::uint64_t tag) noexcept {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u64 = tag;
        const int error = Kernel::epoll_ctl(epoll, EPOLL_CTL_ADD, call_.get(), &event);
        if (error < 0) return fail_system(-error);
        epoll_ = epoll;
        tag_ = tag;
        return {};
    }

    void drain() noexcept {
        if (standing_.forked()) return;
        const Heard heard = hear<Kernel>(call_.get());
        // Ack comes first, and once.
        if (heard.violation || (heard.bells && heard.ack == established_)) {
            this->violation();
            return leave();
        }
        if (heard.ack) {
            if (standing_.has_ended()) return leave();  // behind what ended the session: too late to open it
            take_ack();
            if (standing_.has_ended()) return leave();
        }
        if (heard.bells) bells_.drained();
        if (heard.bye) standing_.heard_bye();
        if (heard.gone || (!heard.bells && process_.has_died()))
            leave();
        else if (heard.ack && watches_process_)
            process_.watch(call_.get(), epoll_, tag_);
        this->disarm_frames();
        this->disarm_room();
    }

    void arm(Interest interest) noexcept {
        if (standing_.forked()) return;
        this->arm_frames(interest.frames, Bell::call, bells_);
        this->arm_room(interest.room, Bell::call, bells_);
    }
    static void fence() noexcept { Memory::fence(); }
    bool look(Interest interest) noexcept {
        if (standing_.has_ended()) [[unlikely]]
            return true;
        this->announce_credit();
        return this->finds(interest);
    }

    bool established() const noexcept { return established_; }
    static constexpr bool sent_in_part() noexcept { return false; }

    /// The account for what its lanes grow to from here on.
    Charge& pages() noexcept { return pages_; }

private:
    using Base::call_;
    using Base::pages_;
    using Base::standing_;

    /// The client has mapped its area: from now on nobody can punch holes into it, or write by other ways. Up to now he
    /// could: what was there from the start is asked for once more.
    void take_ack() noexcept {
        if (!seal_client_area<Kernel>(client_area_.get())) return this->violation();
        client_area_.reset();
        if (!this->find_pages(0, area_header + ready_at_start)) return this->end(errc::over_quota);
        established_ = true;
    }

    /// The socket has nothing more to say: it leaves the epoll at once, where its hang-up would be announced for ever.
    void leave() noexcept {
        this->hang_up();
        detach();
    }

    void detach() noexcept {
        if (epoll_ < 0) return;
        process_.forget(epoll_);
        Kernel::epoll_ctl(std::exchange(epoll_, -1), EPOLL_CTL_DEL, call_.get(), nullptr);
    }

    void finish() noexcept {
        // A child shares the epoll with its parent: taking a socket out would take it from the parent.
        if (!call_ || standing_.forked()) return;
        this->shutdown();
        detach();
    }

    Descriptor client_area_;
    PeerProcess<Kernel> process_;
    Generation bells_;
    int epoll_ = -1;
    std::uint64_t tag_ = 0;
    bool watches_process_ = false;
    bool established_ = false;
};

}  // namespace qbipc::detail
