// SPDX-License-Identifier: BSL-1.0
// sockets.hpp: a hostile side's descriptors: abstract sockets, bytes, and whatever goes along with them.
#pragma once

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <span>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "attacker/wire.hpp"

namespace attacker {

class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Fd() { close(); }

    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    void close() {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }
    Fd twin() const { return Fd(::fcntl(fd_, F_DUPFD_CLOEXEC, 0)); }

private:
    int fd_ = -1;
};

inline std::pair<sockaddr_un, socklen_t> abstract(const std::string& name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = "qbipc/" + name;
    std::memcpy(address.sun_path + 1, path.data(), path.size());
    return {address, static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + path.size())};
}

/// `flags`: SOCK_NONBLOCK: only if there is a place at once.
inline Fd connect_to(const std::string& name, int flags = 0) {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
    const auto [address, size] = abstract(name);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) fd.close();
    return fd;
}

inline Fd listen_at(const std::string& name) {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto [address, size] = abstract(name);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 || ::listen(fd.get(), 64) != 0)
        fd.close();
    return fd;
}

/// Whatever there is room for, at once; a full socket takes nothing.
inline ssize_t put(int fd, std::string_view bytes) {
    return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}
/// All of it; false where the other side is gone.
inline bool put_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const auto sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}
/// All of it, however long the other side takes, until it is told to stop.
template <class Stop>
bool put_all_while(int fd, std::string_view bytes, const Stop& stop) {
    while (!bytes.empty() && !stop.stop_requested()) {
        const auto sent = put(fd, bytes);
        if (sent > 0)
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        else if (errno != EAGAIN && errno != EINTR)
            return false;
    }
    return bytes.empty();
}
inline ssize_t put_byte(int fd, u8 byte) { return put(fd, {reinterpret_cast<const char*>(&byte), 1}); }

/// The bytes, and these descriptors in one control message (or one for each).
inline ssize_t put_with(int fd, std::string_view bytes, std::span<const int> descriptors, bool one_by_one = false) {
    const std::size_t messages = descriptors.empty() ? 0 : one_by_one ? descriptors.size() : 1;
    const std::size_t each = one_by_one ? 1 : descriptors.size();
    std::vector<std::max_align_t> room(messages * CMSG_SPACE(each * sizeof(int)) / sizeof(std::max_align_t) + 1);
    iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (messages != 0) {
        message.msg_control = room.data();
        message.msg_controllen = messages * CMSG_SPACE(each * sizeof(int));
        auto* place = reinterpret_cast<char*>(room.data());
        for (std::size_t i = 0; i < messages; ++i, place += CMSG_SPACE(each * sizeof(int))) {
            cmsghdr header{};
            header.cmsg_level = SOL_SOCKET;
            header.cmsg_type = SCM_RIGHTS;
            header.cmsg_len = CMSG_LEN(each * sizeof(int));
            std::memcpy(place, &header, sizeof header);
            std::memcpy(place + CMSG_LEN(0), descriptors.data() + i * each, each * sizeof(int));
        }
    }
    return ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

inline bool readable(int fd, std::chrono::milliseconds limit) {
    pollfd one{fd, POLLIN, 0};
    return ::poll(&one, 1, static_cast<int>(limit.count())) > 0;
}

/// So many bytes, or as many as come before the other side hangs up or the time is up; and the descriptors with them.
inline std::string take(int fd, std::size_t size, std::vector<Fd>* descriptors = nullptr,
                        std::chrono::milliseconds limit = std::chrono::seconds(60)) {
    std::string bytes(size, '\0');
    std::size_t have = 0;
    while (have < size && readable(fd, limit)) {
        alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))];
        iovec part{bytes.data() + have, size - have};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        const auto got = ::recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
        if (got <= 0) break;
        have += static_cast<std::size_t>(got);
        for (cmsghdr* one = CMSG_FIRSTHDR(&message); one != nullptr; one = CMSG_NXTHDR(&message, one)) {
            if (one->cmsg_type != SCM_RIGHTS) continue;
            for (std::size_t i = 0; i < (one->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
                int fd_taken = -1;
                std::memcpy(&fd_taken, CMSG_DATA(one) + i * sizeof(int), sizeof(int));
                if (descriptors != nullptr)
                    descriptors->emplace_back(fd_taken);
                else
                    ::close(fd_taken);
            }
        }
    }
    bytes.resize(have);
    return bytes;
}

/// Whether the other side hangs up, whatever it says before.
inline bool hung_up(int fd, std::chrono::milliseconds limit = std::chrono::seconds(60)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    char bytes[4096];
    do {
        if (!readable(fd, limit)) return false;
        const auto got = ::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return true;
    } while (std::chrono::steady_clock::now() < end);
    return false;
}

}  // namespace attacker
