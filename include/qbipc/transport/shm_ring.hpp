// SPDX-License-Identifier: BSL-1.0
// shm_ring.hpp: the transport over shared memory: no system call per message while the peer is awake.
//
// A session is two areas of sealed, unnamed memory, each written by one side only, and two stream sockets: C, over
// which the client connected, and E. They carry bells, and tell of the peer's death. docs/wire.md has the bytes.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include <qbipc/address.hpp>
#include <qbipc/credentials.hpp>
#include <qbipc/detail/connecting.hpp>
#include <qbipc/detail/greeting.hpp>
#include <qbipc/detail/negotiation.hpp>
#include <qbipc/detail/shm_client_end.hpp>
#include <qbipc/detail/shm_service_end.hpp>
#include <qbipc/detail/shm_session.hpp>
#include <qbipc/detail/visiting.hpp>
#include <qbipc/error.hpp>
#include <qbipc/kernel.hpp>
#include <qbipc/memory.hpp>
#include <qbipc/options.hpp>
#include <qbipc/time.hpp>
#include <qbipc/transport.hpp>
#include <qbipc/wait.hpp>

namespace qbipc {

/// Frames through shared memory.
/// @tparam W       what a client's wait, and a service's run(), do while lanes are empty; one object for each thread
/// that waits
/// @tparam K       every system call; tests put others in its place
/// @tparam M       every access to shared memory; likewise
template <WaitStrategy W = Adaptive, class K = LinuxKernel, MemoryPolicy M = PlainMemory>
struct BasicShmRing {
    using Wait = W;
    using Kernel = K;
    using Memory = M;
    using ClientEnd = detail::ShmClientEnd<Wait, Kernel, Memory>;
    using ServiceEnd = detail::ShmServiceEnd<Kernel, Memory>;

    /// A look at a lane is one load, so a service's run() may spin.
    static constexpr bool looks_are_cheap = true;
    static constexpr Vouch vouches = Vouch::pid | Vouch::user | Vouch::group;

    class Visitor {
    public:
        using End = ServiceEnd;

        explicit Visitor(detail::Guest<Kernel>&& guest) noexcept : guest_(std::move(guest)) {}

        const Credentials& peer() const noexcept { return guest_.peer(); }
        Result<void> attach(int epoll, std::uint64_t tag) noexcept { return guest_.attach(epoll, tag); }
        Result<bool> hello() { return guest_.read_hello(); }
        void refuse(std::error_code why) { guest_.refuse(why); }

        /// Errors: not_supported, busy, disconnected, or what the kernel said; the client was told.
        Result<End> admit(const ServiceOptions& options) {
            auto end = make_end(options);
            if (!end) guest_.refuse(end.error());
            return end;
        }

    private:
        Result<End> make_end(const ServiceOptions& options) {
            const auto guard = detail::ForkGuard::here<Kernel>();
            if (!guard) return fail(guard.error());
            const detail::Hello& hello = guest_.hello();
            const auto lane_size = detail::lane_size_for(std::min<std::uint64_t>(hello.lane_size, options.lane_size));
            auto session = detail::make_shm_session<Kernel>(lane_size, options, *guard);
            if (!session) return fail(session.error());

            detail::Reply reply;
            reply.max_message = detail::negotiate_message(static_cast<std::size_t>(hello.max_message), options);
            reply.lane_size = lane_size;
            reply.max_frame = detail::LaneShape::of(lane_size).max_payload();
            reply.areas = detail::areas_of(lane_size);
            const std::array descriptors{session->client_event.get(), session->service_area.get(),
                                         session->client_area.get()};
            if (auto sent = guest_.welcome(reply, descriptors); !sent) return fail(sent.error());

            session->parts.call = guest_.take_socket();
            session->parts.peer = guest_.take_credentials();
            session->parts.max_message = static_cast<std::size_t>(reply.max_message);
            return End(std::move(session->parts), std::move(session->client_area), options.watch_processes);
        }

        detail::Guest<Kernel> guest_;
    };

    using Listener = detail::Doorkeeper<Visitor, Kernel, detail::TransportId::shm_ring>;

    static Result<Listener> listen(const Address& address, const ServiceOptions& options) {
        return Listener::open(address, options);
    }

    static Result<ClientEnd> connect(const Address& address, const Options& options, TimeLimit limit,
                                     CredentialCheck check) {
        const auto guard = detail::ForkGuard::here<Kernel>();
        if (!guard) return fail(guard.error());
        const Deadline deadline = limit.deadline();
        const auto enter = [&](detail::Descriptor& socket, const Credentials& service) -> Result<ClientEnd> {
            const auto hello = detail::hello_for(detail::TransportId::shm_ring, options);
            auto welcome = detail::shake_hands<Kernel>(socket.get(), hello, deadline);
            if (!welcome) return fail(welcome.error());
            if (!detail::accepts_message(options, welcome->reply.max_message)) return fail(errc::message_too_large);
            auto parts = detail::enter_shm_session<Kernel>(*welcome, options, *guard);
            if (!parts) return fail(parts.error());
            if (auto said = detail::acknowledge<Kernel>(socket.get()); !said) return fail(said.error());
            parts->call = std::move(socket);
            parts->peer = service;
            parts->max_message = static_cast<std::size_t>(welcome->reply.max_message);
            return ClientEnd(*std::move(parts));
        };
        return detail::connect_socket<Kernel>(address, options, deadline, check, enter);
    }
};

/// The default: spins as long as a sleep costs, learns when that is in vain.
using ShmRing = BasicShmRing<>;

static_assert(TransportPolicy<ShmRing>);
static_assert(TransportPolicy<BasicShmRing<Spin>> && TransportPolicy<BasicShmRing<Block>>);

}  // namespace qbipc
