// SPDX-License-Identifier: BSL-1.0
// detail/service_loop.hpp: a service's turns: who has something, who is hot, who is gone. Knows no selector.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <utility>

#include <qbipc/detail/connection.hpp>
#include <qbipc/detail/departures.hpp>
#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/door.hpp>
#include <qbipc/detail/fork_guard.hpp>
#include <qbipc/detail/grace_timer.hpp>
#include <qbipc/detail/hot_set.hpp>
#include <qbipc/detail/make_room.hpp>
#include <qbipc/detail/ready_list.hpp>
#include <qbipc/detail/reception.hpp>
#include <qbipc/detail/scope_flag.hpp>
#include <qbipc/detail/service_counters.hpp>
#include <qbipc/detail/session_range.hpp>
#include <qbipc/detail/timer.hpp>
#include <qbipc/kernel.hpp>
#include <qbipc/options.hpp>
#include <qbipc/statistics.hpp>
#include <qbipc/transport.hpp>

namespace qbipc::detail {

/// The loop of one service. Its hooks, given to each function that may call them, are the service's own:
/// `check(credentials)` -> error_code; `accept(credentials)` -> Result of private data; `bind(connection, data)`;
/// `connected(connection)`; `disconnected(connection)`; `request(connection, message)`. None of them throws.
template <TransportPolicy T>
class ServiceLoop final : public ConnectionOwner<T> {
    using Wait = typename HotSet<T>::Wait;
    using Kernel = KernelOf<T>;

public:
    static Result<std::unique_ptr<ServiceLoop>> make(typename T::Listener listener, ServiceOptions options,
                                                     ForkGuard guard) {
        auto door = Door::make<Kernel>(guard);
        if (!door) return fail(door.error());
        auto epoll = BasicDescriptor<>::from(Kernel::epoll_create1(EPOLL_CLOEXEC));
        if (!epoll) return fail(epoll.error());
        auto timer =
            GraceTimer<Kernel>::make(Deadline::after(Clock::time_point{}, options.limits.handshake).time_since_epoch());
        if (!timer) return fail(timer.error());
        auto turn = Timer<Kernel>::make();
        if (!turn) return fail(turn.error());
        const std::array<int, 4> watched{listener.fd(), turn->fd(), (*door)->fd(), timer->fd()};
        for (std::uint64_t tag = Reception<T>::listener_tag; const int fd : watched) {
            epoll_event event{EPOLLIN, {.u64 = std::exchange(tag, tag + 2)}};
            if (const int error = Kernel::epoll_ctl(epoll->get(), EPOLL_CTL_ADD, fd, &event); error < 0)
                return fail_system(-error);
        }
        return std::unique_ptr<ServiceLoop>(new ServiceLoop(std::move(listener), std::move(options), std::move(*door),
                                                            std::move(*epoll), std::move(*timer), std::move(*turn),
                                                            guard));
    }
    ServiceLoop(const ServiceLoop&) = delete;
    ServiceLoop& operator=(const ServiceLoop&) = delete;

    int fd() const noexcept { return epoll_.get(); }
    const Connections<T>& connections() const noexcept { return connections_; }
    bool dispatching() const noexcept { return dispatching_; }
    std::shared_ptr<Door> door() const override { return door_; }
    const Limits& limits() const override { return options_.limits; }
    const typename T::Listener& listener() const noexcept { return reception_.listener(); }

    void wake(Connection<T>& connection) override {
        if (connection.ready) return;
        ready_.add(connection);
        if (!dispatching_) door_->ring(1);
    }

    /// One turn for a foreign loop: never blocks, never spins. Gives the number of frames taken.
    template <class Hooks>
    std::size_t dispatch(Hooks& hooks, Budget budget) {
        const ScopeFlag turn(dispatching_);
        door_->enter();
        look_at_kernel(hooks, 0);
        if (reception_.forked()) return 0;
        const std::size_t taken = serve_ready(hooks, budget.frames);
        reception_.sessions_took(taken);
        reap(hooks);
        if (!ready_.empty()) door_->ring(1);  // whoever leaves work behind rings himself
        return taken;
    }

    /// Turns until it is told to stop.
    template <class Hooks>
    void run(Hooks& hooks, const std::stop_token& stop) {
        const std::stop_callback wake_up(stop, [door = door_] { door->ring(1); });
        const ScopeFlag turn(dispatching_);
        const ScopeFlag running(running_);
        door_->enter();
        looked_ = Clock::now();
        std::size_t since_look = 0;
        while (!stop.stop_requested() && !stopped_) {
            since_look += serve_ready(hooks, frames_per_look);
            if (!departures_.empty()) [[unlikely]]
                reap(hooks);
            if (since_look >= frames_per_look) {
                reception_.sessions_took(std::exchange(since_look, 0));
                hot_.glance(into_ready());  // who always has something mustn't keep those that are looked at waiting
                if (Clock::now() - looked_ >= HotSet<T>::look_interval) look_around(hooks);
            } else if (ready_.empty()) {
                if (Connection<T>* const hot = hot_.spin()) {
                    since_look += serve(hooks, *hot, ReadyList<T>::fair_share);
                    if (hot_.took_long()) since_look = frames_per_look;
                } else {
                    reception_.sessions_took(std::exchange(since_look, 0));
                    Wait::sleeps || hot_.empty() ? sleep(hooks) : look_around(hooks);
                }
            }
        }
        stopped_ = false;
        hot_.cool(true, into_ready());
        if (!ready_.empty()) door_->ring(1);
    }

    /// Ends every session, with its hook.
    template <class Hooks>
    void end_all(Hooks& hooks) {
        const ScopeFlag turn(dispatching_);
        door_->enter();
        for (auto& connection : connections_) connection->finish(EndReason::stopped);
        for (auto& connection : connections_) conclude(*connection);
        reap(hooks);
        reception_.forget_all();
        door_->close();
    }

    ServiceStatistics statistics() const { return counters_.since_cleared(counted()); }
    void clear_statistics() { counters_.clear(counted()); }

private:
    static constexpr std::uint64_t door_tag = 6, timer_tag = 8;  // behind those of the reception
    static constexpr std::size_t frames_per_look = std::min<std::size_t>(16, ReadyList<T>::fair_share);

    ServiceLoop(typename T::Listener listener, ServiceOptions options, std::shared_ptr<Door> way_in,
                BasicDescriptor<> epoll, GraceTimer<Kernel> timer, Timer<Kernel> turn, ForkGuard guard)
        : options_(std::move(options)),
          door_(std::move(way_in)),
          epoll_(std::move(epoll)),
          timer_(std::move(timer)),
          reception_(std::move(listener), std::move(turn), options_, guard) {}

    // ---- the kernel's news

    template <class Hooks>
    void look_at_kernel(Hooks& hooks, int milliseconds) {
        if (reception_.forked()) return void(stopped_ = true);  // by a function that came back: all is the parent's
        std::array<epoll_event, 64> news;
        std::size_t guests = 0;  // of them, moved to the beginning
        bool knock = false, late = false;
        const int count = Kernel::epoll_wait(epoll_.get(), news.data(), static_cast<int>(news.size()), milliseconds);
        for (int i = 0; i < count; ++i) {
            const std::uint64_t tag = news[static_cast<std::size_t>(i)].data.u64;
            if (tag == Reception<T>::listener_tag || tag == Reception<T>::turn_tag) {
                if (tag == Reception<T>::turn_tag) reception_.turn_came();
                knock = true;
            } else if (tag == door_tag) {
                if (door_->answer_bell()) stopped_ = true;
                door_->run_posted();
                if (reception_.forked()) return void(stopped_ = true);
                if (door_->heard_cry())  // a thread couldn't even hand over that an answer failed
                    for (auto& connection : connections_)
                        if (connection->lost_answer()) connection->finish(EndReason::quota);
            } else if (tag == timer_tag) {
                late = expire();
            } else if ((tag & Reception<T>::guest_bit) != 0) {
                news[guests++].data.u64 = tag;
            } else {
                auto& connection = *reinterpret_cast<Connection<T>*>(tag);
                connection.end.drain();
                ready_.add(connection);
            }
        }
        if (knock || late || guests != 0) {
            ReceptionHooks<Hooks> at_the_door{*this, hooks};
            reception_.see_to(at_the_door, epoll_.get(), knock, std::span(news).first(guests));
            if (reception_.forked()) return void(stopped_ = true);
        }
        reception_.forget_gone();
        if (const auto oldest = reception_.oldest()) timer_.watch(*oldest);
    }

    template <class Hooks>
    struct ReceptionHooks {
        ServiceLoop& loop;
        Hooks& hooks;
        std::error_code check(const Credentials& who) { return hooks.check(who); }
        auto accept(const Credentials& who) { return hooks.accept(who); }
        template <class Data>
        bool admitted(typename T::ServiceEnd end, Data data, uid_t uid) {
            // A session has its place in every list from the start: nothing on its way can fail for want of one.
            const std::size_t sessions = loop.connections_.size() + 1;
            make_room(loop.connections_, sessions);
            loop.ready_.make_room(sessions);
            loop.departures_.make_room(sessions);
            auto connection = std::make_unique<Connection<T>>(loop, std::move(end), loop.next_id_++, uid);
            auto& admission = loop.reception_.admission();
            connection->charge_to(admission.account(uid), admission.lanes(uid), loop.spare_);
            if (!connection->end.attach(loop.epoll_.get(), reinterpret_cast<std::uint64_t>(connection.get())))
                return false;
            hooks.bind(*connection, std::move(data));
            connection->index = loop.connections_.size();
            loop.connections_.push_back(std::move(connection));
            loop.ready_.add(*loop.connections_.back());
            loop.timer_.watch(loop.connections_.back()->since);
            return true;
        }
    };

    // ---- time limits: of handshakes, and of what lingers

    /// True: visitors are among them.
    bool expire() {
        timer_.rang();
        const auto is_over = [&, now = Clock::now()](Clock::time_point since) { return timer_.is_over(since, now); };
        for (auto& connection : connections_) {
            if (connection->opened && !connection->lingering) continue;
            if (is_over(connection->since)) {
                connection->time_is_over();
                ready_.add(*connection);
            } else {
                timer_.watch(connection->since);
            }
        }
        return reception_.expire(is_over);
    }

    // ---- serving

    auto into_ready() noexcept {
        return [this](Connection<T>& connection) { ready_.add(connection); };
    }

    template <class Hooks>
    std::size_t serve_ready(Hooks& hooks, std::size_t budget) {
        return ready_.serve(
            budget, [&](Connection<T>& connection, std::size_t share) { return serve(hooks, connection, share); });
    }

    /// One session's turn; `share`: frames. Gives how many of them it took.
    template <class Hooks>
    std::size_t serve(Hooks& hooks, Connection<T>& connection, std::size_t share) {
        if (connection.reason != EndReason::none) {
            conclude(connection);
            return 0;
        }
        if (!connection.opened && !open(hooks, connection)) return 0;
        const std::uint64_t owed = connection.owed();
        std::size_t left = share;
        bool gone = false;
        for (;;) {
            const bool ended = static_cast<bool>(connection.end.ended());
            connection.push_out(ended);
            ReceivedMessage message;
            while (connection.reason == EndReason::none && (ended || gone || connection.takes_requests()) &&
                   connection.requests.next(connection.end, message, left)) {
                ++connection.counters.requests;
                connection.counters.bytes_received += message.size;
                hooks.request(connection, message);
                connection.requests.done(connection.end);
            }
            const std::size_t used = share - left;
            if (connection.requests.over_quota() || !connection.charge_outboxes()) [[unlikely]]
                connection.finish(EndReason::quota);
            connection.busy_lately |= used != 0;
            if (connection.reason != EndReason::none) return used;  // wake() has put it among the ready
            if (connection.requests.violated()) {
                connection.finish(EndReason::violation);
                return used;
            }
            if (left == 0) {
                hot_.took(used, connection.owed() != owed, false);
                ready_.add(connection);
                return used;
            }
            if (ended) {
                connection.end.drain();  // a goodbye may lie behind the bell that couldn't be rung any more
                connection.finish(connection.why_ended());
                return used;
            }
            if (running_ && hot_.keep(connection)) {
                hot_.took(used, connection.owed() != owed, true);
                return used;
            }
            const Interest interest = connection.interest();
            connection.end.arm(interest);
            T::ServiceEnd::fence();
            if (!connection.end.look(interest)) return used;
            gone = interest == Interest{};  // nothing was looked for: it is the end that shows
        }
    }

    template <class Hooks>
    bool open(Hooks& hooks, Connection<T>& connection) {
        if (connection.end.established()) {
            connection.opened = true;
            reception_.admission().establish(connection.uid);
            counters_.opened();
            hooks.connected(connection);
            return true;
        }
        if (connection.end.ended()) connection.finish(EndReason::lost);
        return false;
    }

    template <class Hooks>
    void look_around(Hooks& hooks) {
        if (hot_.full()) hot_.cool(false, into_ready());  // makes room for those that ring
        look_at_kernel(hooks, 0);
        looked_ = Clock::now();
    }

    template <class Hooks>
    void sleep(Hooks& hooks) {
        hot_.cool(true, into_ready());
        if (!ready_.empty()) return;
        const auto start = Clock::now();
        look_at_kernel(hooks, -1);
        looked_ = Clock::now();
        hot_.slept(looked_ - start);
    }

    // ---- the end of a session

    /// It is to be ended: at once, or once what waits in its outboxes is out, where we are the ones who end it.
    void conclude(Connection<T>& connection) {
        const bool ended = static_cast<bool>(connection.end.ended());
        if (connection.reason == EndReason::disconnected || connection.lingering) {
            connection.push_out(ended);
            if (connection.has_more_to_say() && connection.charge_outboxes()) {
                if (!connection.lingering) {
                    hot_.forget(connection);  // nobody looks for its requests any more
                    connection.lingering = true;
                    connection.since = Clock::now();
                    timer_.watch(connection.since);
                    departures_.add(connection);
                }
                connection.end.arm(connection.interest());
                T::ServiceEnd::fence();
                if (connection.end.look(connection.interest())) ready_.add(connection);
                return;
            }
            connection.lingering = false;
        }
        departures_.add(connection);
    }

    template <class Hooks>
    void reap(Hooks& hooks) {
        departures_.see_off(hooks, [this](Connection<T>& connection) { remove(connection); });
    }

    void remove(Connection<T>& connection) {
        if (!connection.end.ended()) connection.end.shutdown();
        connection.release_memory();
        reception_.admission().leave(connection.uid, connection.opened);
        counters_.ended(connection);
        ready_.forget(connection);
        hot_.forget(connection);
        const std::size_t at = connection.index;
        std::swap(connections_[at], connections_.back());
        connections_[at]->index = at;
        connections_.pop_back();
    }

    ServiceStatistics counted() const {
        return counters_.now(connections_, reception_.admission(), reception_.refused());
    }

    const ServiceOptions options_;
    std::shared_ptr<Door> door_;
    BasicDescriptor<> epoll_;
    GraceTimer<Kernel> timer_;
    Reception<T> reception_;
    SessionId next_id_ = 1;
    bool dispatching_ = false;
    bool running_ = false;
    bool stopped_ = false;
    Clock::time_point looked_{};
    Connections<T> connections_;
    ReadyList<T> ready_;
    HotSet<T> hot_;
    Departures<T> departures_;
    Buffer spare_;  ///< for whichever session gets a long message
    ServiceCounters counters_;
};

}  // namespace qbipc::detail
