// SPDX-License-Identifier: BSL-1.0
// detail/service_loop.hpp: a service's turns: who has something, who is hot, who is gone. Knows no selector.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <utility>
#include <vector>

#include <qbipc/detail/connection.hpp>
#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/door.hpp>
#include <qbipc/detail/reception.hpp>
#include <qbipc/detail/session_range.hpp>
#include <qbipc/kernel.hpp>
#include <qbipc/options.hpp>
#include <qbipc/statistics.hpp>
#include <qbipc/transport.hpp>
#include <qbipc/wait.hpp>

namespace qbipc::detail {

/// How run() waits: as the transport says where a look at a lane costs no system call (`T::looks_are_cheap`); others sleep.
template <class T>
struct ServiceWait {
    using type = Block;
};
template <class T>
    requires requires { requires T::looks_are_cheap; }
struct ServiceWait<T> {
    using type = typename T::Wait;
};

/// The loop of one service. Its hooks, given to each function that may call them, are the service's own:
/// `check(credentials)` -> error_code; `accept(credentials)` -> Result of private data; `bind(connection, data)`;
/// `connected(connection)`; `disconnected(connection)`; `request(connection, message)`. None of them throws.
template <TransportPolicy T>
class ServiceLoop final : public ConnectionOwner<T> {
    using Wait = typename ServiceWait<T>::type;
    using Kernel = LinuxKernel;

public:
    static Result<std::unique_ptr<ServiceLoop>> make(typename T::Listener listener, ServiceOptions options) {
        auto door = Door::make();
        if (!door) return fail(door.error());
        auto epoll = BasicDescriptor<>::from(Kernel::epoll_create1(EPOLL_CLOEXEC));
        if (!epoll) return fail(epoll.error());
        auto timer = BasicDescriptor<>::from(Kernel::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
        if (!timer) return fail(timer.error());
        const std::array<std::pair<int, std::uint64_t>, 3> watched{
            {{listener.fd(), listener_tag}, {(*door)->fd(), door_tag}, {timer->get(), timer_tag}}};
        for (const auto& [fd, tag] : watched) {
            epoll_event event{EPOLLIN, {.u64 = tag}};
            if (const int error = Kernel::epoll_ctl(epoll->get(), EPOLL_CTL_ADD, fd, &event); error < 0)
                return fail_system(-error);
        }
        return std::unique_ptr<ServiceLoop>(
            new ServiceLoop(std::move(listener), std::move(options), std::move(*door), std::move(*epoll), std::move(*timer)));
    }
    ServiceLoop(const ServiceLoop&) = delete;
    ServiceLoop& operator=(const ServiceLoop&) = delete;

    int fd() const noexcept { return epoll_.get(); }
    const Connections<T>& connections() const noexcept { return connections_; }
    bool dispatching() const noexcept { return dispatching_; }
    std::shared_ptr<Door> door() const override { return door_; }
    const Limits& limits() const override { return options_.limits; }

    void wake(Connection<T>& connection) override {
        if (connection.ready) return;
        make_ready(connection);
        if (!dispatching_) door_->ring(1);
    }

    /// One turn for a foreign loop: never blocks, never spins. Gives the number of requests handled.
    template <class Hooks>
    std::size_t dispatch(Hooks& hooks, Budget budget) {
        const Turn turn(*this);
        look_at_kernel(hooks, 0);
        const std::size_t handled = serve_ready(hooks, budget.frames);
        reap(hooks);
        if (!ready_.empty()) door_->ring(1);  // whoever leaves work behind rings himself
        return handled;
    }

    /// Turns until it is told to stop.
    template <class Hooks>
    void run(Hooks& hooks, const std::stop_token& stop) {
        const std::stop_callback wake_up(stop, [door = door_] { door->ring(1); });
        const Turn turn(*this);
        running_ = true;
        looked_ = Clock::now();
        std::size_t since_look = 0;
        while (!stop.stop_requested() && !stopped_) {
            since_look += serve_ready(hooks, frames_per_look);
            reap(hooks);
            if (since_look >= frames_per_look) {
                since_look = 0;
                if (Clock::now() - looked_ >= look_interval) look_around(hooks);
            } else if (ready_.empty() && !spin()) {
                if (Wait::sleeps || hot_.empty())
                    sleep(hooks);
                else
                    look_around(hooks);
            }
        }
        stopped_ = running_ = false;
        cool(true);
        if (!ready_.empty()) door_->ring(1);
    }

    /// Ends every session, with its hook.
    template <class Hooks>
    void end_all(Hooks& hooks) {
        const Turn turn(*this);
        for (auto& connection : connections_) connection->finish(EndReason::stopped);
        for (auto& connection : connections_) conclude(*connection);
        reap(hooks);
        reception_.forget_all();
        door_->close();
    }

    ServiceStatistics statistics() const {
        ServiceStatistics sum = counted();
        static_cast<Statistics&>(sum) = sum.since(baseline_);
        sum.accepted -= baseline_.accepted, sum.refused -= baseline_.refused, sum.ended -= baseline_.ended;
        sum.sessions = reception_.admission().open();
        sum.half_open = reception_.admission().half_open();
        return sum;
    }
    void clear_statistics() { baseline_ = counted(); }

private:
    static constexpr std::uint64_t listener_tag = 2, door_tag = 4, timer_tag = 6;  // no pointers, and even
    static constexpr std::size_t most_hot = 16;
    static constexpr std::size_t frames_per_look = 64;
    static constexpr std::size_t fair_share = 32;  // requests of one session before the next has its turn
    static constexpr Clock::duration look_interval = std::chrono::microseconds(50);

    struct Turn {
        explicit Turn(ServiceLoop& of) noexcept : loop(of), outer(std::exchange(of.dispatching_, true)) { loop.door_->enter(); }
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;
        ~Turn() { loop.dispatching_ = outer; }
        ServiceLoop& loop;
        bool outer;
    };

    ServiceLoop(typename T::Listener listener, ServiceOptions options, std::shared_ptr<Door> way_in, BasicDescriptor<> epoll,
                BasicDescriptor<> timer)
        : options_(std::move(options)), door_(std::move(way_in)), epoll_(std::move(epoll)), timer_(std::move(timer)),
          reception_(std::move(listener), options_) {
        totals_.connected_since = std::chrono::system_clock::now();
    }

    // ---- the kernel's news

    template <class Hooks>
    void look_at_kernel(Hooks& hooks, int milliseconds) {
        ReceptionHooks<Hooks> at_the_door{*this, hooks};
        std::array<epoll_event, 64> news;
        const int count = Kernel::epoll_wait(epoll_.get(), news.data(), static_cast<int>(news.size()), milliseconds);
        for (int i = 0; i < count; ++i) {
            const std::uint64_t tag = news[static_cast<std::size_t>(i)].data.u64;
            if (tag == listener_tag) {
                reception_.accept(at_the_door, epoll_.get());
            } else if (tag == door_tag) {
                if (door_->answer_bell()) stopped_ = true;
                door_->run_posted();
            } else if (tag == timer_tag) {
                expire();
            } else if ((tag & Reception<T>::guest_bit) != 0) {
                reception_.advance(at_the_door, tag);
            } else {
                auto& connection = *reinterpret_cast<Connection<T>*>(tag);
                connection.end.drain();
                make_ready(connection);
            }
        }
        reception_.forget_gone();
        if (!reception_.empty()) set_timer();
    }

    template <class Hooks>
    struct ReceptionHooks {
        ServiceLoop& loop;
        Hooks& hooks;
        std::error_code check(const Credentials& who) { return hooks.check(who); }
        auto accept(const Credentials& who) { return hooks.accept(who); }
        template <class Data>
        bool admitted(typename T::ServiceEnd end, Data data, uid_t uid, Clock::time_point since) {
            auto connection = std::make_unique<Connection<T>>(loop, std::move(end), loop.next_id_++);
            connection->since = since;
            connection->uid = uid;
            if (!connection->end.attach(loop.epoll_.get(), reinterpret_cast<std::uint64_t>(connection.get()))) return false;
            hooks.bind(*connection, std::move(data));
            connection->index = loop.connections_.size();
            loop.connections_.push_back(std::move(connection));
            loop.make_ready(*loop.connections_.back());
            loop.set_timer();
            return true;
        }
    };

    // ---- time limits: of handshakes, and of what lingers

    void set_timer() {
        if (timer_set_) return;
        timer_set_ = true;
        const auto span = std::max<std::chrono::nanoseconds>(options_.limits.handshake, std::chrono::milliseconds(1));
        itimerspec at{};
        at.it_value.tv_sec = span / std::chrono::seconds(1);
        at.it_value.tv_nsec = (span % std::chrono::seconds(1)).count();
        (void)Kernel::timerfd_settime(timer_.get(), 0, &at);
    }

    void expire() {
        std::uint64_t count = 0;
        (void)Kernel::read(timer_.get(), &count, sizeof count);
        timer_set_ = false;
        const auto limit = Clock::now() - options_.limits.handshake;
        reception_.expire(limit);
        for (auto& connection : connections_) {
            if (connection->opened && !connection->lingering) continue;
            if (connection->since <= limit) {
                connection->lingering = false;
                connection->finish(EndReason::lost);
                make_ready(*connection);
            } else {
                set_timer();
            }
        }
    }

    // ---- serving

    void make_ready(Connection<T>& connection) {
        if (connection.ready) return;
        connection.ready = true;
        ready_.push_back(&connection);
    }

    /// Serves those that are ready, each its fair share in turn. Gives the number of requests handled.
    template <class Hooks>
    std::size_t serve_ready(Hooks& hooks, std::size_t budget) {
        std::size_t handled = 0;
        while (!ready_.empty() && handled < budget) {
            serving_.swap(ready_);
            std::size_t next = 0;
            for (; next < serving_.size() && handled < budget; ++next) {
                Connection<T>& connection = *serving_[next];
                connection.ready = false;
                handled += serve(hooks, connection, std::min(fair_share, budget - handled));
            }
            ready_.insert(ready_.begin(), serving_.begin() + static_cast<std::ptrdiff_t>(next), serving_.end());
            serving_.clear();
            if (handled == 0) break;  // what is ready again without a request (a new end) waits for the next turn
        }
        return handled;
    }

    template <class Hooks>
    std::size_t serve(Hooks& hooks, Connection<T>& connection, std::size_t share) {
        if (connection.reason != EndReason::none) {
            conclude(connection);
            return 0;
        }
        if (!connection.opened && !open(hooks, connection)) return 0;
        std::size_t handled = 0;
        for (;;) {
            const bool ended = static_cast<bool>(connection.end.ended());
            push_out(connection, ended);
            ReceivedMessage message;
            while (handled < share && connection.reason == EndReason::none && (ended || connection.takes_requests()) &&
                   connection.requests.next(connection.end, message)) {
                ++handled;
                ++connection.counters.requests;
                connection.counters.bytes_received += message.size;
                hooks.request(connection, message);
                connection.requests.done(connection.end);
            }
            connection.busy_lately |= handled != 0;
            if (connection.reason != EndReason::none) return handled;  // wake() has put it among the ready
            if (connection.requests.violated()) {
                connection.finish(EndReason::violation);
                return handled;
            }
            if (handled >= share) {
                make_ready(connection);
                return handled;
            }
            if (ended) {
                connection.finish(why_ended(connection));
                return handled;
            }
            if (keep_hot(connection)) return handled;
            connection.end.arm(connection.interest());
            T::ServiceEnd::fence();
            if (!connection.end.look(connection.interest())) return handled;
        }
    }

    template <class Hooks>
    bool open(Hooks& hooks, Connection<T>& connection) {
        if (connection.end.established()) {
            connection.opened = true;
            reception_.admission().establish(connection.uid);
            ++totals_.accepted;
            hooks.connected(connection);
            return true;
        }
        if (connection.end.ended()) connection.finish(EndReason::lost);
        return false;
    }

    /// Gets on with what waits for room; of a peer that is gone it is dropped.
    void push_out(Connection<T>& connection, bool ended) {
        for (auto* lane : {&connection.responses, &connection.events}) {
            if (!lane->has_rest()) continue;
            if (ended)
                lane->discard();
            else
                (void)lane->flush(connection.end);
        }
    }

    static EndReason why_ended(const Connection<T>& connection) {
        if (connection.end.ended() == errc::protocol_violation) return EndReason::violation;
        return connection.end.said_bye() ? EndReason::bye : EndReason::lost;
    }

    // ---- the hot set: sessions that had traffic lately aren't armed, but looked at while run() spins

    bool keep_hot(Connection<T>& connection) {
        if (connection.hot) return true;
        if constexpr (std::is_same_v<Wait, Block>) return false;
        if (!running_ || !connection.busy_lately || hot_.size() >= most_hot || connection.interest() != Interest{Lane::requests, {}})
            return false;
        connection.hot = true;
        hot_.push_back(&connection);
        return true;
    }

    /// Waits as the wait strategy says; true once a hot session has something.
    bool spin() {
        if (hot_.empty()) return false;
        TimeLimit limit = Wait::sleeps ? TimeLimit(forever) : TimeLimit(look_interval);
        return wait_.spin(
            [this] {
                Frame frame;
                for (Connection<T>* connection : hot_)
                    if (connection->end.peek(Lane::requests, frame)) make_ready(*connection);
                return !ready_.empty();
            },
            limit);
    }

    /// Arms the hot sessions that were quiet lately, or all of them, behind one fence.
    void cool(bool all) {
        const auto quiet = std::partition(hot_.begin(), hot_.end(), [all](Connection<T>* connection) {
            return !all && std::exchange(connection->busy_lately, false);
        });
        for (auto at = quiet; at != hot_.end(); ++at) {
            (*at)->hot = (*at)->busy_lately = false;
            (*at)->end.arm((*at)->interest());
        }
        if (quiet == hot_.end()) return;
        T::ServiceEnd::fence();
        for (auto at = quiet; at != hot_.end(); ++at)
            if ((*at)->end.look((*at)->interest())) make_ready(**at);
        hot_.erase(quiet, hot_.end());
    }

    template <class Hooks>
    void look_around(Hooks& hooks) {
        cool(false);
        look_at_kernel(hooks, 0);
        looked_ = Clock::now();
    }

    template <class Hooks>
    void sleep(Hooks& hooks) {
        cool(true);
        if (!ready_.empty()) return;
        const auto start = Clock::now();
        look_at_kernel(hooks, -1);
        looked_ = Clock::now();
        wait_.slept(looked_ - start);
    }

    // ---- the end of a session

    /// It is to be ended: at once, or once what waits in its outboxes is out, where we are the ones who end it.
    void conclude(Connection<T>& connection) {
        const bool ended = static_cast<bool>(connection.end.ended());
        if (connection.reason == EndReason::disconnected || connection.lingering) {
            push_out(connection, ended);
            if (connection.responses.has_rest() || connection.events.has_rest()) {
                if (!connection.lingering) {
                    connection.lingering = true;
                    connection.since = Clock::now();
                    set_timer();
                    say_farewell(connection);
                }
                connection.end.arm(connection.interest());
                T::ServiceEnd::fence();
                if (connection.end.look(connection.interest())) make_ready(connection);
                return;
            }
            connection.lingering = false;
        }
        say_farewell(connection);
    }

    void say_farewell(Connection<T>& connection) {
        if (!std::exchange(connection.ending, true)) ending_.push_back(&connection);
    }

    /// Runs the hooks of those that ended, then lets go of them. At the end of a turn: nobody refers to them any more.
    template <class Hooks>
    void reap(Hooks& hooks) {
        while (!ending_.empty()) {
            reaping_.swap(ending_);
            for (Connection<T>* connection : reaping_) {
                connection->seal();
                if (connection->opened && !std::exchange(connection->said_farewell, true)) hooks.disconnected(*connection);
            }
            for (Connection<T>* connection : reaping_) {
                connection->ending = false;
                if (!connection->lingering) remove(*connection);
            }
            reaping_.clear();
        }
    }

    void remove(Connection<T>& connection) {
        if (!connection.end.ended()) connection.end.shutdown();
        reception_.admission().leave(connection.uid, connection.opened);
        totals_ += connection.counters;
        totals_.calls_waiting -= connection.counters.calls_waiting;
        connection.opened ? ++totals_.ended : ++refused_half_open_;
        if (connection.ready) std::erase(ready_, &connection);
        if (connection.hot) std::erase(hot_, &connection);
        const std::size_t at = connection.index;
        std::swap(connections_[at], connections_.back());
        connections_[at]->index = at;
        connections_.pop_back();
    }

    ServiceStatistics counted() const {
        ServiceStatistics sum = totals_;
        for (const auto& connection : connections_) sum += connection->counters;
        sum.refused = reception_.refused() + refused_half_open_;
        return sum;
    }

    const ServiceOptions options_;
    std::shared_ptr<Door> door_;
    BasicDescriptor<> epoll_;
    BasicDescriptor<> timer_;
    Reception<T> reception_;
    Wait wait_;
    SessionId next_id_ = 1;
    bool dispatching_ = false;
    bool running_ = false;
    bool stopped_ = false;
    bool timer_set_ = false;
    Clock::time_point looked_{};
    Connections<T> connections_;
    std::vector<Connection<T>*> ready_, serving_;
    std::vector<Connection<T>*> hot_;
    std::vector<Connection<T>*> ending_, reaping_;
    ServiceStatistics totals_;
    ServiceStatistics baseline_;
    std::uint64_t refused_half_open_ = 0;
};

}  // namespace qbipc::detail
