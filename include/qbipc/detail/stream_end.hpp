// SPDX-License-Identifier: BSL-1.0
// stream_end.hpp: what both ends of a session over sockets do alike: frames through streams, noticing the end.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <memory>
#include <mutex>
#include <poll.h>
#include <sys/socket.h>
#include <system_error>
#include <utility>

#include <qbipc/credentials.hpp>
#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/frame_receiver.hpp>
#include <qbipc/detail/frame_sender.hpp>
#include <qbipc/detail/greeting.hpp>
#include <qbipc/detail/standing.hpp>
#include <qbipc/detail/waiting.hpp>
#include <qbipc/error.hpp>
#include <qbipc/frame.hpp>
#include <qbipc/transport.hpp>

namespace qbipc::detail {

/// What makes an end: two sockets. C carries requests and responses, E events: no backlog stands in another's way.
struct StreamParts {
    Descriptor call;   ///< C
    Descriptor event;  ///< E
    std::size_t max_message = 0;
    Credentials peer;
    ForkGuard guard;
};

/// The part of TransportEnd, for UnixSocket; `client` says which side.
template <bool client, class Kernel>
class StreamEnd {
public:
    std::byte* reserve(Lane lane, std::size_t size) noexcept {
        auto& out = out_of(lane);
        if (standing_.forked()) [[unlikely]]  // in the middle of what another thread of the parent did, perhaps
            return nullptr;
        const std::lock_guard lock(*sending_);
        if (standing_.closed()) [[unlikely]] {
            out.refuse(standing_.refusal());
            return nullptr;
        }
        if (out.tail()) [[unlikely]]
            push(lane);
        return out.reserve(socket_of(lane), size);
    }
    std::error_code refused(Lane lane) const noexcept {
        return standing_.forked() ? make_error_code(errc::used_after_fork) : out_of(lane).refused();
    }
    void commit(Lane lane, const Header& header) noexcept {
        if (standing_.forked()) [[unlikely]]  // since reserve(), in the user's own function
            return;
        const std::lock_guard lock(*sending_);
        if (out_of(lane).commit(socket_of(lane), header) < 0) [[unlikely]]
            break_off();
        sent_in_part_ = out_of(lane).tail();
    }
    void cancel(Lane) noexcept {}

    bool peek(Lane lane, Frame& frame) noexcept {
        if (standing_.forked()) [[unlikely]]
            return false;
        if (in_of(lane).front(frame)) return true;
        return peek_socket(lane, frame);
    }
    void release(Lane lane) noexcept { in_of(lane).release(); }

    std::error_code ended() const noexcept { return standing_.ended(); }
    bool said_bye() const noexcept { return standing_.said_bye(); }
    std::size_t max_message() const noexcept { return max_message_; }
    static constexpr std::size_t max_frame() noexcept { return max_socket_frame; }
    const Credentials& peer() const noexcept { return peer_; }

    /// Blocking: a client whose socket took only a part of the last frame gives the service 200 ms to take the rest.
    /// Threads: any.
    void shutdown() noexcept {
        if (standing_.forked() || !call_ || standing_.break_off()) return;
        const Deadline patience = Kernel::now() + (client ? longest_linger : Clock::duration::zero());
        for (;;) {
            {
                const std::lock_guard lock(*sending_);
                bool rest = false;
                each_out([&](Lane lane, auto& out) {
                    if (out.tail() && out.flush(socket_of(lane)) == 0 && out.tail() && socket_of(lane) == call_.get())
                        rest = true;
                });
                if (!rest && say_bye(patience)) break;
            }
            pollfd socket{call_.get(), POLLOUT, 0};
            if (poll_until<Kernel>(&socket, 1, patience) <= 0 || patience.passed()) break;
        }
        end_streams();
    }

protected:
    static constexpr std::size_t incoming = client ? 2 : 1;
    static constexpr std::size_t outgoing = lane_count - incoming;
    static constexpr auto longest_linger = std::chrono::milliseconds(200);

    explicit StreamEnd(StreamParts&& parts)
        : standing_(parts.guard),
          max_message_(parts.max_message),
          call_(std::move(parts.call)),
          event_(std::move(parts.event)),
          sending_(std::make_unique<std::mutex>()),
          peer_(std::move(parts.peer)) {
        each_out([&](Lane lane, auto& out) { out = FrameSender<Kernel>(socket_of(lane)); });
    }
    StreamEnd(StreamEnd&&) noexcept = default;
    StreamEnd& operator=(StreamEnd&&) noexcept = default;
    ~StreamEnd() = default;

    /// On the client's side requests are its only outgoing lane; on the service's its only incoming one.
    static constexpr std::size_t index(Lane lane) noexcept {
        return lane == Lane::requests ? 0 : static_cast<std::size_t>(lane) - 1;
    }
    FrameReceiver<Kernel>& in_of(Lane lane) noexcept { return in_[index(lane)]; }
    FrameSender<Kernel>& out_of(Lane lane) noexcept { return out_[index(lane)]; }
    const FrameSender<Kernel>& out_of(Lane lane) const noexcept { return out_[index(lane)]; }
    int socket_of(Lane lane) const noexcept { return lane == Lane::events ? event_.get() : call_.get(); }

    template <class F>
    void each_in(F f) noexcept {
        if constexpr (client) {
            f(Lane::responses, in_[0]);
            f(Lane::events, in_[1]);
        } else {
            f(Lane::requests, in_[0]);
        }
    }
    template <class F>
    void each_out(F f) noexcept {
        if constexpr (client) {
            f(Lane::requests, out_[0]);
        } else {
            f(Lane::responses, out_[0]);
            f(Lane::events, out_[1]);
        }
    }

    /// No more is sent, and no more comes but what the sockets hold already: the kernel sees to that.
    void break_off() noexcept {
        if (!standing_.break_off()) end_streams();
    }
    /// The same, noticed by who drives the incoming lanes.
    void hang_up() noexcept {
        break_off();
        standing_.end(errc::disconnected);
    }

    /// Whether a frame begun on this lane isn't out yet.
    bool has_tail(Lane lane) noexcept {
        if (standing_.forked()) return false;
        const std::lock_guard lock(*sending_);
        return out_of(lane).tail();
    }
    bool short_of_memory(Lane lane) noexcept {
        const std::lock_guard lock(*sending_);
        return out_of(lane).short_of_memory();
    }
    void flush_tails() noexcept {
        if (standing_.forked()) return;
        const std::lock_guard lock(*sending_);
        each_out([&](Lane lane, auto& out) {
            if (out.tail()) [[unlikely]]
                push(lane);
        });
    }

    /// Whether an incoming lane of the set has a frame, or its end, in private memory; with `ask`, in its socket too.
    bool shows_frames(LaneSet lanes, bool ask) noexcept {
        bool any = false;
        each_in([&](Lane lane, auto& in) {
            if (!lanes.has(lane)) return;
            if (ask) in.fill(socket_of(lane));
            any = any || in.has_front() || in.over();
        });
        return any;
    }
    bool shows_room(LaneSet lanes, bool ask) noexcept {
        bool any = false;
        if (lanes.empty()) return any;
        const std::lock_guard lock(*sending_);
        each_out([&](Lane lane, auto& out) {
            if (!lanes.has(lane)) return;
            const bool room = ask ? out.has_room(socket_of(lane), out.wanted()) : out.surely_has_room(out.wanted());
            any = any || room;
        });
        return any;
    }

    bool sent_in_part_ = false;  ///< the last frame of all, at its commit; the sending thread's
    Standing standing_;
    std::size_t max_message_;
    Descriptor call_;
    Descriptor event_;

private:
    [[gnu::noinline]] bool peek_socket(Lane lane, Frame& frame) noexcept {
        auto& in = in_of(lane);
        const int socket = socket_of(lane);
        for (;;) {
            if (in.over()) return peek_last(in);
            if (in.take_dry() && !standing_.broken()) return false;
            const bool more = in.fill(socket);
            if (in.front(frame)) return true;
            if (!more && !in.over()) return false;
        }
    }

    /// All that was in the socket has been given.
    [[gnu::noinline, gnu::cold]] bool peek_last(const FrameReceiver<Kernel>& in) noexcept {
        if (in.said_bye()) standing_.heard_bye();
        break_off();
        standing_.end(in.violated() ? errc::protocol_violation : errc::disconnected);
        return false;
    }

    void push(Lane lane) noexcept {
        if (out_of(lane).flush(socket_of(lane)) < 0) break_off();
    }

    /// A bye behind an unfinished frame would be taken for a part of it. True: said, or nobody to say it to.
    bool say_bye(Deadline patience) noexcept {
        FrameSender<Kernel>& out = client ? out_of(Lane::requests) : out_of(Lane::responses);
        if (out.tail()) return true;
        std::array<std::byte, header_size> bytes{};
        const std::uint64_t word = Header{.kind = bye_kind}.first_word();
        std::memcpy(bytes.data(), &word, sizeof word);
        const auto sent = Kernel::send(call_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        return sent != -EAGAIN || patience.passed();
    }

    void end_streams() noexcept {
        // Ends it even where a forked child holds on to a copy of a descriptor.
        Kernel::shutdown(call_.get(), SHUT_RDWR);
        Kernel::shutdown(event_.get(), SHUT_RDWR);
    }

    std::array<FrameReceiver<Kernel>, incoming> in_;
    std::array<FrameSender<Kernel>, outgoing> out_;
    /// Over the outgoing frames: the sending thread takes it undisturbed; a receiving half flushes a tail, shutdown()
    /// ends one, from other threads. Beside a system call it costs nothing.
    std::unique_ptr<std::mutex> sending_;
    Credentials peer_;
};

}  // namespace qbipc::detail
