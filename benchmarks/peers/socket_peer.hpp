// SPDX-License-Identifier: BSL-1.0
// socket_peer.hpp: a machine limit: bytes there and back over a Unix socket, without frames or anything else.
#pragma once

#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include "../harness/main.hpp"

namespace bench::bare {

/// All of it, however many calls that takes; false where the other end is gone.
inline bool read_all(int fd, std::byte* data, std::size_t size) {
    while (size != 0) {
        const auto got = ::recv(fd, data, size, MSG_WAITALL);
        if (got <= 0) return false;
        data += got;
        size -= static_cast<std::size_t>(got);
    }
    return true;
}

inline bool write_all(int fd, const std::byte* data, std::size_t size) {
    while (size != 0) {
        const auto put = ::send(fd, data, size, MSG_NOSIGNAL);
        if (put < 0) return false;
        data += put;
        size -= static_cast<std::size_t>(put);
    }
    return true;
}

inline int make_socket(int type) {
    const int fd = ::socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    bench::expect(fd >= 0, "socket");
    return fd;
}

/// In the abstract name space: no file.
inline sockaddr_un abstract(const bench::Setup& setup, socklen_t& length) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, setup.address.data(), setup.address.size());
    length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + setup.address.size());
    return address;
}

/// @tparam type  SOCK_STREAM or SOCK_SEQPACKET; the latter's messages must fit the kernel's default buffer
template <int type>
struct Peer {
    static constexpr std::size_t largest = type == SOCK_STREAM ? std::size_t{1} << 20 : std::size_t{1} << 16;

    class Service {
    public:
        explicit Service(const bench::Setup& setup) : setup_(setup), buffer_(setup.size), listener_(make_socket(type)) {
            socklen_t length = 0;
            const sockaddr_un address = abstract(setup, length);
            bench::expect(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), length) == 0, "bind");
            bench::expect(::listen(listener_, 16) == 0, "listen");
        }

        void serve() {
            for (;;) {
                const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
                bench::expect(fd >= 0, "accept");
                const std::byte hello{1};
                (void)write_all(fd, &hello, 1);
                if (setup_.mode == bench::Mode::consume)
                    consume(fd);
                else
                    echo(fd);
                ::close(fd);
            }
        }

    private:
        void echo(int fd) {
            while (read_all(fd, buffer_.data(), buffer_.size()))
                if (!write_all(fd, buffer_.data(), buffer_.size())) return;
        }
        void consume(int fd) {
            while (read_all(fd, buffer_.data(), buffer_.size())) bench::count(setup_);
        }

        const bench::Setup& setup_;
        std::vector<std::byte> buffer_;
        int listener_;
    };

    class Client {
    public:
        explicit Client(const bench::Setup& setup)
            : out_(setup.size, std::byte{1}), in_(setup.size), fd_(make_socket(type)) {
            socklen_t length = 0;
            const sockaddr_un address = abstract(setup, length);
            bench::expect(::connect(fd_, reinterpret_cast<const sockaddr*>(&address), length) == 0, "connect");
            std::byte hello{};
            bench::expect(read_all(fd_, &hello, 1), "the service's first byte");
        }
        Client(const Client&) = delete;
        Client& operator=(const Client&) = delete;
        ~Client() { ::close(fd_); }

        void call() {
            bench::expect(write_all(fd_, out_.data(), out_.size()), "send");
            bench::expect(read_all(fd_, in_.data(), in_.size()), "receive");
        }
        void send() { bench::expect(write_all(fd_, out_.data(), out_.size()), "send"); }

    private:
        std::vector<std::byte> out_, in_;
        int fd_;
    };
};

}  // namespace bench::bare
