// SPDX-License-Identifier: BSL-1.0
// scripted_kernel.hpp: a kernel that does what a fuzz input says: streams, control messages, failures, time. It knows
// of each descriptor that it gave, and that each is closed once.
//
// Transports get it as their Kernel. What asks LinuxKernel itself (descriptors, the service's loop) gets it from the
// linker: a target is linked with --wrap for each name at the end of this file.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <linux/magic.h>
#include <span>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <qbipc/detail/layout.hpp>
#include <qbipc/detail/shared_memory.hpp>
#include <qbipc/kernel.hpp>

#include "fuzz/input.hpp"

namespace qbipc::fuzz {

/// What comes out of a socket, and when it ends.
struct Stream {
    std::array<std::byte, 4096> bytes;
    std::size_t size = 0, at = 0;
    bool ended = false;

    void add(const void* more, std::size_t count) {
        count = std::min(count, bytes.size() - size);
        if (count != 0) std::memcpy(bytes.data() + size, more, count);
        size += count;
    }
    void add(std::byte byte) { add(&byte, 1); }
    bool readable() const noexcept { return at < size || ended; }
};

/// One control message, as a kernel hands it over.
struct Control {
    int level = SOL_SOCKET;
    int type = SCM_RIGHTS;
    std::size_t count = 0;  ///< descriptors, or words
};

/// What a kernel says of memory that a peer handed over.
struct MemoryFacts {
    int seals = 0;
    long file_system = TMPFS_MAGIC;
    std::uint64_t size = 0;
    mode_t mode = S_IFREG | 0600;
};

class ScriptedKernel : public LinuxKernel {
public:
    // ---- the script

    static void begin() {
        std::fill_n(files_.begin(), made_, File{});
        made_ = registered_ = failures_ = controls_ = chunks_ = 0;
        calls = received = 0;
        for (Stream& stream : streams) stream.size = stream.at = 0, stream.ended = false;
        send_result = 0;
        facts = {};
        user = LinuxKernel::geteuid();
        passed_ = {};
        clock_looks_ = 0;
        on_wait = nullptr;
        control_at_ = 0;
        next_chunk_ = 0;
        may_receive_descriptors = false;
        truncated = false;
    }
    /// Call number `call` of those that may fail does so.
    static void fail_call(std::uint64_t call, int error) {
        if (failures_ < planned_.size()) planned_[failures_++] = {call, error};
    }
    /// These come with the first recvmsg that begins at or behind byte `at` of the stream.
    static void add_control(const Control& control, std::size_t at) {
        control_at_ = at;
        if (controls_ < control_.size()) control_[controls_++] = control;
    }
    /// Each recv brings so many bytes at most; 0: EAGAIN first. At the end of the list, all there is.
    static void add_chunk(std::uint8_t most) {
        if (chunks_ < chunk_.size()) chunk_[chunks_++] = most;
    }

    static constexpr std::size_t call_stream = 0, event_stream = 1;
    static inline std::array<Stream, 2> streams;
    static inline std::uint64_t calls = 0;     ///< that may fail; since begin()
    static inline std::uint64_t received = 0;  ///< descriptors that came with messages
    static inline int send_result = 0;         ///< an error that each send gives
    static inline std::array<MemoryFacts, 3> facts;
    static inline uid_t user = 0;  ///< the peer's
    static inline bool may_receive_descriptors = false;
    static inline bool truncated = false;       ///< a control message was cut
    static inline bool (*on_wait)() = nullptr;  ///< the peer's turn, while the victim sleeps; false: it has no more

    // ---- descriptors

    enum class Kind : std::uint8_t { closed, socket, event, epoll, timer, memory, strange };

    static int make(Kind kind, std::uint64_t counter = 0) {
        expect(made_ < files_.size(), "descriptors without end");
        files_[made_] = {kind, counter};
        return first_ + static_cast<int>(made_++);
    }
    static bool is_ours(int fd) noexcept { return fd >= first_; }
    static std::size_t open_descriptors() noexcept {
        return static_cast<std::size_t>(std::count_if(files_.begin(),
                                                      files_.begin() + static_cast<std::ptrdiff_t>(made_),
                                                      [](const File& file) { return file.kind != Kind::closed; }));
    }
    static int close(int fd) noexcept {
        File& file = file_of(fd);
        expect(file.kind != Kind::closed, "a descriptor was closed twice");
        file.kind = Kind::closed;
        for (std::size_t i = registered_; i-- > 0;)
            if (registration_[i].fd == fd || registration_[i].epoll == fd)
                registration_[i] = registration_[--registered_];
        return 0;
    }

    // ---- sockets

    static int socket(int, int, int) noexcept {
        if (const int error = failing()) return error;
        return make(Kind::socket, call_stream);
    }
    static int socketpair(int, int, int, int (&pair)[2]) noexcept {
        if (const int error = failing()) return error;
        pair[0] = make(Kind::socket, event_stream);
        pair[1] = make(Kind::strange);
        return 0;
    }
    static int connect(int, const sockaddr*, socklen_t) noexcept { return failing(); }
    static int shutdown(int fd, int) noexcept {
        if (is_ours(fd)) stream_of(fd).ended = true;
        return 0;
    }
    static ssize_t send(int fd, const void*, std::size_t size, int flags) noexcept {
        expect((flags & (MSG_DONTWAIT | MSG_NOSIGNAL)) == (MSG_DONTWAIT | MSG_NOSIGNAL),
               "a send that may block or kill");
        expect(file_of(fd).kind == Kind::socket, "a send on what isn't a socket");
        if (const int error = failing()) return error;
        if (send_result != 0) return send_result;
        return static_cast<ssize_t>(size);
    }
    static ssize_t recv(int fd, void* data, std::size_t size, int flags) noexcept {
        expect((flags & MSG_DONTWAIT) != 0, "a recv that may block");
        if (const int error = failing()) return error;
        return take(stream_of(fd), data, size);
    }
    static ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept {
        return send(fd, nullptr, message->msg_iov[0].iov_len, flags);
    }
    static ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept {
        expect(may_receive_descriptors, "a service took descriptors from a client");
        expect((flags & (MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) == (MSG_DONTWAIT | MSG_CMSG_CLOEXEC),
               "a recvmsg that may block or leak");
        if (const int error = failing()) return error;
        Stream& stream = stream_of(fd);
        const bool comes = stream.at >= control_at_;
        const auto count = take(stream, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
        message->msg_flags = 0;
        if (count <= 0 || !comes || controls_ == 0) {
            message->msg_controllen = 0;
            return count;
        }
        hand_over(*message);
        return count;
    }
    static int getsockopt(int fd, int, int option, void* value, socklen_t* size) noexcept {
        if (const int error = failing()) return error;
        if (option == SO_PEERCRED) {
            const ucred peer{42, user, 42};
            std::memcpy(value, &peer, sizeof peer);
            *size = sizeof peer;
        } else if (option == SO_DOMAIN) {
            if (file_of(fd).kind != Kind::socket) return -ENOTSOCK;
            const int domain = AF_UNIX;
            std::memcpy(value, &domain, sizeof domain);
        } else if (option == SO_SNDBUF) {
            const int buffer = 212992;
            std::memcpy(value, &buffer, sizeof buffer);
        } else {
            *size = 0;
        }
        return 0;
    }
    static int setsockopt(int, int, int, const void*, socklen_t) noexcept { return failing(); }

    // ---- waiting

    static int ppoll(pollfd* descriptors, std::size_t count, const timespec* limit) noexcept {
        if (const int error = failing()) return error;
        const bool zero = limit != nullptr && limit->tv_sec == 0 && limit->tv_nsec == 0;
        for (bool more = true;;) {
            int ready = 0;
            for (pollfd& one : std::span(descriptors, count)) {
                one.revents = 0;
                if (one.fd < 0) continue;
                if ((one.events & POLLIN) != 0 && readable(one.fd)) one.revents = POLLIN;
                if ((one.events & POLLOUT) != 0 && send_result != -EAGAIN) one.revents |= POLLOUT;
                if (file_of(one.fd).kind == Kind::socket && stream_of(one.fd).ended)
                    one.revents |= static_cast<short>(POLLHUP | (one.events & POLLRDHUP));
                ready += one.revents != 0;
            }
            if (ready != 0 || zero) return ready;
            if (!more) {
                // Nothing happens any more: the limit passes, and for whom it never does the peer dies.
                if (limit != nullptr) {
                    passed_ += std::chrono::seconds(limit->tv_sec) + std::chrono::nanoseconds(limit->tv_nsec + 1);
                    return 0;
                }
                for (Stream& stream : streams) stream.ended = true;
                continue;
            }
            more = on_wait != nullptr && on_wait();
        }
    }
    static int epoll_create1(int) noexcept {
        if (const int error = failing()) return error;
        return make(Kind::epoll);
    }
    static int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
        if (const int error = failing(); error != 0 && operation != EPOLL_CTL_DEL) return error;
        const auto end = registration_.begin() + static_cast<std::ptrdiff_t>(registered_);
        const auto found = std::find_if(registration_.begin(), end,
                                        [&](const Registration& one) { return one.epoll == epoll && one.fd == fd; });
        if (operation == EPOLL_CTL_ADD) {
            expect(found == end && registered_ < registration_.size(), "a descriptor was registered twice");
            registration_[registered_++] = {epoll, fd, *event};
        } else {
            expect(found != end, "a descriptor was taken out of an epoll that it isn't in");
            if (operation == EPOLL_CTL_MOD)
                found->event = *event;
            else
                *found = registration_[--registered_];
        }
        return 0;
    }
    static int epoll_wait(int epoll, epoll_event* events, int count, int) noexcept {
        int ready = 0;
        for (std::size_t i = 0; i < registered_ && ready < count; ++i) {
            const Registration& one = registration_[i];
            if (one.epoll != epoll) continue;
            const std::uint32_t now = (readable(one.fd) ? EPOLLIN : 0u) | EPOLLOUT;
            if ((one.event.events & now) == 0) continue;
            events[ready] = one.event;
            events[ready++].events = one.event.events & now;
        }
        return ready;
    }
    static int eventfd(unsigned value, int) noexcept { return make(Kind::event, value); }
    static int timerfd_create(int, int) noexcept { return make(Kind::timer); }
    static int timerfd_settime(int fd, int, const itimerspec* at) noexcept {
        // One that is set to a point long past is due; others never come.
        file_of(fd).counter = at->it_value.tv_sec == 0 && at->it_value.tv_nsec == 1;
        return 0;
    }
    static ssize_t read(int fd, void* data, std::size_t size) noexcept {
        File& file = file_of(fd);
        if (file.counter == 0) return -EAGAIN;
        std::memcpy(data, &file.counter, std::min(size, sizeof file.counter));
        file.counter = 0;
        return 8;
    }
    static ssize_t write(int fd, const void* data, std::size_t size) noexcept {
        std::uint64_t more = 0;
        std::memcpy(&more, data, std::min(size, sizeof more));
        file_of(fd).counter += more;
        return static_cast<ssize_t>(size);
    }
    static int sleep(const timespec& span) noexcept {
        passed_ += std::chrono::seconds(span.tv_sec) + std::chrono::nanoseconds(span.tv_nsec);
        return 0;
    }
    /// Time passes when somebody looks, too: who waits until a deadline comes to it. From the eighth look of a step on
    /// each takes four times as long as the one before: a second's linger is over after some 18.
    static Clock::time_point now() noexcept {
        const unsigned doublings = 2 * (std::clamp(++clock_looks_, 8u, 24u) - 8);
        passed_ += std::chrono::microseconds(std::int64_t{1} << doublings);
        return Clock::time_point(std::chrono::hours(1000)) + passed_;
    }
    /// The victim's next step: time passes slowly again.
    static void next_step() noexcept { clock_looks_ = 0; }

    // ---- memory and files

    static int memfd_create(const char*, unsigned) noexcept {
        if (const int error = failing()) return error;
        return make(Kind::memory);
    }
    static int ftruncate(int, off_t) noexcept { return failing(); }
    static int fallocate(int, int, off_t, off_t) noexcept { return failing(); }
    static int fchmod(int, mode_t) noexcept { return failing(); }
    static int mlock(const void*, std::size_t) noexcept { return failing(); }
    static int madvise(void* start, std::size_t size, int advice) noexcept {
        if (advice == MADV_WIPEONFORK || advice == MADV_KEEPONFORK) return LinuxKernel::madvise(start, size, advice);
        return failing();
    }
    static int fcntl(int fd, int command, int = 0) noexcept {
        if (const int error = failing()) return error;
        return command == F_GET_SEALS ? facts_of(fd).seals : 0;
    }
    static int fstat(int fd, struct stat& status) noexcept {
        if (const int error = failing()) return error;
        status = {};
        status.st_mode = facts_of(fd).mode;
        status.st_size = static_cast<off_t>(facts_of(fd).size);
        return 0;
    }
    static int fstatfs(int fd, struct statfs& status) noexcept {
        if (const int error = failing()) return error;
        status = {};
        status.f_type = static_cast<decltype(status.f_type)>(facts_of(fd).file_system);
        return 0;
    }
    static int fstatat(int, const char*, struct stat&, int) noexcept { return -ENOENT; }
    static int openat(int, const char*, int, mode_t = 0) noexcept { return -ENOENT; }
    static int getrlimit(decltype(RLIMIT_FSIZE), rlimit& limit) noexcept {
        limit = {RLIM_INFINITY, RLIM_INFINITY};
        return failing();
    }

private:
    struct File {
        Kind kind;
        std::uint64_t counter;  ///< a socket's stream; an eventfd's value; which of the received ones
    };
    struct Registration {
        int epoll, fd;
        epoll_event event;
    };
    struct Failure {
        std::uint64_t call;
        int error;
    };

    static constexpr int first_ = 1 << 20;

    static int failing() noexcept {
        ++calls;
        for (std::size_t i = 0; i < failures_; ++i)
            if (planned_[i].call == calls) return -planned_[i].error;
        return 0;
    }
    static File& file_of(int fd) {
        expect(fd >= first_ && fd < first_ + static_cast<int>(made_), "a descriptor that nobody gave");
        return files_[static_cast<std::size_t>(fd - first_)];
    }
    static Stream& stream_of(int fd) { return streams[file_of(fd).counter % streams.size()]; }
    static const MemoryFacts& facts_of(int fd) { return facts[file_of(fd).counter % facts.size()]; }
    static bool readable(int fd) {
        const File& file = file_of(fd);
        if (file.kind == Kind::socket) return stream_of(fd).readable();
        return (file.kind == Kind::event || file.kind == Kind::timer) && file.counter != 0;
    }
    static ssize_t take(Stream& stream, void* data, std::size_t size) {
        std::size_t most = size;
        if (next_chunk_ < chunks_) {
            most = chunk_[next_chunk_++];
            if (most == 0) return -EAGAIN;
        }
        const std::size_t count = std::min({size, most, stream.size - stream.at});
        if (count == 0) return stream.ended || size == 0 ? 0 : -EAGAIN;
        std::memcpy(data, stream.bytes.data() + stream.at, count);
        stream.at += count;
        return static_cast<ssize_t>(count);
    }
    /// As Linux fills a control buffer: what fits of a message, descriptors into the padding too; the rest is dropped.
    static void hand_over(msghdr& message) {
        std::size_t used = 0;
        auto* const buffer = static_cast<std::byte*>(message.msg_control);
        for (const Control& control : std::span(control_.data(), controls_)) {
            const std::size_t room = message.msg_controllen - used;
            if (room < CMSG_LEN(0)) {
                message.msg_flags |= MSG_CTRUNC;
                break;
            }
            const std::size_t count = std::min(control.count, (room - CMSG_LEN(0)) / sizeof(int));
            if (count < control.count) message.msg_flags |= MSG_CTRUNC;
            const bool rights = control.level == SOL_SOCKET && control.type == SCM_RIGHTS;
            if (rights && count == 0) continue;  // the kernel leaves such a message out
            cmsghdr header{};
            header.cmsg_len = CMSG_LEN(count * sizeof(int));
            header.cmsg_level = control.level;
            header.cmsg_type = control.type;
            std::memcpy(buffer + used, &header, sizeof header);
            for (std::size_t i = 0; i < count; ++i) {
                const int word = rights ? make(Kind::strange, received++) : 0;
                // E is the first of them, and is used as a socket.
                if (rights && received == 1) file_of(word) = {Kind::socket, event_stream};
                std::memcpy(buffer + used + CMSG_LEN(0) + i * sizeof word, &word, sizeof word);
            }
            used += std::min(CMSG_SPACE(count * sizeof(int)), room);
        }
        truncated = truncated || (message.msg_flags & MSG_CTRUNC) != 0;
        message.msg_controllen = used;
        controls_ = 0;
    }

    static inline std::array<File, 1024> files_{};
    static inline std::size_t made_ = 0;
    static inline std::array<Registration, 16> registration_{};
    static inline std::size_t registered_ = 0;
    static inline std::array<Failure, 4> planned_{};
    static inline std::size_t failures_ = 0;
    static inline std::array<Control, 4> control_{};
    static inline std::size_t controls_ = 0, control_at_ = 0;
    static inline std::array<std::uint8_t, 16> chunk_{};
    static inline std::size_t chunks_ = 0, next_chunk_ = 0;
    static inline Clock::duration passed_{};
    static inline unsigned clock_looks_ = 0;
};

}  // namespace qbipc::fuzz

/// Memory that the fuzzer has laid out already: nothing is mapped.
template <>
class qbipc::detail::Mapping<qbipc::fuzz::ScriptedKernel> {
public:
    static inline std::byte* next_writable = nullptr;
    static inline std::byte* next_readable = nullptr;
    static inline unsigned made_sure = 0;  ///< times that memory was populated for reading
    static constexpr std::size_t most = 4096 + 2 * min_lane;

    Mapping() noexcept = default;
    Mapping(std::byte* data, std::size_t size) noexcept : data_(data), size_(size) {}
    static Result<Mapping> make(int, std::size_t size, Access access, ForkGuard) {
        if (size > most) return fail_system(ENOMEM);
        if (const int error = fuzz::ScriptedKernel::madvise(nullptr, 0, MADV_DONTFORK)) return fail_system(-error);
        return Mapping(access == Access::write ? next_writable : next_readable, size);
    }
    std::byte* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    std::error_code populate(std::size_t, std::size_t, Access access = Access::write) const noexcept {
        const int advice = access == Access::write ? madvise_populate_write : madvise_populate_read;
        made_sure += access == Access::read;
        const int error = fuzz::ScriptedKernel::madvise(nullptr, 0, advice);
        return error < 0 ? std::make_error_code(std::errc::not_enough_memory) : std::error_code();
    }
    std::size_t missing(std::size_t, std::size_t size) const noexcept { return size; }
    void want_huge_pages() const noexcept {}
    std::error_code lock() const noexcept { return {}; }

private:
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

// ---- what LinuxKernel calls, by --wrap
extern "C" {
int __real_close(int);
ssize_t __real_read(int, void*, size_t);
ssize_t __real_write(int, const void*, size_t);
int __wrap_close(int);
ssize_t __wrap_read(int, void*, size_t);
ssize_t __wrap_write(int, const void*, size_t);
int __wrap_epoll_create1(int);
int __wrap_epoll_ctl(int, int, int, epoll_event*);
int __wrap_epoll_wait(int, epoll_event*, int, int);
int __wrap_eventfd(unsigned, int);
int __wrap_timerfd_create(int, int);
int __wrap_timerfd_settime(int, int, const itimerspec*, itimerspec*);
uid_t __real_geteuid();
uid_t __wrap_geteuid();
std::int64_t __wrap__ZNSt6chrono3_V212steady_clock3nowEv();  // std::chrono::steady_clock::now()

inline long qbipc_fuzz_as_libc(long value) {
    if (value >= 0) return value;
    errno = static_cast<int>(-value);
    return -1;
}
int __wrap_close(int fd) {
    using Kernel = qbipc::fuzz::ScriptedKernel;
    return Kernel::is_ours(fd) ? Kernel::close(fd) : __real_close(fd);
}
ssize_t __wrap_read(int fd, void* data, size_t size) {
    using Kernel = qbipc::fuzz::ScriptedKernel;
    return Kernel::is_ours(fd) ? qbipc_fuzz_as_libc(Kernel::read(fd, data, size)) : __real_read(fd, data, size);
}
ssize_t __wrap_write(int fd, const void* data, size_t size) {
    using Kernel = qbipc::fuzz::ScriptedKernel;
    return Kernel::is_ours(fd) ? Kernel::write(fd, data, size) : __real_write(fd, data, size);
}
int __wrap_epoll_create1(int flags) {
    return static_cast<int>(qbipc_fuzz_as_libc(qbipc::fuzz::ScriptedKernel::epoll_create1(flags)));
}
int __wrap_epoll_ctl(int epoll, int operation, int fd, epoll_event* event) {
    return static_cast<int>(qbipc_fuzz_as_libc(qbipc::fuzz::ScriptedKernel::epoll_ctl(epoll, operation, fd, event)));
}
int __wrap_epoll_wait(int epoll, epoll_event* events, int count, int limit) {
    return qbipc::fuzz::ScriptedKernel::epoll_wait(epoll, events, count, limit);
}
int __wrap_eventfd(unsigned value, int flags) { return qbipc::fuzz::ScriptedKernel::eventfd(value, flags); }
int __wrap_timerfd_create(int clock, int flags) { return qbipc::fuzz::ScriptedKernel::timerfd_create(clock, flags); }
int __wrap_timerfd_settime(int fd, int flags, const itimerspec* at, itimerspec*) {
    return qbipc::fuzz::ScriptedKernel::timerfd_settime(fd, flags, at);
}
// Asked twice a run, which is a tenth of its time.
uid_t __wrap_geteuid() {
    static const uid_t user = __real_geteuid();
    return user;
}
std::int64_t __wrap__ZNSt6chrono3_V212steady_clock3nowEv() {
    return qbipc::fuzz::ScriptedKernel::now().time_since_epoch().count();
}
}
