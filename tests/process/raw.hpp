// SPDX-License-Identifier: BSL-1.0
// The bytes of the handshake, spoken by hand: somebody who isn't this library, or isn't this version of it.
#pragma once

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <span>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/greeting.hpp>
#include <qbipc/detail/handshake.hpp>
#include <qbipc/kernel.hpp>

namespace qbipc::testing {

class RawPeer {
public:
    /// To the abstract socket of a name.
    static RawPeer connect(const std::string& name) {
        RawPeer raw(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const auto [address, size] = abstract(name);
        if (::connect(raw.fd(), reinterpret_cast<const sockaddr*>(&address), size) != 0) raw.socket_.reset();
        return raw;
    }
    /// Listens at the abstract socket of a name.
    static RawPeer listen(const std::string& name) {
        RawPeer raw(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const auto [address, size] = abstract(name);
        if (::bind(raw.fd(), reinterpret_cast<const sockaddr*>(&address), size) != 0 || ::listen(raw.fd(), 16) != 0)
            raw.socket_.reset();
        return raw;
    }
    explicit RawPeer(int fd) : socket_(fd) {}

    explicit operator bool() const { return static_cast<bool>(socket_); }
    int fd() const { return socket_.get(); }
    void close() { socket_.reset(); }

    RawPeer accept() const { return RawPeer(::accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC)); }

    bool send(std::span<const std::byte> bytes) const {
        return ::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
    }
    bool send_byte(unsigned value) const {
        const auto byte = static_cast<std::byte>(value);
        return send({&byte, 1});
    }

    bool say_hello(detail::TransportId transport) const {
        detail::Hello hello;
        hello.speaker.transport = transport;
        hello.max_message = 1 << 20;
        hello.lane_size = 1 << 20;
        return send(detail::encode(hello));
    }

    bool readable(std::chrono::milliseconds limit = std::chrono::seconds(60)) const {
        pollfd one{fd(), POLLIN, 0};
        return ::poll(&one, 1, static_cast<int>(limit.count())) > 0;
    }

    /// The 256 bytes that come; fewer, and the peer hung up before.
    std::optional<detail::HandshakeBytes> read_block() {
        detail::HandshakeBytes bytes{};
        for (std::size_t have = 0; have < bytes.size();) {
            iovec part{bytes.data() + have, bytes.size() - have};
            alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(3 * sizeof(int))> control;
            msghdr message{};
            message.msg_iov = &part;
            message.msg_iovlen = 1;
            message.msg_control = control.data();
            message.msg_controllen = control.size();
            if (!readable()) return std::nullopt;
            const auto count = ::recvmsg(fd(), &message, MSG_CMSG_CLOEXEC);
            if (count <= 0) return std::nullopt;
            descriptors_ = detail::take_descriptors(message, taken_, descriptors_);
            have += static_cast<std::size_t>(count);
        }
        return bytes;
    }
    /// The service's answer, as a client of this speaker reads it.
    Result<detail::Reply> read_reply(const detail::Speaker& speaker) {
        const auto bytes = read_block();
        if (!bytes) return fail(errc::disconnected);
        return detail::check_reply(*bytes, speaker);
    }
    /// Hello, reply, ack: an open session.
    bool shake_hands(detail::TransportId transport) {
        detail::Speaker speaker;
        speaker.transport = transport;
        return say_hello(transport) && read_reply(speaker) && send_byte(1);
    }
    std::size_t descriptors() const { return descriptors_; }
    /// E, once hands were shaken.
    int event_socket() const { return taken_[0].get(); }
    /// What a client over shared memory writes to.
    int client_area() const { return taken_[2].get(); }

    /// Whether the peer hangs up, whatever it says before.
    bool hung_up() const {
        char buffer[512];
        while (readable()) {
            const auto count = ::recv(fd(), buffer, sizeof buffer, 0);
            if (count == 0 || (count < 0 && errno != EINTR)) return true;
        }
        return false;
    }

private:
    static std::pair<sockaddr_un, socklen_t> abstract(const std::string& name) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        const std::string path = "qbipc/" + name;
        std::memcpy(address.sun_path + 1, path.data(), path.size());
        return {address, static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + path.size())};
    }

    detail::Descriptor socket_;
    std::array<detail::Descriptor, detail::most_descriptors> taken_;
    std::size_t descriptors_ = 0;
};

}  // namespace qbipc::testing
