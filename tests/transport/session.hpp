// SPDX-License-Identifier: BSL-1.0
// session.hpp: both ends of a session in one process, for tests of transports without client and service above them.
#pragma once

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <future>
#include <optional>
#include <poll.h>
#include <string>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/handshake.hpp>
#include <qbipc/transport.hpp>

#include "support/catch.hpp"
#include "support/patience.hpp"

namespace qbipc_test {

using namespace std::chrono_literals;

/// A test that waits this long has failed.
inline constexpr auto patience = qbipc::testing::patience_of(20s);

inline std::string unique_name() {
    static int count = 0;
    return "test-ends-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

inline bool readable(int fd, std::chrono::milliseconds limit) {
    pollfd one{fd, POLLIN, 0};
    return ::poll(&one, 1, static_cast<int>(limit.count())) > 0;
}

inline const auto anybody = [](const qbipc::Credentials&) { return std::error_code(); };

/// The listening side, and the epoll that a service would have.
template <class T>
struct House {
    std::string name = unique_name();
    qbipc::ServiceOptions options;
    qbipc::Result<typename T::Listener> listener = T::listen(name, options);
    qbipc::detail::Descriptor epoll{::epoll_create1(EPOLL_CLOEXEC)};

    auto visitor() {
        for (;;) {
            REQUIRE(readable(listener->fd(), patience));
            auto one = listener->accept();
            REQUIRE(one);
            if (*one) return std::move(**one);
        }
    }
    static void read_hello(typename T::Listener::Visitor& guest, int epoll) {
        REQUIRE(guest.attach(epoll, 1));
        for (;;) {
            const auto hello = guest.hello();
            REQUIRE(hello);
            if (*hello) return;
            REQUIRE(readable(epoll, patience));
        }
    }
    auto admitted() {
        auto guest = visitor();
        read_hello(guest, epoll.get());
        auto end = guest.admit(options);
        REQUIRE(end);
        REQUIRE(end->attach(epoll.get(), 7));
        return *std::move(end);
    }
    auto connecting(qbipc::Options wishes = {}) {
        return std::async(std::launch::async,
                          [address = name, wishes] { return T::connect(address, wishes, patience, anybody); });
    }
};

/// Both ends of one session, open.
template <class T>
struct Session {
    House<T> house;
    std::future<qbipc::Result<typename T::ClientEnd>> connected;
    std::optional<typename T::ServiceEnd> service;
    std::optional<typename T::ClientEnd> client;

    explicit Session(qbipc::Options wishes = {}) {
        REQUIRE(house.listener);
        connected = house.connecting(wishes);
        service.emplace(house.admitted());
        auto end = connected.get();
        REQUIRE(end);
        client.emplace(*std::move(end));
        while (!service->established()) {
            REQUIRE(readable(house.epoll.get(), patience));
            service->drain();
            REQUIRE(!service->ended());
        }
    }

    /// One turn of a service's loop: sleeps until something of the interest is there. False: nothing came in time.
    bool serve(qbipc::Interest interest, std::chrono::milliseconds limit = patience) {
        service->arm(interest);
        T::ServiceEnd::fence();
        if (service->look(interest)) return true;
        epoll_event event{};
        int count = 0;
        do count = ::epoll_wait(house.epoll.get(), &event, 1, static_cast<int>(limit.count()));
        while (count < 0 && errno == EINTR);
        if (count <= 0) return false;
        service->drain();
        return true;
    }

    /// The service's next request; false: it has ended.
    bool request(qbipc::Frame& frame) {
        for (;;) {
            if (service->peek(qbipc::Lane::requests, frame)) return true;
            if (service->ended()) return false;
            REQUIRE(serve({qbipc::Lane::requests, {}}));
        }
    }
    /// The client's next frame of a lane; false: it has ended.
    bool incoming(qbipc::Lane lane, qbipc::Frame& frame, qbipc::Party party = qbipc::Party::whole) {
        for (;;) {
            if (client->peek(lane, frame)) return true;
            if (client->ended()) return false;
            qbipc::TimeLimit limit = patience;
            if (!client->wait({lane, {}}, party, limit, -1)) return false;  // no REQUIRE: threads call this
        }
    }
};

inline std::byte pattern(std::size_t seed, std::size_t i) {
    return static_cast<std::byte>(seed * 131 + i * 7 + (i >> 8));
}

/// Sends one frame of `size` bytes if there is room now.
template <class E>
bool put(E& end, qbipc::Lane lane, std::size_t size, std::uint32_t number) {
    std::byte* const to = end.reserve(lane, size);
    if (to == nullptr) return false;
    for (std::size_t i = 0; i < size; ++i) to[i] = pattern(number, i);
    end.commit(lane, {static_cast<std::uint32_t>(size), qbipc::Kind::one_way, 0, 3, number, number + 1});
    return true;
}

/// Whether the frame is what put() made of these.
inline bool is(const qbipc::Frame& frame, std::size_t size, std::uint32_t number) {
    const qbipc::Header header{static_cast<std::uint32_t>(size), qbipc::Kind::one_way, 0, 3, number, number + 1};
    if (!(frame.header == header) || reinterpret_cast<std::uintptr_t>(frame.payload) % 16 != 0) return false;
    for (std::size_t i = 0; i < size; ++i) {
        if (frame.payload[i] != pattern(number, i)) return false;
    }
    return true;
}

}  // namespace qbipc_test
