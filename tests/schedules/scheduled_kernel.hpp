// SPDX-License-Identifier: BSL-1.0
// scheduled_kernel.hpp: a session's two sockets and its memory, as the ends of ShmRing see them, inside the World.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <poll.h>
#include <sys/socket.h>
#include <system_error>
#include <time.h>
#include <utility>

#include <qbipc/detail/fork_guard.hpp>
#include <qbipc/detail/shared_memory.hpp>
#include <qbipc/kernel.hpp>

#include "world.hpp"

namespace qbipc::testing {

/// Which of the World's sockets each descriptor reads and writes. The numbers are no file's.
struct ScheduledKernel : LinuxKernel {
    enum Descriptor : int { client_call = 1'000'000, service_call, client_event, service_event };
    enum Socket : std::size_t { call_to_service, call_to_client, event_to_client, event_to_service };

    /// In one socket: of each of three flags one of this generation, and one that its ringer was slow to send while
    /// another flag's moved the generation.
    static constexpr unsigned most_bells = 5;

    static ssize_t send(int fd, const void* data, std::size_t, int) noexcept {
        World& world = *World::current;
        if (!world.runs()) return 1;
        const std::uint8_t byte = *static_cast<const std::uint8_t*>(data);
        return world.put(written(fd), byte, byte == 0 ? most_bells : World::most_bytes) ? 1 : -EPIPE;
    }
    static ssize_t recv(int fd, void* data, std::size_t, int) noexcept {
        World& world = *World::current;
        if (!world.runs()) return *static_cast<std::uint8_t*>(data) = 1;  // the ack, before all else
        const int count = world.take(read_by(fd), static_cast<std::uint8_t*>(data));
        return count < 0 ? -EAGAIN : count;
    }
    static int shutdown(int fd, int) noexcept {
        World& world = *World::current;
        if (!world.runs()) return 0;
        world.end(written(fd));
        world.end(read_by(fd));
        return 0;
    }
    /// Without a limit, or a look.
    static int ppoll(pollfd* descriptors, std::size_t count, const timespec* limit) noexcept {
        World& world = *World::current;
        unsigned sockets = 0;
        for (std::size_t i = 0; i < count; ++i) {
            if (descriptors[i].fd >= 0) sockets |= 1u << read_by(descriptors[i].fd);
        }
        if (limit == nullptr) world.sleep(sockets);
        int ready = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const bool readable = descriptors[i].fd >= 0 && world.readable(read_by(descriptors[i].fd));
            descriptors[i].revents = readable ? POLLIN : short{0};
            ready += readable ? 1 : 0;
        }
        return ready;
    }
    static int epoll_ctl(int, int, int, epoll_event*) noexcept { return 0; }
    static int fcntl(int, int, int = 0) noexcept { return 0; }
    static Clock::time_point now() noexcept { return {}; }

    static constexpr std::size_t read_by(int fd) noexcept {
        constexpr std::array<Socket, 4> sockets{call_to_client, call_to_service, event_to_client, event_to_service};
        return sockets[static_cast<std::size_t>(fd - client_call)];
    }

private:
    static constexpr std::size_t written(int fd) noexcept {
        constexpr std::array<Socket, 4> sockets{call_to_service, call_to_client, event_to_service, event_to_client};
        return sockets[static_cast<std::size_t>(fd - client_call)];
    }
};

}  // namespace qbipc::testing

/// Both sides' mappings of an area lie at one place, which is nobody's.
template <>
class qbipc::detail::Mapping<qbipc::testing::ScheduledKernel> {
public:
    Mapping() noexcept = default;
    Mapping(std::byte* data, std::size_t size) noexcept : data_(data), size_(size) {}
    std::byte* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    std::size_t missing(std::size_t, std::size_t) const noexcept { return 0; }
    std::error_code populate(std::size_t, std::size_t, Access = Access::write) const noexcept { return {}; }

private:
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};
