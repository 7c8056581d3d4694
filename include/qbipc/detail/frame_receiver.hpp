// SPDX-License-Identifier: BSL-1.0
// frame_receiver.hpp: frames from a stream socket, into a private buffer; headers are checked before memory is got for
// them.
#pragma once

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <sys/socket.h>

#include <qbipc/detail/frame_sender.hpp>
#include <qbipc/frame.hpp>

namespace qbipc::detail {

/// The receiving end of one direction of a socket. Threads: one at a time.
template <class Kernel>
class FrameReceiver {
public:
    /// The next frame, if it is here as a whole; its payload is 16-aligned, and stays until release().
    bool front(Frame& frame) const noexcept {
        if (span_ == 0) return false;
        frame = {header_, buffer_.data() + begin_ + header_size};
        return true;
    }
    bool has_front() const noexcept { return span_ != 0; }
    void release() noexcept {
        assert(span_ != 0);
        begin_ += span_;
        span_ = 0;
        look();
    }

    /// One recv, unless a frame is here already. False: the socket had nothing now, or nothing will come any more.
    bool fill(int socket) noexcept {
        if (span_ != 0) return true;
        if (over_) return false;
        if (!make_room()) return false;
        const std::size_t room = buffer_.size() - end_;
        const auto count = Kernel::recv(socket, buffer_.data() + end_, room, MSG_DONTWAIT);
        if (count == -EAGAIN) {
            empty_ = true;
            return false;
        }
        if (count <= 0) {
            over_ = true;
            return false;
        }
        end_ += static_cast<std::size_t>(count);
        empty_ = dry_ = static_cast<std::size_t>(count) < room;
        look();
        return true;
    }

    /// Whether the last recv brought less than there was room for, asked once: the socket was empty then, and another
    /// recv just after it would most often be in vain.
    bool take_dry() noexcept { return std::exchange(dry_, false); }

    /// Whether the last recv since forget() found the end of what the socket had: what comes after it announces itself.
    bool left_empty() const noexcept { return empty_ || over_; }
    /// What is known of the socket may be old.
    void forget() noexcept { dry_ = empty_ = false; }

    /// The stream has ended, and all its whole frames were given; or broke off in the middle of one.
    bool over() const noexcept { return over_ && span_ == 0; }
    bool said_bye() const noexcept { return bye_; }
    bool violated() const noexcept { return violated_; }

private:
    static constexpr std::size_t smallest = std::size_t{4} << 10;
    static constexpr std::size_t largest = stream_span(max_socket_frame);

    /// Room behind what is here: what was taken is dropped; the buffer doubles when it was full, never beyond one
    /// largest frame. So memory follows what was received, not what a header announced.
    bool make_room() noexcept {
        if (begin_ == end_) {
            begin_ = end_ = 0;
        } else if (end_ == buffer_.size() && begin_ != 0) {
            std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);  // begin_ is a multiple of 16
            end_ -= begin_;
            begin_ = 0;
        }
        if (end_ < buffer_.size()) return true;
        if (!buffer_.grow(std::clamp(2 * buffer_.size(), smallest, largest), end_)) {
            over_ = true;  // a peer whose frames can't be held is a peer that is lost
            return false;
        }
        return true;
    }

    /// Reads the header of the next frame once it is here; then notices when all of it is.
    void look() noexcept {
        if (end_ - begin_ < header_size || violated_) return;
        std::uint64_t words[2];
        std::memcpy(words, buffer_.data() + begin_, sizeof words);
        const Header header = Header::from_words(words[0], words[1]);
        // The lower half holds size and reserved bits: both must be in bounds.
        if ((words[0] & 0xffff'ffff) > max_socket_frame || header.kind == Kind{} || header.kind == Kind::wrap) {
            violated_ = over_ = true;
            return;
        }
        if (header.kind == bye_kind) {
            bye_ = words[0] == Header{.kind = bye_kind}.first_word();
            violated_ = !bye_;
            over_ = true;
            return;
        }
        const std::size_t span = stream_span(header.size);
        if (end_ - begin_ < span) return;
        header_ = header;
        span_ = span;
    }

    StreamBuffer buffer_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::size_t span_ = 0;  // of the frame at begin_, where it is here as a whole
    Header header_;
    bool dry_ = false;
    bool empty_ = false;
    bool over_ = false;
    bool bye_ = false;
    bool violated_ = false;
};

}  // namespace qbipc::detail
