// SPDX-License-Identifier: BSL-1.0
// lane_writer.hpp: the sending end of a lane: finds room, publishes frames, knows nothing of system calls.
//
// A frame's first word is its publication: zero while there is none. A writer writes payload and second word, clears
// the first word of the place that follows, then releases this frame's first word; whoever acquires it can find nothing
// older than the clear in the place that follows. Room is counted from the peer's credit word, how far it has taken
// frames; the line cleared ahead counts as occupied. At the end of the lane a wrap marker sends the reader back to the
// start.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>

#include <qbipc/detail/layout.hpp>
#include <qbipc/frame.hpp>
#include <qbipc/memory.hpp>

namespace qbipc::detail {

struct LaneProbe;  // tests define it, to look at private cursors

/// Why a writer has no room.
enum class Room : std::uint8_t {
    full,       ///< the peer must take frames first
    populate,   ///< the memory isn't populated yet: populate [populate_from(), + populate_size()), tell it by
                ///< populated_to(), reserve again
    violation,  ///< the peer showed an impossible credit; sticky
};

/// The sending end of one lane.
///
/// Threads: one at a time. Peer loss: unnoticed, the lane just fills. Memory ordering: what was written before commit()
/// is visible to a reader whose peek() gave the frame. A marker that was published alone rings no bell and needs none:
/// a reader that took all else has credited enough for any frame that is at most a quarter of the lane.
template <MemoryPolicy Memory>
class LaneWriter {
public:
    LaneWriter() noexcept = default;
    /// `data`: the lane, line-aligned and zero where it was never written; `credit`: the peer's word; `populated`: up
    /// to which offset the lane may be written already.
    LaneWriter(std::byte* data, const LaneShape& shape, const std::uint64_t* credit, std::uint64_t populated) noexcept
        : data_(data), mask_(shape.size - 1), limit_(shape.size), credit_(credit), shape_(shape) {
        assert((reinterpret_cast<std::uintptr_t>(data) & (line - 1)) == 0);
        turn_ = first_turn();
        populated_to(populated);
    }

    /// Room for a frame of this payload size, at most shape.max_payload(): where its payload goes, with the header's
    /// place before it; or null: refused() says why. Nothing is held: reserve again, cancel, or do something else.
    std::byte* reserve(std::size_t payload) noexcept {
        const std::uint64_t span = frame_span(payload);
        const std::uint64_t at = head_ & mask_;
        if (head_ + span != cleared_) cleared_ = 0;  // the payload may cover that place, and the frame end before it
        if (at + span > easy_end_ || head_ + span + line > limit_) [[unlikely]]
            return reserve_slowly(span);
        return data_ + at + header_size;
    }

    /// Publishes the frame whose payload lies where reserve() said. header.size may be smaller than what was reserved.
    /// The release pairs with the acquire in LaneReader::peek. A fence() and Ringer::due() follow, by the owner.
    void commit(const Header& header) noexcept {
        const std::uint64_t at = head_ & mask_;
        const std::uint64_t span = frame_span(header.size);
        assert(span <= shape_.largest && at + span <= shape_.size && head_ + span + line <= limit_);
        head_ += span;
        std::uint64_t* const first = word(at);
        Memory::store_relaxed(first + 1, header.second_word());
        if (head_ != cleared_) Memory::store_relaxed(word(head_ & mask_), 0);
        Memory::store_release(first, header.first_word());
        clear_ahead(span);
    }

    /// As if never reserved.
    void cancel() noexcept {}

    /// Whether reserve() of this size would now do anything but say "full": asked after arming, before sleeping.
    bool has_room(std::size_t payload) noexcept { return reserve(payload) != nullptr || refused_ != Room::full; }

    /// Why the last reserve() that gave null did so.
    Room refused() const noexcept { return refused_; }

    /// What to populate after Room::populate; bytes, from the lane's start.
    std::uint64_t populate_from() const noexcept { return populated_; }
    std::uint64_t populate_size() const noexcept {
        const std::uint64_t end =
            (std::max(wanted_, populated_ + 1) + populate_step - 1) / populate_step * populate_step;
        return std::min(end, shape_.size) - populated_;
    }
    /// The owner has populated the lane up to this offset.
    void populated_to(std::uint64_t offset) noexcept {
        assert(offset >= populated_ && offset <= shape_.size && offset % line == 0);
        populated_ = offset;
        set_easy_end();
    }

    /// From here on large frames go back to the start as early as small ones, for memory is scarce. False: they do
    /// already. Reserve again.
    bool narrow() noexcept {
        if (shape_.wide <= shape_.window) return false;
        shape_.wide = 0;
        turn_ = first_turn();
        set_easy_end();
        return true;
    }

    const LaneShape& shape() const noexcept { return shape_; }
    /// Bytes published since the beginning, markers included.
    std::uint64_t published() const noexcept { return head_; }

private:
    friend struct LaneProbe;

    std::uint64_t* word(std::uint64_t at) const noexcept { return reinterpret_cast<std::uint64_t*>(data_ + at); }

    /// A frame, and the line cleared behind it, can be written up to here without any thought but for credit.
    void set_easy_end() noexcept {
        const std::uint64_t writable = populated_ == shape_.size ? shape_.size : std::max(populated_, line) - line;
        easy_end_ = std::min(turn_, writable);
    }

    std::uint64_t first_turn() const noexcept {
        return shape_.window < shape_.size ? shape_.window - line : shape_.size;
    }

    /// Looks at how far the peer has taken frames; false if that cannot be. The acquire pairs with the release in
    /// LaneReader::show_credit: the reader has read what will be overwritten.
    bool look_at_credit() noexcept {
        const std::uint64_t credit = Memory::load_acquire(credit_);
        if (credit < limit_ - shape_.size || credit > head_ || credit % line != 0) [[unlikely]] {
            refused_ = Room::violation;
            limit_ = 0;
            return false;
        }
        limit_ = credit + shape_.size;
        return true;
    }

    /// Whether the `bytes` ahead of head, the line to be cleared included, were credited; looks again only if it must.
    bool credited(std::uint64_t bytes) noexcept {
        return head_ + bytes <= limit_ || (look_at_credit() && head_ + bytes <= limit_);
    }

    /// Whether the peer has taken all there was.
    bool drained() noexcept { return look_at_credit() && limit_ == head_ + shape_.size; }

    /// Clears the place that will follow the next frame if that is as long as this one. To fetch that line for writing
    /// before the next frame is published would be a second miss in the middle of a round trip: it took 24 of 180 ns
    /// on near cores.
    void clear_ahead(std::uint64_t span) noexcept {
        if ((head_ & mask_) + span > easy_end_ || head_ + span + line > limit_) return;
        cleared_ = head_ + span;
        Memory::store_relaxed(word(cleared_ & mask_), 0);
    }

    /// Publishes a marker at the current place, which isn't the lane's start, and goes on at the start.
    void wrap() noexcept {
        const std::uint64_t at = head_ & mask_;
        assert(at != 0);
        Memory::store_relaxed(word(0), 0);
        Memory::store_release(word(at), wrap_marker);
        head_ += shape_.size - at;
        turn_ = first_turn();
        set_easy_end();
    }

    /// How far to go before going back early. Where frames are large, lines that the reader has just had would have to
    /// be taken out of its cache again, at the price of a miss each: they use as much as a cache of their own doesn't
    /// hold (64 KiB there and back: 7.4 us against 19).
    std::uint64_t window_for(std::uint64_t span) const noexcept {
        return span > shape_.window / 16 ? std::max(shape_.wide, shape_.window) : shape_.window;
    }

    /// Called when the frame would pass easy_end_, or the credit known here. Out of line: it runs once per window or
    /// when full.
    [[gnu::noinline]] std::byte* reserve_slowly(std::uint64_t span) noexcept {
        assert(span <= shape_.largest);
        if (refused_ == Room::violation) return nullptr;
        refused_ = Room::full;
        std::uint64_t at = head_ & mask_;
        const std::uint64_t rest = shape_.size - at;
        if (span > rest) {
            // Alone, as soon as the marker itself fits: waiting for frame and marker together could be for ever.
            if (!credited(rest + line)) return nullptr;
            wrap();
            at = 0;
        } else if (at != 0 && at + span > turn_) {
            // Past the window: back to the start if all was taken, else look again a little later. To go back as soon
            // as the start is free would halve the rate of a stream, whose every line would still be in the reader's
            // cache.
            if (at + span > window_for(span) && drained() && credited(rest + span + line)) {
                wrap();
                at = 0;
            } else {
                turn_ = std::min(shape_.size, at + span + shape_.step);
                set_easy_end();
                if (refused_ == Room::violation) return nullptr;
            }
        }
        if (!credited(span + line)) return nullptr;
        wanted_ = std::min(shape_.size, at + span + line);
        if (wanted_ > populated_) {
            refused_ = Room::populate;
            return nullptr;
        }
        return data_ + at + header_size;
    }

    std::byte* data_ = nullptr;
    std::uint64_t mask_ = 0;
    std::uint64_t head_ = 0;   ///< where the next frame goes; counts for ever, the offset is its remainder
    std::uint64_t limit_ = 0;  ///< credit as last seen, plus the lane's size: head never passes it; 0 after a violation
    std::uint64_t cleared_ = 0;   ///< the place cleared ahead: nobody reads it before head gets there
    std::uint64_t easy_end_ = 0;  ///< min(turn_, what is populated)
    std::uint64_t turn_ = 0;  ///< a frame that would end beyond makes the writer look whether the lane's start is free
    std::uint64_t populated_ = 0;
    std::uint64_t wanted_ = 0;  ///< up to where the last refused frame would write
    const std::uint64_t* credit_ = nullptr;
    LaneShape shape_;
    Room refused_ = Room::full;
};

}  // namespace qbipc::detail
