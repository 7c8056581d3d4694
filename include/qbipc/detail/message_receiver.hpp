// SPDX-License-Identifier: BSL-1.0
// detail/message_receiver.hpp: one incoming lane: frames become messages, rows of pieces are put together.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

#include <qbipc/detail/buffer.hpp>
#include <qbipc/detail/memory_account.hpp>
#include <qbipc/frame.hpp>
#include <qbipc/transport.hpp>

namespace qbipc::detail {

/// The kinds that a message on one lane may have.
class KindsOf {
public:
    explicit constexpr KindsOf(Lane lane) noexcept {
        if (lane == Lane::requests) bits_ = bit(Kind::call) | bit(Kind::one_way);
        if (lane == Lane::responses) bits_ = bit(Kind::answer) | bit(Kind::error);
        if (lane == Lane::events) bits_ = bit(Kind::event);
    }
    constexpr bool has(Kind kind) const noexcept {
        return static_cast<unsigned>(kind) < 32 && (bits_ & bit(kind)) != 0;
    }

private:
    static constexpr std::uint32_t bit(Kind kind) noexcept {
        return std::uint32_t{1} << (static_cast<unsigned>(kind) & 31);
    }
    std::uint32_t bits_ = 0;
};

/// A received message: one frame as it lies in the lane, or an assembled row in private memory.
struct ReceivedMessage : Frame {
    std::size_t size = 0;
    bool assembled = false;  ///< private memory: nobody changes it
};

/// Copies a message's payload into private memory, which keeps its capacity. False: there is no memory for it.
template <MemoryPolicy Memory>
bool copy_payload(const ReceivedMessage& message, std::vector<std::byte>& to) {
    try {
        to.resize(message.size);
    } catch (const std::bad_alloc&) {
        return false;
    }
    Memory::copy_in(to.data(), message.payload, message.size);
    return true;
}

/// The receiving side of one lane over a transport's end. Not thread-safe: a lane has one receiving thread.
template <TransportEnd End, MemoryPolicy Memory, Lane lane>
class MessageReceiver {
public:
    /// The next message, which stays until done(). Each frame that it is made of is taken off `frames`: a peer that
    /// sends pieces without end has its turn as any other. False: none now, `frames` is used up, or violated().
    bool next(End& end, ReceivedMessage& message, std::size_t& frames) {
        if (frames == 0 || !end.peek(lane, message)) return false;
        --frames;
        return take_whole(message) || put_together(end, message, frames);
    }

    /// The message given last was used; its memory goes back.
    void done(End& end) {
        if (!complete_) [[likely]] {
            end.release(lane);
        } else {
            drop();
        }
    }

    /// The peer sent what no honest peer sends; the connection is to be ended.
    bool violated() const noexcept { return violated_; }

    /// Where the private memory for rows is counted, and refused; and where it comes from and goes back to, that the
    /// next long message, whoever sends it, finds it ready. Both outlive this, or forget() comes first.
    void charge_to(MemoryAccount& account, Buffer& spare) noexcept { account_ = &account, spare_ = &spare; }
    /// A row would need more memory than there is, or than there is for this peer; nothing more comes.
    bool over_quota() const noexcept { return over_quota_; }

    /// Bytes of private memory held for a row.
    std::size_t held() const noexcept { return assembly_.size(); }
    void forget() noexcept {
        drop();
        assembly_ = Buffer();
    }

private:
    static constexpr KindsOf kinds{lane};

    /// Whether the frame that was peeked is a message by itself.
    bool take_whole(ReceivedMessage& message) const noexcept {
        if (!kinds.has(message.header.kind) || message.header.flags != 0 || assembling_) [[unlikely]]
            return false;
        message.size = message.header.size;
        message.assembled = false;
        return true;
    }

    /// The frame that was peeked is a piece, or a violation: goes on until a message is complete.
    [[gnu::noinline]] bool put_together(End& end, ReceivedMessage& message, std::size_t& frames) {
        while (take_piece(end, message)) {
            if (complete_) {
                message = {{first_, assembly_.data()}, received_, true};
                return true;
            }
            if (frames == 0 || !end.peek(lane, message)) return false;
            --frames;
            if (take_whole(message)) return true;
        }
        return false;
    }

    /// Takes one frame of a row and releases it. False: a violation. Its frame stays, and a peer may make a good one of
    /// it: a row that is never complete keeps all later ones from being taken for a message.
    bool take_piece(End& end, const Frame& frame) {
        if (over_quota_ || violated_) return false;
        const bool ok = assembling_ ? continue_row(frame) : begin_row(end, frame);
        if (!ok) {
            violated_ = !over_quota_ || account_ == nullptr;  // a client has no quota: for it the lane is lost
            assembling_ = true;
            return false;
        }
        end.release(lane);
        return true;
    }

    bool begin_row(End& end, const Frame& frame) {
        if (!kinds.has(frame.header.kind) || frame.header.flags != Header::row) return false;
        if (frame.header.size <= sizeof total_) return false;
        Memory::copy_in(&total_, frame.payload, sizeof total_);
        const std::size_t count = frame.header.size - sizeof total_;
        if (total_ > end.max_message() || count > total_) return false;
        first_ = frame.header;
        first_.flags = 0;
        first_.size = 0;  // a row's size is the message's, not the frame's
        received_ = 0;
        assembling_ = true;
        return add(frame.payload + sizeof total_, count);
    }

    bool continue_row(const Frame& frame) {
        if (frame.header.kind == Kind::abandon) {
            drop();
            return frame.header.size == 0 && frame.header.flags == 0;
        }
        if (frame.header.kind != Kind::piece || frame.header.flags != 0 || frame.header.size == 0) return false;
        if (frame.header.correlation != first_.correlation || frame.header.id != first_.id ||
            frame.header.service != first_.service)
            return false;
        return add(frame.payload, frame.header.size);
    }

    /// Grows with what has arrived, never with what was announced.
    bool add(const std::byte* bytes, std::size_t count) {
        if (count > total_ - received_) return false;
        if (assembly_.size() < received_ + count) {
            const auto size = std::min<std::size_t>(total_, std::max(2 * assembly_.size(), received_ + count));
            if (!grow(size)) return false;
        }
        Memory::copy_in(assembly_.data() + received_, bytes, count);
        received_ += count;
        if (received_ == total_) {
            assembling_ = false;
            complete_ = true;
        }
        return true;
    }

    bool grow(std::size_t size) {
        if (spare_ && assembly_.capacity() == 0 && charge(std::max(size, spare_->capacity()))) assembly_.swap(*spare_);
        if (!charge(size)) {
            over_quota_ = true;
            return false;
        }
        try {
            assembly_.grow(size, received_);
            return true;
        } catch (const std::bad_alloc&) {
            over_quota_ = true;
            return false;
        }
    }

    /// Counts that so many bytes are held, pages of a spare included. False: that would be too much.
    bool charge(std::size_t held) noexcept {
        if (held <= charged_) return true;
        if (account_ && !account_->take(held - charged_)) return false;
        charged_ = held;
        return true;
    }

    /// Memory that was just used is worth keeping: fresh pages cost as much as two copies of what goes into them.
    void drop() noexcept {
        assembling_ = complete_ = false;
        if (account_) account_->give_back(charged_);
        charged_ = 0;
        assembly_.clear();
        if (spare_ && spare_->capacity() < assembly_.capacity()) assembly_.swap(*spare_);
        if (spare_ || assembly_.capacity() > most_kept) assembly_ = Buffer();
    }

    static constexpr std::size_t most_kept = std::size_t{2} << 20;

    bool assembling_ = false;
    bool complete_ = false;
    bool violated_ = false;
    bool over_quota_ = false;
    MemoryAccount* account_ = nullptr;
    Header first_{};
    std::uint64_t total_ = 0;
    std::size_t received_ = 0;
    std::size_t charged_ = 0;  ///< to the account
    Buffer* spare_ = nullptr;
    Buffer assembly_;
};

/// Gives a message's memory back at the end of a scope, whatever way it is left.
template <class Receiver, class End>
class MessageRelease {
public:
    MessageRelease(Receiver& receiver, End& end) noexcept : receiver_(receiver), end_(end) {}
    MessageRelease(const MessageRelease&) = delete;
    MessageRelease& operator=(const MessageRelease&) = delete;
    ~MessageRelease() { receiver_.done(end_); }

private:
    Receiver& receiver_;
    End& end_;
};

}  // namespace qbipc::detail
