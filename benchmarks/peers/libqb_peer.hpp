// SPDX-License-Identifier: BSL-1.0
// libqb_peer.hpp: libqb's IPC, over shared memory or over datagram sockets, with its own loop.
//
// A service at QB_IPCS_RATE_FAST takes up to 50 requests a turn, the most that libqb has. Sending never waits: where
// there is no room, libqb says EAGAIN, and its own benchmarks try again at once, so that is what is done here.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <qb/qbipcc.h>
#include <qb/qbipcs.h>
#include <qb/qbloop.h>
#include <sched.h>
#include <string>
#include <sys/uio.h>
#include <system_error>
#include <vector>

#include "../harness/clock.hpp"
#include "../harness/janitor.hpp"
#include "../harness/main.hpp"

template <qb_ipc_type Type>
struct LibqbPeer {
    static constexpr std::size_t largest = std::size_t{1} << 20;
    static constexpr std::size_t sessions = 1000;
    static constexpr bool connects = true;

    /// A side that is killed leaves directories in /dev/shm: qb-SERVICE-CLIENT-....
    struct Common {
        explicit Common(const bench::Setup&)
            : service(bench::make_shared_memory<std::atomic<pid_t>>()), janitor([this] { remove_directories(); }) {}

        void remove_directories() const {
            if (service->load() == 0) return;
            const std::string ours = "qb-" + std::to_string(service->load()) + "-";
            std::vector<std::filesystem::path> found;
            std::error_code ignored;
            for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", ignored))
                if (entry.path().filename().string().starts_with(ours)) found.push_back(entry.path());
            for (const auto& path : found) std::filesystem::remove_all(path, ignored);
        }

        std::atomic<pid_t>* service;
        bench::Janitor janitor;
    };

    template <class Send>
    static void until_sent(Send&& send) {
        ssize_t result = 0;
        while ((result = send()) == -EAGAIN) ::sched_yield();
        bench::expect(result >= 0, "libqb: sending");
    }

    static iovec part(void* data, std::size_t size) { return {data, size}; }

    class Service {
    public:
        Service(const bench::Setup& setup, Common& common)
            : setup_(setup), buffer_(setup.size), loop_(::qb_loop_create()) {
            common.service->store(::getpid());
            self = this;
            qb_ipcs_service_handlers handlers{};
            handlers.connection_accept = [](qb_ipcs_connection_t*, uid_t, gid_t) { return 0; };
            handlers.connection_created = [](qb_ipcs_connection_t* connection) {
                self->connections_.push_back(connection);
            };
            handlers.connection_closed = [](qb_ipcs_connection_t* connection) {
                std::erase(self->connections_, connection);
                return 0;
            };
            handlers.msg_process = [](qb_ipcs_connection_t* connection, void* data, std::size_t size) {
                self->process(connection, static_cast<const std::byte*>(data), size);
                return 0;
            };
            auto* const service = ::qb_ipcs_create(setup.address.c_str(), 1, Type, &handlers);
            bench::expect(service != nullptr, "qb_ipcs_create");
            qb_ipcs_poll_handlers poll{};
            poll.job_add = [](auto priority, auto... rest) {
                return ::qb_loop_job_add(self->loop_, priority, rest...);
            };
            poll.dispatch_add = [](auto priority, auto... rest) {
                return ::qb_loop_poll_add(self->loop_, priority, rest...);
            };
            poll.dispatch_mod = [](auto priority, auto... rest) {
                return ::qb_loop_poll_mod(self->loop_, priority, rest...);
            };
            poll.dispatch_del = [](int fd) { return ::qb_loop_poll_del(self->loop_, fd); };
            ::qb_ipcs_poll_handlers_set(service, &poll);
            ::qb_ipcs_request_rate_limit(service, QB_IPCS_RATE_FAST);
            bench::expect(::qb_ipcs_run(service) == 0, "qb_ipcs_run");
        }

        void serve() { ::qb_loop_run(loop_); }

    private:
        inline static Service* self = nullptr;  // libqb's loop hooks have no context

        void process(qb_ipcs_connection_t* connection, const std::byte* data, std::size_t size) {
            bench::expect(size == sizeof(qb_ipc_request_header) + setup_.size, "a request of another size came");
            const auto* const request = reinterpret_cast<const qb_ipc_request_header*>(data);
            switch (setup_.mode) {
                case bench::Mode::echo:
                    std::copy_n(data + sizeof *request, setup_.size, buffer_.data());
                    send(connection, request->id, ::qb_ipcs_response_sendv);
                    break;
                case bench::Mode::consume:
                    bench::count(setup_);
                    break;
                case bench::Mode::push:
                    for (auto left = setup_.shared->wanted.load(); left != 0; --left)
                        send(connection, request->id, ::qb_ipcs_event_sendv);
                    break;
                case bench::Mode::publish:
                    const std::uint64_t started = bench::now_ns();
                    for (auto left = setup_.shared->wanted.load(); left != 0; --left)
                        for (auto* each : connections_) send(each, request->id, ::qb_ipcs_event_sendv);
                    bench::published(setup_, bench::now_ns() - started);
                    break;
            }
        }

        template <class How>
        void send(qb_ipcs_connection_t* connection, std::int32_t id, How how) {
            qb_ipc_response_header header{};
            header.id = id;
            header.size = static_cast<std::int32_t>(sizeof header + buffer_.size());
            const std::array parts{part(&header, sizeof header), part(buffer_.data(), buffer_.size())};
            until_sent([&] { return how(connection, parts.data(), parts.size()); });
        }

        const bench::Setup& setup_;
        std::vector<std::byte> buffer_;
        qb_loop_t* loop_;
        std::vector<qb_ipcs_connection_t*> connections_;
    };

    class Client {
    public:
        Client(const bench::Setup& setup, Common&)
            : out_(setup.size, std::byte{1}),
              // Over sockets libqb doesn't look at the length that it is given.
              in_(sizeof(qb_ipc_response_header) + setup.size),
              connection_(::qb_ipcc_connect(setup.address.c_str(), largest_with_header(setup))) {
            bench::expect(connection_ != nullptr, "qb_ipcc_connect");
            request_.size = static_cast<std::int32_t>(sizeof request_ + out_.size());
        }
        Client(const Client&) = delete;
        Client& operator=(const Client&) = delete;
        ~Client() { ::qb_ipcc_disconnect(connection_); }

        void call() {
            ++request_.id;
            const auto parts = request();
            ssize_t got = 0;
            while ((got = ::qb_ipcc_sendv_recv(connection_, parts.data(), parts.size(), in_.data(), in_.size(), -1)) ==
                   -EAGAIN)
                ::sched_yield();
            const auto* const answer = reinterpret_cast<const qb_ipc_response_header*>(in_.data());
            bench::expect(got == static_cast<ssize_t>(in_.size()) && answer->id == request_.id,
                          "libqb: another answer, or none");
        }
        void send() {
            const auto parts = request();
            until_sent([&] { return ::qb_ipcc_sendv(connection_, parts.data(), parts.size()); });
        }
        void poke() { send(); }
        std::size_t take() {
            ssize_t got = 0;
            while ((got = ::qb_ipcc_event_recv(connection_, in_.data(), in_.size(), -1)) == -EAGAIN) {
            }
            bench::expect(got == static_cast<ssize_t>(in_.size()), "libqb: an event of another size, or none");
            return 1;
        }

    private:
        static std::size_t largest_with_header(const bench::Setup& setup) {
            return setup.max_message + sizeof(qb_ipc_response_header);
        }
        std::array<iovec, 2> request() { return {part(&request_, sizeof request_), part(out_.data(), out_.size())}; }

        qb_ipc_request_header request_{};
        std::vector<std::byte> out_, in_;
        qb_ipcc_connection_t* connection_;
    };
};
