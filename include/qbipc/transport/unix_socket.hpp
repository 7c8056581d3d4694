// SPDX-License-Identifier: BSL-1.0
// unix_socket.hpp: the transport over Unix stream sockets: a system call per frame, no shared memory, runs anywhere.
//
// A session is two stream sockets: C, over which the client connected, carries requests and responses; E, passed by the
// service, carries events. docs/wire.md has the bytes.
#pragma once

#include <array>
#include <cstdint>
#include <sys/socket.h>
#include <utility>

#include <qbipc/address.hpp>
#include <qbipc/credentials.hpp>
#include <qbipc/detail/connecting.hpp>
#include <qbipc/detail/greeting.hpp>
#include <qbipc/detail/negotiation.hpp>
#include <qbipc/detail/stream_client_end.hpp>
#include <qbipc/detail/stream_service_end.hpp>
#include <qbipc/detail/visiting.hpp>
#include <qbipc/error.hpp>
#include <qbipc/kernel.hpp>
#include <qbipc/options.hpp>
#include <qbipc/time.hpp>
#include <qbipc/transport.hpp>
#include <qbipc/wait.hpp>

namespace qbipc {

/// Frames through sockets.
/// @tparam Wait    what a client's wait does while nothing has come: spinning asks the socket again and again
/// @tparam K       every system call; tests put others in its place
template <WaitStrategy Wait = Adaptive, class K = LinuxKernel>
struct BasicUnixSocket {
    using Kernel = K;
    using ClientEnd = detail::StreamClientEnd<Wait, Kernel>;
    using ServiceEnd = detail::StreamServiceEnd<Kernel>;

    static constexpr Vouch vouches = Vouch::pid | Vouch::user | Vouch::group;

    class Visitor {
    public:
        using End = ServiceEnd;

        explicit Visitor(detail::Guest<Kernel>&& guest) noexcept : guest_(std::move(guest)) {}

        const Credentials& peer() const noexcept { return guest_.peer(); }
        Result<void> attach(int epoll, std::uint64_t tag) noexcept { return guest_.attach(epoll, tag); }
        Result<bool> hello() { return guest_.read_hello(); }
        void refuse(std::error_code why) { guest_.refuse(why); }

        /// Errors: busy, disconnected, or what the kernel said; the client was told.
        Result<End> admit(const ServiceOptions& options) {
            auto end = make_end(options);
            if (!end) guest_.refuse(end.error());
            return end;
        }

    private:
        Result<End> make_end(const ServiceOptions& options) {
            const auto guard = detail::ForkGuard::here<Kernel>();
            if (!guard) return fail(guard.error());
            auto event = detail::make_event_pair<Kernel>();
            if (!event) return fail(event.error());
            // What a client doesn't read is charged to the service: a bound that doesn't depend on the system's
            // default.
            Kernel::setsockopt(event->service.get(), SOL_SOCKET, SO_SNDBUF, &event_buffer, sizeof event_buffer);

            detail::Reply reply;
            reply.max_message =
                detail::negotiate_message(static_cast<std::size_t>(guest_.hello().max_message), options);
            reply.max_frame = detail::max_socket_frame;
            const std::array descriptors{event->client.get()};
            if (auto sent = guest_.welcome(reply, descriptors); !sent) return fail(sent.error());

            detail::StreamParts parts;
            parts.call = guest_.take_socket();
            parts.event = std::move(event->service);
            parts.max_message = static_cast<std::size_t>(reply.max_message);
            parts.peer = guest_.take_credentials();
            parts.guard = *guard;
            return End(std::move(parts), options.watch_processes);
        }

        /// Doubled by the kernel for its bookkeeping: room for about 300 small events, or one of 64 KiB and more.
        static constexpr int event_buffer = 128 << 10;

        detail::Guest<Kernel> guest_;
    };

    using Listener = detail::Doorkeeper<Visitor, Kernel, detail::TransportId::unix_socket>;

    static Result<Listener> listen(const Address& address, const ServiceOptions& options) {
        return Listener::open(address, options);
    }

    static Result<ClientEnd> connect(const Address& address, const Options& options, TimeLimit limit,
                                     CredentialCheck check) {
        const auto guard = detail::ForkGuard::here<Kernel>();
        if (!guard) return fail(guard.error());
        const Deadline deadline = limit.deadline();
        const auto enter = [&](detail::Descriptor& socket, const Credentials& service) -> Result<ClientEnd> {
            const auto hello = detail::hello_for(detail::TransportId::unix_socket, options);
            auto welcome = detail::shake_hands<Kernel>(socket.get(), hello, deadline);
            if (!welcome) return fail(welcome.error());
            const detail::Reply& reply = welcome->reply;
            if (reply.descriptors != 1 || reply.max_frame != detail::max_socket_frame)
                return fail(errc::protocol_violation);
            if (!detail::accepts_message(options, reply.max_message)) return fail(errc::message_too_large);
            if (auto said = detail::acknowledge<Kernel>(socket.get()); !said) return fail(said.error());
            detail::StreamParts parts;
            parts.call = std::move(socket);
            parts.event = std::move(welcome->descriptors[0]);
            parts.max_message = static_cast<std::size_t>(reply.max_message);
            parts.peer = service;
            parts.guard = *guard;
            return ClientEnd(std::move(parts));
        };
        return detail::connect_socket<Kernel>(address, options, deadline, check, enter);
    }
};

using UnixSocket = BasicUnixSocket<>;

static_assert(TransportPolicy<UnixSocket>);
static_assert(TransportPolicy<BasicUnixSocket<Spin>> && TransportPolicy<BasicUnixSocket<Block>>);

}  // namespace qbipc
