// SPDX-License-Identifier: BSL-1.0
// detail/reception.hpp: from a knock to a session: limits, policy, hello, private data, memory, in this order.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <sys/epoll.h>
#include <system_error>
#include <utility>
#include <vector>

#include <qbipc/detail/admission.hpp>
#include <qbipc/detail/connecting_share.hpp>
#include <qbipc/detail/fork_guard.hpp>
#include <qbipc/detail/make_room.hpp>
#include <qbipc/detail/timer.hpp>
#include <qbipc/error.hpp>
#include <qbipc/kernel.hpp>
#include <qbipc/options.hpp>
#include <qbipc/time.hpp>
#include <qbipc/transport.hpp>

namespace qbipc::detail {

/// The visitors of one service. Owns the listener and the counts of who is inside; what is admitted goes to the service
/// as a half-open end.
template <TransportPolicy T>
class Reception {
    using Visitor = typename T::Listener::Visitor;
    using Kernel = KernelOf<T>;

public:
    /// Told apart from sessions in an epoll tag by this bit: pointers are even.
    static constexpr std::uint64_t guest_bit = 1;
    static constexpr std::uint64_t listener_tag = 2, turn_tag = 4;  ///< no pointers, and even

    Reception(typename T::Listener listener, Timer<Kernel> turn, const ServiceOptions& options, ForkGuard guard)
        : options_(options),
          listener_(std::move(listener)),
          turn_(std::move(turn)),
          guard_(guard),
          admission_(options.limits) {}

    int fd() const noexcept { return listener_.fd(); }
    bool forked() const noexcept { return guard_.forked(); }
    const typename T::Listener& listener() const noexcept { return listener_; }
    Admission& admission() noexcept { return admission_; }
    const Admission& admission() const noexcept { return admission_; }
    std::uint64_t refused() const noexcept { return refused_; }

    /// Sessions had so many frames: who visits leaves them most of the time.
    void sessions_took(std::size_t frames) noexcept { share_.took(frames); }

    /// The timer by which those who wait for their turn are remembered was announced.
    void turn_came() noexcept { turn_.quiet(); }

    /// These guests' tags were announced, or expire() found some, and, where there is a knock, the listener's
    /// descriptor, or the timer's. Guests first, for who only knocks can do so without end; one of each kind always has
    /// his turn. Who has to wait wakes nobody meanwhile: where all share a core, those come to run whom the time is
    /// for.
    template <class Hooks>
    void see_to(Hooks& hooks, int epoll, bool knock, std::span<const epoll_event> guests) {
        for (const epoll_event& guest : guests) guest_of(guest.data.u64).called = true;
        bool all = share_.begin();
        if (all) {
            listen(epoll, true);
            bool first = true;
            for (auto& guest : guests_) {
                if (!guest->called || guard_.forked()) continue;
                all = std::exchange(first, false) || share_.has_time();
                if (!all) break;
                guest->called = false;
                advance(hooks, *guest);
            }
            if (knock && !guard_.forked()) accept(hooks, epoll);
            share_.done();
        }
        if (all || guard_.forked()) return;
        listen(epoll, false);
        turn_.alarm(share_.due());
    }

    /// Who has been here too long, `expired(since)`, is to be seen to once more, and refused if he hasn't said by then
    /// what he wants: it may be the service that looks late, which may have stood still for longer than all have. True:
    /// there is somebody.
    template <class Expired>
    bool expire(Expired&& expired) {
        bool anybody = false;
        for (auto& guest : guests_)
            if (!guest->gone && !guest->called && expired(guest->since)) guest->called = guest->late = anybody = true;
        return anybody;
    }
    /// Since when the oldest of those visitors has been here who don't wait for their turn.
    std::optional<Clock::time_point> oldest() const {
        for (const auto& guest : guests_)  // they stand in the order of their coming
            if (!guest->called) return guest->since;
        return {};
    }
    /// They stay in memory until then: an epoll batch may name them.
    void forget_gone() {
        std::erase_if(guests_, [](const auto& guest) { return guest->gone; });
    }
    void forget_all() { guests_.clear(); }

private:
    static constexpr std::size_t accepts_per_turn = 16;

    struct Guest {
        Visitor visitor;
        uid_t uid;
        Clock::time_point since;
        bool gone = false;
        bool called = false;  ///< announced, or late, and not seen to yet
        bool late = false;    ///< when he is seen to next he has to have said all
    };

    static Guest& guest_of(std::uint64_t tag) noexcept { return *reinterpret_cast<Guest*>(tag & ~guest_bit); }
    /// Whether the listener's descriptor is announced.
    void listen(int epoll, bool now) noexcept {
        if (std::exchange(listens_, now) == now) return;
        epoll_event event{now ? std::uint32_t{EPOLLIN} : 0u, {.u64 = listener_tag}};
        (void)Kernel::epoll_ctl(epoll, EPOLL_CTL_MOD, listener_.fd(), &event);
    }

    /// The listener's descriptor was announced. `hooks.check(credentials)` gives the policy's refusal; for the rest see
    /// advance().
    template <class Hooks>
    void accept(Hooks& hooks, int epoll) {
        for (std::size_t i = 0; i < accepts_per_turn && (i == 0 || share_.has_time()); ++i) {
            auto visitor = listener_.accept();
            if (!visitor) {
                ++refused_;
                continue;
            }
            if (!*visitor) return;
            const uid_t uid = (*visitor)->peer().uid;
            std::error_code refusal = admission_.enter(uid);
            if (!refusal) {
                refusal = hooks.check((*visitor)->peer());
                if (guard_.forked()) return;  // in the policy: the door is the parent's
                if (!refusal && !seat(**visitor, uid)) refusal = std::make_error_code(std::errc::not_enough_memory);
                if (refusal) admission_.leave(uid, false);
            }
            if (refusal) {
                ++refused_;
                (*visitor)->refuse(refusal);
                continue;
            }
            Guest& guest = *guests_.back();
            advance(hooks, guest);  // most have said already what they want
            if (guard_.forked()) return;
            if (guest.gone) continue;
            if (auto attached = guest.visitor.attach(epoll, reinterpret_cast<std::uint64_t>(&guest) | guest_bit);
                !attached)
                refuse(guest, attached.error());
        }
    }

    /// A guest was announced, or is late. Once he has said what he wants, `hooks.accept(credentials)` makes the private
    /// data or refuses, and `hooks.admitted(end, data, uid)` takes the half-open end over; false: it couldn't.
    template <class Hooks>
    void advance(Hooks& hooks, Guest& guest) {
        if (guest.gone) return;
        const auto heard = guest.visitor.hello();
        if (!heard) return dismiss(guest);  // he was told why
        if (!*heard) {
            if (guest.late) refuse(guest, make_error_code(errc::timed_out));
            return;
        }
        auto data = hooks.accept(guest.visitor.peer());
        if (guard_.forked()) return;  // in there: the visitor is the parent's
        if (!data) return refuse(guest, data.error());
        bool admitted = false;
        try {
            auto end = guest.visitor.admit(options_);  // an error: he was told, likewise
            admitted = end && hooks.admitted(std::move(*end), std::move(*data), guest.uid);
        } catch (const std::bad_alloc&) {  // one who was let in already finds that it is over
            guest.visitor.refuse(std::make_error_code(std::errc::not_enough_memory));
        }
        if (!admitted) return dismiss(guest);
        guest.gone = true;
    }

    /// False: there is no memory for him. The visitor is unharmed then.
    bool seat(Visitor& visitor, uid_t uid) {
        try {
            make_room(guests_, guests_.size() + 1);
            guests_.emplace_back(new Guest{std::move(visitor), uid, Clock::now()});  // moves once there is memory
            return true;
        } catch (const std::bad_alloc&) {
            return false;
        }
    }
    void refuse(Guest& guest, std::error_code why) {
        guest.visitor.refuse(why);
        dismiss(guest);
    }
    void dismiss(Guest& guest) {
        guest.gone = true;
        admission_.leave(guest.uid, false);
        ++refused_;
    }

    const ServiceOptions& options_;
    typename T::Listener listener_;
    Timer<Kernel> turn_;
    ForkGuard guard_;
    bool listens_ = true;
    Admission admission_;
    ConnectingShare share_;
    std::vector<std::unique_ptr<Guest>> guests_;
    std::uint64_t refused_ = 0;
};

}  // namespace qbipc::detail
