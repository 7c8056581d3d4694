// SPDX-License-Identifier: BSL-1.0
// lane_reader.hpp: the receiving end of a lane: takes frames from memory that the peer can still write, and shows
// credit.
//
// Each word of the peer's is read once into a local, and only the local is checked and used. A place is looked at only
// after the frame before it was acquired, so nothing old can be taken for a frame. The rules are in lane_writer.hpp.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>

#include <qbipc/detail/layout.hpp>
#include <qbipc/frame.hpp>
#include <qbipc/memory.hpp>

namespace qbipc::detail {

struct LaneProbe;  // tests define it, to look at private cursors

/// The receiving end of one lane.
///
/// Threads: one at a time. Errors: a peer that publishes what no writer would is found out: violated(), and nothing
/// more comes. Peer loss: unnoticed; end_after_one_lap() bounds what may still come.
template <MemoryPolicy Memory>
class LaneReader {
public:
    LaneReader() noexcept = default;
    /// `data`: the peer's lane, only ever read; `credit`: one's own word; `present`: so much of the lane's memory is
    /// there for certain.
    LaneReader(const std::byte* data, const LaneShape& shape, std::uint64_t* credit, std::uint64_t present) noexcept
        : data_(data), mask_(shape.size - 1), credit_(credit), shape_(shape) {
        present_to(present);
    }
    LaneReader(const std::byte* data, const LaneShape& shape, std::uint64_t* credit) noexcept
        : LaneReader(data, shape, credit, shape.size) {}

    /// The next frame, if there is one; it stays until release(). Finding the lane empty shows credit. A marker is
    /// passed on the way, at most one for each call: a second would stand at the lane's start, where none may. The
    /// acquire pairs with the release in LaneWriter::commit and wrap.
    bool peek(Frame& frame) noexcept {
        std::uint64_t at = tail_ & mask_;
        std::uint64_t first = Memory::load_acquire(word(at));
        if (first == wrap_marker && at != 0) [[unlikely]] {
            const std::uint64_t rest = shape_.size - at;
            if (rest > stop_ - tail_) return nothing();
            tail_ += rest;
            at = 0;
            first = Memory::load_acquire(word(at));
        }
        if (first == 0) return nothing();

        // The lower half of the first word: size, and reserved bits that make it larger than any frame may be.
        const std::uint64_t span = frame_span(first & 0xffff'ffff);
        const auto kind = static_cast<Kind>(first >> 32 & 0xff);
        if (span > shape_.largest || at + span > sure_ || kind == Kind{} || kind == Kind::wrap) [[unlikely]]
            return unusual(at, span, kind);
        if (span > stop_ - tail_) [[unlikely]]
            return nothing();
        span_ = span;
        frame.payload = data_ + at + header_size;
        frame.header.assign_words(first, Memory::load_relaxed(word(at) + 1));
        return true;
    }

    /// Whether peek() may give something: one load. A marker looks like a frame.
    bool promising() const noexcept { return Memory::load_acquire(word(tail_ & mask_)) != 0; }

    /// The frame that peek() gave is done with: its place may be overwritten. That is shown at once, for a peer that
    /// was waiting for an answer may be as fast as this side, whose lane then never seems empty; but a writer that
    /// sleeps for room is looked after only at each step. To look whether the next frame is there instead would be a
    /// miss in the middle of a round trip: it took 10 to 16 % of it.
    void release() noexcept {
        assert(span_ != 0);
        tail_ += span_;
        span_ = 0;
        if (tail_ - announced_ >= shape_.step) [[unlikely]]
            return show_credit();
        Memory::store_release(credit_, tail_);
    }

    /// Tells the writer of all room there is, and has take_shown() say so. Before arming, and by itself at each step
    /// and when the lane is found empty. The release pairs with the acquire in LaneWriter::credited: what was taken was
    /// read before.
    void show_credit() noexcept {
        if (announced_ == tail_) return;
        announced_ = tail_;
        Memory::store_release(credit_, tail_);
        fresh_ = true;
    }

    /// Whether show_credit() had something to show since last asked. Then a fence() and a look whether the sender wants
    /// room are due.
    bool take_shown() noexcept {
        const bool fresh = fresh_;
        fresh_ = false;
        return fresh;
    }

    /// After the peer has hung up: what it published by then is at most one lap from here; a peer that goes on gains no
    /// more.
    void end_after_one_lap() noexcept {
        if (stop_ == for_ever) stop_ = tail_ + shape_.size;
    }

    /// peek() found a frame in memory that nobody has made sure of, and gave nothing. The peer should have: where it
    /// has not, to look at it is to allocate it, or SIGBUS. present_to() once it is there, or stop_here().
    bool wants_memory() const noexcept { return stuck_ && !violated_; }
    /// Wants memory, or was violated.
    bool stuck() const noexcept { return stuck_; }
    std::uint64_t present() const noexcept { return present_; }
    void present_to(std::uint64_t present) noexcept {
        present_ = present;
        stuck_ = violated_;
        sure_ = present < shape_.size ? present - line : shape_.size;  // the word behind a frame is looked at, too
    }
    /// Nothing more is given.
    void stop_here() noexcept {
        stop_ = tail_;
        present_to(shape_.size);
    }

    /// The peer published something that no writer would; sticky.
    bool violated() const noexcept { return violated_; }

    const LaneShape& shape() const noexcept { return shape_; }
    /// Bytes taken since the beginning, markers included.
    std::uint64_t taken() const noexcept { return tail_; }

private:
    friend struct LaneProbe;
    static constexpr std::uint64_t for_ever = ~std::uint64_t{0};

    const std::uint64_t* word(std::uint64_t at) const noexcept {
        return reinterpret_cast<const std::uint64_t*>(data_ + at);
    }

    bool nothing() noexcept {
        span_ = 0;
        show_credit();
        return false;
    }

    [[gnu::noinline]] bool unusual(std::uint64_t at, std::uint64_t span, Kind kind) noexcept {
        span_ = 0;
        stuck_ = true;
        if (span <= shape_.largest && at + span <= shape_.size && kind != Kind{} && kind != Kind::wrap) return false;
        violated_ = true;
        stop_ = tail_;
        return false;
    }

    const std::byte* data_ = nullptr;
    std::uint64_t mask_ = 0;
    std::uint64_t tail_ = 0;         ///< where the next frame is; counts for ever, the offset is its remainder
    std::uint64_t announced_ = 0;    ///< the credit last shown by show_credit()
    std::uint64_t span_ = 0;         ///< of the frame that peek() gave last
    std::uint64_t stop_ = for_ever;  ///< nothing that ends beyond is given
    std::uint64_t sure_ = 0;         ///< a frame that ends here, and the word behind it, are in memory that is there
    std::uint64_t present_ = 0;      ///< the lane's memory up to here is there
    std::uint64_t* credit_ = nullptr;
    LaneShape shape_;
    bool fresh_ = false;
    bool violated_ = false;
    bool stuck_ = false;
};

}  // namespace qbipc::detail
