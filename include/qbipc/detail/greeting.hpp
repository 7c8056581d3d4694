// SPDX-License-Identifier: BSL-1.0
// greeting.hpp: the handshake over a connected socket, from either side: reads what comes in however small parts, and
// hands descriptors over.
#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <poll.h>
#include <span>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <utility>

#include <qbipc/credentials.hpp>
#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/fork_guard.hpp>
#include <qbipc/detail/handshake.hpp>
#include <qbipc/detail/moved.hpp>
#include <qbipc/detail/waiting.hpp>
#include <qbipc/error.hpp>
#include <qbipc/kernel.hpp>
#include <qbipc/time.hpp>

namespace qbipc::detail {

/// A session is E, and for shared memory the two areas.
inline constexpr std::size_t most_descriptors = 3;

/// What the kernel says where the other end is gone.
constexpr bool means_gone(long error) noexcept {
    return error == -EPIPE || error == -ECONNRESET || error == -ENOTCONN || error == -ESHUTDOWN;
}

/// Sends a reply, whole, with the descriptors that go with it.
/// Errors: disconnected; busy (the kernel holds too many descriptors of this user that nobody has taken yet); what the
/// kernel says.
template <class Kernel>
Result<void> send_reply(int socket, const Reply& reply, std::span<const int> descriptors) {
    HandshakeBytes bytes = encode(reply);
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(most_descriptors * sizeof(int))> control{};
    if (!descriptors.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        auto* const rights = reinterpret_cast<cmsghdr*>(control.data());  // g++ thinks CMSG_FIRSTHDR may be null here
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
    }
    const auto sent = Kernel::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent == static_cast<ssize_t>(bytes.size())) return {};
    if (sent == -ETOOMANYREFS) return fail(errc::busy);
    // The first bytes on an empty socket: either all of them go, or none ever will.
    if (sent >= 0 || means_gone(sent)) return fail(errc::disconnected);
    return fail_system(static_cast<int>(-sent));
}

/// One who has connected, as the service sees him until he is let in. It only ever calls recv(): descriptors that a
/// client sends are dropped by the kernel.
template <class Kernel>
class Guest {
public:
    Guest(Descriptor socket, Credentials credentials, TransportId transport) noexcept
        : socket_(std::move(socket)), credentials_(std::move(credentials)) {
        ours_.transport = transport;
    }
    Guest(Guest&& other) noexcept
        : socket_(std::move(other.socket_)),
          credentials_(std::move(other.credentials_)),
          ours_(other.ours_),
          bytes_(other.bytes_),
          have_(other.have_),
          hello_(other.hello_),
          guard_(other.guard_),
          tag_(other.tag_),
          epoll_(std::exchange(other.epoll_, -1)),
          told_(other.told_) {}
    Guest& operator=(Guest&& other) noexcept {
        if (this != &other) {
            std::destroy_at(this);
            std::construct_at(this, std::move(other));
        }
        return *this;
    }
    ~Guest() { detach(); }

    const Credentials& peer() const noexcept { return credentials_; }
    int socket() const noexcept { return socket_.get(); }

    Result<void> attach(int epoll, std::uint64_t tag) noexcept {
        const auto guard = ForkGuard::here<Kernel>();
        if (!guard) return fail(guard.error());
        tag_ = tag;
        if (const int error = be_announced(epoll, EPOLL_CTL_ADD); error < 0) return fail_system(-error);
        guard_ = *guard;
        epoll_ = epoll;
        return {};
    }

    /// True once the whole hello is there, and fits; reads not a byte beyond it.
    /// Errors: disconnected; protocol_violation; incompatible; what the kernel says. Where there is somebody to tell,
    /// he has been told.
    Result<bool> read_hello() {
        while (have_ < bytes_.size()) {
            const auto count = Kernel::recv(socket_.get(), bytes_.data() + have_, bytes_.size() - have_, MSG_DONTWAIT);
            if (count == -EAGAIN) {
                const int error = epoll_ >= 0 ? be_announced(epoll_, EPOLL_CTL_MOD) : 0;
                if (error < 0) return refused(-error);
                return false;
            }
            if (count == 0 || means_gone(count)) return fail(errc::disconnected);
            if (count < 0) return refused(static_cast<int>(-count));
            have_ += static_cast<std::size_t>(count);
        }
        const auto hello = check_hello(bytes_, ours_);
        if (!hello) {
            refuse(hello.error());
            return fail(hello.error());
        }
        hello_ = *hello;
        return true;
    }
    const Hello& hello() const noexcept { return hello_; }

    /// Tells him why not; once.
    void refuse(const std::error_code& why) {
        if (!std::exchange(told_, true)) (void)send_reply<Kernel>(socket_.get(), refusal(ours_, why), {});
    }
    /// Tells him to look at the flag again.
    void say_moved() {
        Reply reply;
        reply.speaker = ours_;
        reply.status = Status::moved;
        if (!std::exchange(told_, true)) (void)send_reply<Kernel>(socket_.get(), reply, {});
    }
    /// Lets him in. Errors: as send_reply().
    Result<void> welcome(Reply& reply, std::span<const int> descriptors) {
        reply.speaker = ours_;
        reply.speaker.features &= hello_.speaker.features;
        reply.status = Status::ok;
        reply.descriptors = static_cast<std::uint32_t>(descriptors.size());
        auto sent = send_reply<Kernel>(socket_.get(), reply, descriptors);
        // Of a reply that went out in part the rest won't follow: another one behind it would be taken for that.
        if (sent || sent.error() == make_error_code(errc::disconnected)) told_ = true;
        return sent;
    }

    /// He has become a session: who he is, and the socket, now belong to it.
    Descriptor take_socket() noexcept {
        detach();
        return std::move(socket_);
    }
    Credentials take_credentials() noexcept { return std::move(credentials_); }

private:
    /// By the kernel, and told so.
    Result<bool> refused(int system_error) {
        const std::error_code why(system_error, std::system_category());
        refuse(why);
        return fail(why);
    }
    /// Once: who isn't heard at once, for others come first, doesn't keep the loop awake meanwhile.
    int be_announced(int epoll, int operation) noexcept {
        epoll_event event{EPOLLIN | EPOLLONESHOT, {.u64 = tag_}};
        return Kernel::epoll_ctl(epoll, operation, socket_.get(), &event);
    }

    /// Closing is not enough where a forked child holds a copy; and a child must leave its parent's epoll alone.
    void detach() noexcept {
        if (epoll_ >= 0 && !guard_.forked()) Kernel::epoll_ctl(epoll_, EPOLL_CTL_DEL, socket_.get(), nullptr);
        epoll_ = -1;
    }

    Descriptor socket_;
    Credentials credentials_;
    Speaker ours_;
    HandshakeBytes bytes_{};
    std::size_t have_ = 0;
    Hello hello_;
    ForkGuard guard_;
    std::uint64_t tag_ = 0;
    int epoll_ = -1;
    bool told_ = false;
};

/// What a client was let in with.
struct Welcome {
    Reply reply;
    std::array<Descriptor, most_descriptors> descriptors;
};

/// Takes the descriptors out of a received message: those that are expected; the surplus is closed.
/// @return how many there were in all
inline std::size_t take_descriptors(msghdr& message, std::array<Descriptor, most_descriptors>& into, std::size_t have) {
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i, ++have) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            Descriptor taken(fd);
            if (have < into.size()) into[have] = std::move(taken);
        }
    }
    return have;
}

/// How often a client looks for the reply before it sleeps for it: about as long as a service takes to make a session,
/// and as a sleep and its end cost. Connecting and disconnecting took 190 us without, 140 with; over sockets 84 and 40.
/// On one core each look gives way to the service.
inline constexpr int looks_before_sleep = 200;

/// Whether E is what it should be: a client polls and reads it, and what a file system in user space is asked through a
/// descriptor of its own it may never answer.
template <class Kernel>
bool is_unix_socket(int fd) noexcept {
    int domain = 0;
    socklen_t size = sizeof domain;
    return Kernel::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

/// The client's part: says hello, waits for the reply, takes what comes with it.
///
/// Blocking: until the deadline. Errors: timed_out; disconnected (the service hung up without a word); moved_error();
/// incompatible; protocol_violation; descriptors_refused (fewer came than the service sent); the service's refusal.
template <class Kernel>
Result<Welcome> shake_hands(int socket, const Hello& hello, Deadline deadline) {
    const auto wait_for = [&](short what) -> std::error_code {
        pollfd one{socket, what, 0};
        const int ready = poll_until<Kernel>(&one, 1, deadline);
        if (ready < 0) return {-ready, std::system_category()};
        return ready == 0 ? make_error_code(errc::timed_out) : std::error_code();
    };

    const HandshakeBytes greeting = encode(hello);
    for (std::size_t sent = 0; sent < greeting.size();) {
        const auto count =
            Kernel::send(socket, greeting.data() + sent, greeting.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (means_gone(count)) break;  // it may have said why before it hung up
        if (count == -EAGAIN) {
            if (const auto error = wait_for(POLLOUT)) return fail(error);
        } else if (count < 0) {
            return fail_system(static_cast<int>(-count));
        } else {
            sent += static_cast<std::size_t>(count);
        }
    }

    Welcome welcome;
    HandshakeBytes bytes{};
    std::size_t descriptors = 0;
    bool cut = false;
    int looks_left = looks_before_sleep;
    for (std::size_t have = 0; have < bytes.size();) {
        iovec part{bytes.data() + have, bytes.size() - have};
        // Room for all that one message may bring: what doesn't fit could only be guessed at.
        alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(253 * sizeof(int)) + 256> control;
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const auto count = Kernel::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (count == -EAGAIN) {
            if (looks_left > 0) {
                --looks_left;
                Kernel::yield();
            } else if (const auto error = wait_for(POLLIN)) {
                return fail(error);
            }
            continue;
        }
        if (count < 0 && !means_gone(count)) return fail_system(static_cast<int>(-count));
        if (count <= 0) return fail(errc::disconnected);
        descriptors = take_descriptors(message, welcome.descriptors, descriptors);
        cut = cut || (message.msg_flags & MSG_CTRUNC) != 0;
        have += static_cast<std::size_t>(count);
    }

    auto reply = check_reply(bytes, hello.speaker);
    if (!reply) return fail(reply.error());
    if (reply->status == Status::moved) return fail(moved_error());
    if (cut || descriptors < reply->descriptors) return fail(errc::descriptors_refused);
    if (descriptors > reply->descriptors || descriptors == 0) return fail(errc::protocol_violation);
    if (!is_unix_socket<Kernel>(welcome.descriptors[0].get())) return fail(errc::protocol_violation);
    welcome.reply = *reply;
    return welcome;
}

/// The client's last byte of the handshake: it has mapped what it was given. From here on the session is open.
template <class Kernel>
Result<void> acknowledge(int socket) {
    const auto byte = static_cast<std::byte>(Signal::ack);
    const auto sent = Kernel::send(socket, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent == 1) return {};
    if (means_gone(sent)) return fail(errc::disconnected);
    return fail_system(sent < 0 ? static_cast<int>(-sent) : EAGAIN);
}

/// E: the pair of stream sockets that carries what the client's loop is to notice.
struct EventPair {
    Descriptor service, client;
};
template <class Kernel>
Result<EventPair> make_event_pair() {
    int pair[2] = {-1, -1};
    const int error = Kernel::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
    if (error < 0) return fail_system(-error);
    // A client has nothing to say here. What it could put here nobody would read: a socket of its own, sent along in a
    // message, would stay open for as long as the session, and the session for as long as the socket.
    EventPair made{Descriptor(pair[0]), Descriptor(pair[1])};
    if (const int deaf = Kernel::shutdown(pair[0], SHUT_RD); deaf < 0) return fail_system(-deaf);
    return made;
}

}  // namespace qbipc::detail
