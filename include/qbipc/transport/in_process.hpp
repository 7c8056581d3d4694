// SPDX-License-Identifier: BSL-1.0
// transport/in_process.hpp: both ends in one process, lanes are queues: for unit tests of services, and as the example
// of a transport of one's own.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <poll.h>
#include <string>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include <qbipc/detail/event_bell.hpp>
#include <qbipc/detail/negotiation.hpp>
#include <qbipc/detail/waiting.hpp>
#include <qbipc/detail/wire_error.hpp>
#include <qbipc/transport.hpp>

namespace qbipc {

/// Addresses are names in this process's own table; every peer is this process. A client's connect() needs the service
/// to be dispatched by another thread. Lanes take `frames_per_lane` frames or Options::lane_size bytes, whichever is
/// less. Threads: as every transport's; one mutex per connection.
class InProcess {
    /// Somebody who may sleep: what for, and the bell that wakes him.
    struct Sleeper {
        detail::EventBell bell;
        Interest interest;
        bool asleep = false;
    };

    /// What the two ends share.
    struct Wire {
        struct Message {
            Header header;
            std::vector<std::byte> payload;
        };
        struct Queue {
            std::deque<Message> messages;
            std::size_t bytes = 0;
            std::size_t refused = 0;  ///< size of the frame that found no room last
        };
        std::mutex mutex;
        std::array<Queue, lane_count> lanes;
        bool open = true;
        bool bye = false;
        bool entered = false;                    ///< the client has taken the yes: before that it may have given up
        std::optional<std::error_code> verdict;  ///< the service's, on the visitor
        std::size_t wished = 0;                  ///< largest message that the client asked for
        std::size_t wished_lane = 0;             ///< lane size likewise
        std::size_t max_message = 0;
        std::size_t lane_size = 0;
        Sleeper service, caller, loop;

        Queue& operator[](Lane lane) noexcept { return lanes[static_cast<std::size_t>(lane)]; }
        bool has_room(Lane lane, std::size_t size) noexcept {
            const Queue& queue = (*this)[lane];
            return queue.messages.size() < frames_per_lane &&
                   (queue.messages.empty() || queue.bytes + size <= lane_size);
        }
        bool fulfils(const Interest& interest) noexcept {
            for (const Lane lane : {Lane::requests, Lane::responses, Lane::events})
                if ((interest.frames.has(lane) && !(*this)[lane].messages.empty()) ||
                    (interest.room.has(lane) && has_room(lane, (*this)[lane].refused)))
                    return true;
            return !open;
        }
        /// After every change, under the mutex: nobody sleeps on what has come.
        void wake() noexcept {
            for (Sleeper* sleeper : {&service, &caller, &loop})
                if (sleeper->asleep && fulfils(sleeper->interest)) {
                    sleeper->asleep = false;
                    sleeper->bell.ring();
                }
        }
    };

    /// An address that somebody listens at.
    struct Desk {
        std::mutex mutex;
        std::deque<std::shared_ptr<Wire>> knocking;
        detail::EventBell bell;
        ~Desk() {
            for (auto& wire : knocking) decide(*wire, make_error_code(errc::no_service));
        }
    };
    static void decide(Wire& wire, std::error_code verdict) {
        const std::lock_guard lock(wire.mutex);
        // As on a wire: of a category of the user's own the value alone arrives.
        if (verdict) verdict = detail::from_wire(detail::to_wire(verdict));
        if (!wire.verdict) wire.verdict = verdict;
        if (verdict) wire.open = false;
        wire.caller.bell.ring();
        wire.service.bell.ring();
    }

    struct Desks {
        std::mutex mutex;
        std::map<std::string, std::weak_ptr<Desk>> by_name;
    };
    static Desks& desks() {
        static Desks all;
        return all;
    }

    static const Credentials& myself() {
        static const Credentials me{::getpid(), ::geteuid(), ::getegid(), {}};
        return me;
    }

    /// What both ends do alike.
    class End {
    public:
        explicit End(std::shared_ptr<Wire> wire) noexcept : wire_(std::move(wire)) {}
        End(End&&) noexcept = default;
        End& operator=(End&&) noexcept = default;

        std::byte* reserve(Lane lane, std::size_t size) {
            const std::lock_guard lock(wire_->mutex);
            if (!wire_->open || !wire_->has_room(lane, size)) {
                (*wire_)[lane].refused = size;
                refused_[static_cast<std::size_t>(lane)] =
                    make_error_code(wire_->open ? errc::lane_full : errc::disconnected);
                return nullptr;
            }
            auto& room = room_[static_cast<std::size_t>(lane)];
            room.assign(std::max<std::size_t>(size, 1), std::byte{});
            return room.data();
        }
        std::error_code refused(Lane lane) const noexcept { return refused_[static_cast<std::size_t>(lane)]; }
        void commit(Lane lane, const Header& header) {
            auto& room = room_[static_cast<std::size_t>(lane)];
            room.resize(header.size);
            const std::lock_guard lock(wire_->mutex);
            auto& queue = (*wire_)[lane];
            queue.bytes += room.size();
            queue.messages.push_back({header, std::move(room)});
            wire_->wake();
        }
        void cancel(Lane lane) noexcept { room_[static_cast<std::size_t>(lane)].clear(); }
        bool peek(Lane lane, Frame& frame) {
            const std::lock_guard lock(wire_->mutex);
            const auto& queue = (*wire_)[lane];
            if (queue.messages.empty()) {
                over_ = over_ || !wire_->open;
                return false;
            }
            frame = {queue.messages.front().header, queue.messages.front().payload.data()};
            return true;
        }
        void release(Lane lane) {
            const std::lock_guard lock(wire_->mutex);
            auto& queue = (*wire_)[lane];
            queue.bytes -= queue.messages.front().payload.size();
            queue.messages.pop_front();
            wire_->wake();
        }
        /// Only once a receiver found its lane empty after the end: what was sent before is taken first.
        std::error_code ended() const {
            const std::lock_guard lock(wire_->mutex);
            return over_ ? make_error_code(errc::disconnected) : std::error_code{};
        }
        bool said_bye() const {
            const std::lock_guard lock(wire_->mutex);
            return wire_->bye;
        }
        std::size_t max_message() const noexcept { return wire_->max_message; }
        std::size_t max_frame() const noexcept { return largest_frame; }
        const Credentials& peer() const { return myself(); }
        void shutdown() {
            const std::lock_guard lock(wire_->mutex);
            wire_->open = false;
            wire_->bye = true;
            wire_->wake();
        }

    protected:
        /// A destructor that wasn't preceded by shutdown() is a crash, as far as the peer can tell.
        void hang_up() {
            const std::lock_guard lock(wire_->mutex);
            wire_->open = false;
            wire_->wake();
        }
        bool sleep_on(Sleeper& sleeper, const Interest& interest) {
            const std::lock_guard lock(wire_->mutex);
            if (wire_->fulfils(interest)) return false;
            sleeper.interest = interest;
            return sleeper.asleep = true;
        }
        void wake_up(Sleeper& sleeper) {
            const std::lock_guard lock(wire_->mutex);
            sleeper.asleep = false;
            sleeper.bell.quiet();
        }

        std::shared_ptr<Wire> wire_;
        bool over_ = false;  // under the mutex: two halves ask
        std::array<std::vector<std::byte>, lane_count> room_;
        std::array<std::error_code, lane_count> refused_;
    };

public:
    static constexpr Vouch vouches = Vouch::pid | Vouch::user | Vouch::group;
    static constexpr std::size_t frames_per_lane = 256;
    static constexpr std::size_t largest_frame = std::size_t{64} << 10;

    class ClientEnd : public End {
    public:
        using End::End;
        ClientEnd(ClientEnd&&) noexcept = default;
        ClientEnd& operator=(ClientEnd&&) noexcept = default;
        ~ClientEnd() {
            if (this->wire_) this->hang_up();
        }

        /// The limit is taken by reference: a duration becomes a point in time once, however often one waits within it.
        Result<void> wait(Interest interest, Party party, TimeLimit& limit, int alarm) {
            Sleeper& me = party == Party::receiver ? wire_->loop : wire_->caller;
            if (!sleep_on(me, interest)) return {};
            pollfd watched[] = {{me.bell.fd(), POLLIN, 0}, {alarm, POLLIN, 0}};
            const int count = detail::poll_until(watched, 2, limit.deadline());
            wake_up(me);
            if (count == 0) return fail(make_error_code(errc::timed_out));
            if (count < 0) return fail_system(-count);
            return {};
        }
        std::array<int, 1> descriptors() const noexcept { return {wire_->loop.bell.fd()}; }
        void quiet() { wake_up(wire_->loop); }
        bool arm(const Interest& interest) { return sleep_on(wire_->loop, interest); }
        static constexpr bool sent_in_part() noexcept { return false; }
        bool alive() const {
            const std::lock_guard lock(wire_->mutex);
            return wire_->open;
        }
    };

    class ServiceEnd : public End {
    public:
        using End::End;
        ServiceEnd(ServiceEnd&& other) noexcept : End(std::move(other)), epoll_(std::exchange(other.epoll_, -1)) {}
        ServiceEnd& operator=(ServiceEnd&& other) noexcept {
            End::operator=(static_cast<End&&>(other));
            std::swap(epoll_, other.epoll_);
            return *this;
        }
        ~ServiceEnd() {
            if (!wire_) return;
            if (epoll_ >= 0) (void)::epoll_ctl(epoll_, EPOLL_CTL_DEL, wire_->service.bell.fd(), nullptr);
            hang_up();
        }

        Result<void> attach(int epoll, std::uint64_t tag) {
            epoll_event event{EPOLLIN, {.u64 = tag}};
            if (::epoll_ctl(epoll, EPOLL_CTL_ADD, wire_->service.bell.fd(), &event) < 0) return fail_system(errno);
            epoll_ = epoll;
            return {};
        }
        void drain() {
            wake_up(wire_->service);
            const std::lock_guard lock(wire_->mutex);
            over_ = over_ || (!wire_->open && !wire_->entered);
        }
        void arm(const Interest& interest) { asleep_ = sleep_on(wire_->service, interest); }
        static void fence() noexcept {}
        bool look(const Interest&) const noexcept { return !asleep_; }
        bool established() const {
            const std::lock_guard lock(wire_->mutex);
            return wire_->entered;
        }
        static constexpr bool sent_in_part() noexcept { return false; }

    private:
        int epoll_ = -1;
        bool asleep_ = false;
    };

    class Visitor {
    public:
        using End = ServiceEnd;
        explicit Visitor(std::shared_ptr<Wire> wire) noexcept : wire_(std::move(wire)) {}
        Visitor(Visitor&&) noexcept = default;
        Visitor& operator=(Visitor&&) noexcept = default;
        ~Visitor() {
            if (wire_) decide(*wire_, make_error_code(errc::disconnected));
        }

        const Credentials& peer() const { return myself(); }
        Result<void> attach(int, std::uint64_t) const { return {}; }
        Result<bool> hello() const { return true; }
        Result<ServiceEnd> admit(const ServiceOptions& options) {
            wire_->max_message = detail::negotiate_message(wire_->wished, options);
            wire_->lane_size = std::max(std::min(wire_->wished_lane, options.lane_size), 2 * largest_frame);
            decide(*wire_, {});
            return ServiceEnd(std::move(wire_));
        }
        void refuse(std::error_code why) { decide(*wire_, why); }

    private:
        std::shared_ptr<Wire> wire_;
    };

    class Listener {
    public:
        using Visitor = InProcess::Visitor;
        explicit Listener(std::shared_ptr<Desk> desk) noexcept : desk_(std::move(desk)) {}

        int fd() const noexcept { return desk_->bell.fd(); }
        Result<std::optional<Visitor>> accept() {
            const std::lock_guard lock(desk_->mutex);
            if (desk_->knocking.empty()) {
                desk_->bell.quiet();
                return std::optional<Visitor>{};
            }
            std::optional<Visitor> next(std::in_place, std::move(desk_->knocking.front()));
            desk_->knocking.pop_front();
            return next;
        }

    private:
        std::shared_ptr<Desk> desk_;
    };

    /// Errors: address_in_use.
    static Result<Listener> listen(const Address& address, const ServiceOptions&) {
        const std::lock_guard lock(desks().mutex);
        auto& desk = desks().by_name[address.text()];
        if (!desk.expired()) return fail(make_error_code(errc::address_in_use));
        auto opened = std::make_shared<Desk>();
        desk = opened;
        return Listener(std::move(opened));
    }

    /// Errors: no_service, timed_out, the refusal of either side.
    static Result<ClientEnd> connect(const Address& address, const Options& options, TimeLimit limit,
                                     CredentialCheck check) {
        if (auto refusal = check(myself())) return fail(refusal);
        const Deadline deadline = limit.deadline();
        const Deadline patience = options.wait_for_service ? deadline : Deadline(detail::patience_with_absence);
        for (detail::Backoff backoff;; detail::pause_until(deadline, backoff.next())) {
            auto end = enter(address, options, deadline);
            if (end || deadline.passed()) return end;
            if (end.error() == errc::no_service && !patience.passed()) continue;
            if (end.error() != errc::busy) return end;  // which passes
        }
    }

private:
    static Result<ClientEnd> enter(const Address& address, const Options& options, Deadline deadline) {
        auto wire = std::make_shared<Wire>();
        wire->wished = options.max_message;
        wire->wished_lane = options.lane_size;
        if (!knock(address.text(), wire)) return fail(make_error_code(errc::no_service));
        pollfd watched{wire->caller.bell.fd(), POLLIN, 0};
        if (detail::poll_until(&watched, 1, deadline) <= 0) {
            decide(*wire, make_error_code(errc::timed_out));  // a service that comes to it later finds it closed
            return fail(make_error_code(errc::timed_out));
        }
        wire->caller.bell.quiet();
        const std::lock_guard lock(wire->mutex);
        if (*wire->verdict) return fail(*wire->verdict);
        wire->entered = true;
        wire->service.bell.ring();
        return ClientEnd(wire);
    }
    static bool knock(const std::string& name, const std::shared_ptr<Wire>& wire) {
        std::shared_ptr<Desk> desk;
        {
            const std::lock_guard lock(desks().mutex);
            const auto found = desks().by_name.find(name);
            if (found != desks().by_name.end()) desk = found->second.lock();
        }
        if (!desk) return false;
        const std::lock_guard lock(desk->mutex);
        desk->knocking.push_back(wire);
        desk->bell.ring();
        return true;
    }
};
static_assert(TransportPolicy<InProcess>);

}  // namespace qbipc
