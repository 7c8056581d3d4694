// SPDX-License-Identifier: BSL-1.0
// frame_sender.hpp: frames onto a stream socket: one at a time, and each finished before the next.
#pragma once

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <poll.h>
#include <sys/socket.h>
#include <system_error>

#include <qbipc/detail/greeting.hpp>
#include <qbipc/detail/standing.hpp>
#include <qbipc/error.hpp>
#include <qbipc/frame.hpp>

namespace qbipc::detail {

/// The largest payload of one frame on a socket.
inline constexpr std::size_t max_socket_frame = std::size_t{64} << 10;

/// What a frame takes on the stream: header and payload, and zeros up to 16, so that payloads are aligned where they
/// are received.
constexpr std::size_t stream_span(std::size_t payload) noexcept { return header_size + (payload + 15) / 16 * 16; }

/// Says, as a frame without payload, that the peer disconnects in good order. Never seen above the transport.
inline constexpr Kind bye_kind = static_cast<Kind>(255);

/// A buffer for one side of a stream; grows, and is 16-aligned.
class StreamBuffer {
public:
    std::byte* data() noexcept { return bytes_.get(); }
    const std::byte* data() const noexcept { return bytes_.get(); }
    std::size_t size() const noexcept { return size_; }

    /// Makes room for `size` bytes and keeps the first `keep`. False: no memory.
    bool grow(std::size_t size, std::size_t keep) noexcept {
        if (size <= size_) return true;
        static_assert(__STDCPP_DEFAULT_NEW_ALIGNMENT__ >= 16);
        // Zeros: what a user's function leaves unwritten in its place goes out as it is.
        std::unique_ptr<std::byte[]> larger(new (std::nothrow) std::byte[size]());
        if (!larger) return false;
        if (keep != 0) std::memcpy(larger.get(), bytes_.get(), keep);
        bytes_ = std::move(larger);
        size_ = size;
        return true;
    }

private:
    std::unique_ptr<std::byte[]> bytes_;
    std::size_t size_ = 0;
};

/// The sending end of one direction of a socket.
///
/// A frame is accepted only when the socket will take all of it, as far as one can know: poll() calls a Unix socket
/// writable while a quarter of its buffer at most is in use, and from there on this end keeps count. Where that was
/// wrong after all (a tiny buffer) the unsent rest stays here and goes out before anything else.
///
/// Threads: the sending thread; flush() and waits may come from others only while tail() is seen: the owner's lock.
template <class Kernel>
class FrameSender {
public:
    FrameSender() noexcept = default;
    /// Gives the socket at least the usual room for what its peer hasn't read, where the system's default is less:
    /// frames of 64 KiB then go out whole.
    explicit FrameSender(int socket) noexcept { widen(socket, usual_room); }

    /// Room for a payload, or null: refused() says why.
    std::byte* reserve(int socket, std::size_t payload) noexcept {
        assert(payload <= max_socket_frame);
        wanted_ = payload;
        if (payload > max_socket_frame / 4 && !wide_) [[unlikely]] {
            wide_ = true;
            widen(socket, wide_room);
        }
        const std::size_t span = stream_span(payload);
        if (tail() || !has_room(socket, payload)) {
            refused_ = errc::lane_full;
            return nullptr;
        }
        if (buffer_.size() < span && !buffer_.grow(std::max(span, smallest), 0)) {
            refused_ = std::make_error_code(std::errc::not_enough_memory);
            return nullptr;
        }
        return buffer_.data() + header_size;
    }

    /// Sends the frame whose payload lies where reserve() said; what the socket doesn't take becomes the tail.
    /// @return 0, or the negative errno that says the peer is gone
    long commit(int socket, const Header& header) noexcept {
        const std::uint64_t words[2] = {header.first_word(), header.second_word()};
        std::memcpy(buffer_.data(), words, sizeof words);
        end_ = stream_span(header.size);
        const std::size_t payload_end = header_size + header.size;
        if (end_ != payload_end) std::memset(buffer_.data() + payload_end, 0, end_ - payload_end);
        begin_ = 0;
        room_ -= std::min(room_, cost(header.size));
        return flush(socket);
    }

    /// Whether a frame has begun and isn't out.
    bool tail() const noexcept { return begin_ != end_; }

    /// Whether there is a tail because the kernel had no memory for it, rather than no room.
    bool short_of_memory() const noexcept { return tail() && short_of_memory_; }

    /// Gets on with the tail. @return as commit()
    long flush(int socket) noexcept {
        while (tail()) {
            const auto sent = Kernel::send(socket, buffer_.data() + begin_, end_ - begin_, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (sent == -EAGAIN || sent == -ENOBUFS || sent == -ENOMEM) {
                room_ = 0;
                short_of_memory_ = sent != -EAGAIN;
                return 0;
            }
            if (sent < 0) {
                begin_ = end_ = 0;  // it will never be finished
                return sent;
            }
            begin_ += static_cast<std::size_t>(sent);
        }
        return 0;
    }

    /// Whether reserve() of this size would succeed; asks the kernel only where the count doesn't tell.
    bool has_room(int socket, std::size_t payload) noexcept {
        if (tail()) return false;
        if (room_ >= cost(payload)) return true;
        pollfd one{socket, POLLOUT, 0};
        const timespec at_once{};
        if (Kernel::ppoll(&one, 1, &at_once) <= 0 || (one.revents & POLLOUT) == 0) {
            // A dead peer's socket is for commit() to find out about.
            return (one.revents & (POLLHUP | POLLERR)) != 0;
        }
        room_ = std::max(after_poll_, cost(payload));
        return true;
    }
    /// The same, without asking the kernel.
    bool surely_has_room(std::size_t payload) const noexcept { return !tail() && room_ >= cost(payload); }

    std::size_t wanted() const noexcept { return wanted_; }
    std::error_code refused() const noexcept { return refused_; }
    void refuse(std::error_code why) noexcept { refused_ = why; }

private:
    static constexpr std::size_t smallest = 1024;
    static constexpr int usual_room = 212992;
    /// Where frames are large: one goes out while the one before is read (64 KiB one way: 15 k/s with the usual room,
    /// 45 with this). It is as much as a system with usual limits gives.
    static constexpr int wide_room = 2 * usual_room;

    void widen(int socket, int room) noexcept {
        int buffer = 0;
        socklen_t size = sizeof buffer;
        const auto ask = [&] { return Kernel::getsockopt(socket, SOL_SOCKET, SO_SNDBUF, &buffer, &size) == 0; };
        if (!ask()) return;
        if (buffer < room) {
            const int half = room / 2;  // the kernel doubles it, for its bookkeeping
            Kernel::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &half, sizeof half);
            if (!ask()) return;
        }
        if (buffer > 0) after_poll_ = static_cast<std::size_t>(buffer) / 4 * 3;
    }

    /// What the kernel charges for a frame, estimated from above: up to 32 KiB goes into buffers rounded up to a power
    /// of two, and each has its bookkeeping.
    static constexpr std::size_t cost(std::size_t payload) noexcept { return 1024 + 2 * stream_span(payload); }

    StreamBuffer buffer_;
    std::size_t begin_ = 0;  // of what isn't sent yet
    std::size_t end_ = 0;
    std::size_t room_ = 0;        // what the socket still takes, counted down from the last poll
    std::size_t after_poll_ = 0;  // what it takes at least when poll says that it is writable
    std::size_t wanted_ = 0;
    bool wide_ = false;  ///< the socket has been given room for large frames, or as much as it may have
    bool short_of_memory_ = false;
    std::error_code refused_;
};

}  // namespace qbipc::detail
