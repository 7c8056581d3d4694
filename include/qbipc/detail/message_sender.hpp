// SPDX-License-Identifier: BSL-1.0
// detail/message_sender.hpp: one outgoing lane: messages become frames or rows of pieces; what found no room waits
// here.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include <qbipc/detail/buffer.hpp>
#include <qbipc/detail/copy_out.hpp>
#include <qbipc/detail/error_code.hpp>
#include <qbipc/detail/scope_flag.hpp>
#include <qbipc/error.hpp>
#include <qbipc/frame.hpp>
#include <qbipc/outgoing.hpp>
#include <qbipc/transport.hpp>

namespace qbipc::detail {

/// Copied messages above this go as a row, so that the reader copies one piece while the writer copies the next
/// (1 MiB there and back: 65 us against 88); what is built in place stays one frame as long as it fits.
inline constexpr std::size_t piece_size = std::size_t{64} << 10;
inline constexpr std::size_t row_above = 2 * piece_size;

struct NothingToTell {
    void operator()() const noexcept {}
};

template <class X>
Header header_of(const X& x, Kind kind, std::uint32_t correlation) noexcept {
    const auto [service, id] = ids_of(x);
    return {0, kind, 0, service, id, correlation};
}

/// The sending side of one lane over a transport's end. One message at a time is begun; its unsent rest goes out before
/// anything else. Not thread-safe: a lane has one sending thread.
template <TransportEnd End, Lane lane>
class MessageSender {
public:
    /// Whether something accepted waits for room.
    bool has_rest() const noexcept { return pending_; }
    std::size_t rest_bytes() const noexcept { return outbox_.size() - outbox_at_; }
    /// Bytes of private memory held for it.
    std::size_t held() const noexcept { return outbox_.capacity(); }

    /// Sends now: the whole message, or its beginning with the rest kept for flush().
    /// Errors: message_too_large, lane_full (also while an earlier rest waits), disconnected; of built ones, what the
    /// user's function gave. On error nothing was sent. `rest()` is called where it leaves a rest, whatever way it
    /// ends.
    template <class X, class Rest = NothingToTell>
    ErrorCode send(End& end, const X& x, Header header, Rest&& rest = {}) {
        if (pending_) [[unlikely]] {
            if (auto error = flush(end)) return error;
        }
        const std::size_t size = Outgoing<X>::size(x);
        if (!fits_frame<X>(end, size)) [[unlikely]] {
            const AtScopeEnd afterwards([&] { tell(rest); });
            return send_row(
                end, x, header, size, [] { return ErrorCode(errc::lane_full); }, true);
        }
        return send_frame(end, x, header, size);
    }

    /// Sends, and calls `wait()` whenever there is no room; it gives an error to stop. A row that has to stop midway is
    /// abandoned: the peer drops what it got of it, for the caller was told that it wasn't sent.
    template <class X, class Wait, class Rest = NothingToTell>
    ErrorCode send_waiting(End& end, const X& x, Header header, Wait&& wait, Rest&& rest = {}) {
        while (pending_) {
            const auto error = flush(end);
            if (!error) break;
            if (error != errc::lane_full) return error;
            if (auto stop = wait()) return stop;
        }
        const std::size_t size = Outgoing<X>::size(x);
        if (!fits_frame<X>(end, size)) [[unlikely]] {
            const AtScopeEnd afterwards([&] { tell(rest); });
            return send_row(end, x, header, size, wait, false);
        }
        for (;;) {
            const auto error = send_frame(end, x, header, size);
            if (!error) [[likely]]
                return error;
            if (error != errc::lane_full) return error;
            if (auto stop = wait()) return stop;
        }
    }

    /// Sends, or keeps a copy for flush(): nothing that fits the limit is refused for want of room.
    /// Errors: message_too_large, disconnected; over_quota where the outbox would hold more than `limit` bytes.
    template <class X>
    ErrorCode send_or_keep(End& end, const X& x, Header header, std::size_t limit) {
        if constexpr (Outgoing<X>::built) {
            // What doesn't go into one frame lies in private memory anyway: built there once, with room or without.
            if (!fits_frame<X>(end, Outgoing<X>::size(x))) {
                if (Outgoing<X>::size(x) > end.max_message()) return ErrorCode(errc::message_too_large);
                const auto whole = build_whole(x, Outgoing<X>::size(x));
                if (!whole) return of_user(whole.error());
                return send_or_keep(end, Serialized{*whole}, header, limit);
            }
        }
        if (pending_) (void)flush(end);
        if (!pending_) {
            const auto error = send(end, x, header);
            if (!error) [[likely]]
                return error;
            if (error != errc::lane_full) return error;
        }
        return keep(end, x, header, limit);
    }

    /// Gets on with what waits. No error: all is out. lane_full: something is left.
    ErrorCode flush(End& end) {
        if (abandon_) {
            if (end.reserve(lane, 0) == nullptr) return end.refused(lane);
            Header header = row_;
            header.kind = Kind::abandon, header.size = 0, header.flags = 0;
            end.commit(lane, header);
            abandon_ = false;
        }
        while (outbox_at_ < outbox_.size()) {
            Kept kept;
            std::memcpy(&kept, outbox_.data() + outbox_at_, sizeof kept);
            const Serialized message{outbox_.bytes().subspan(outbox_at_ + sizeof kept, kept.size)};
            if (auto error = continue_row(end, message, kept)) {
                std::memcpy(outbox_.data() + outbox_at_, &kept, sizeof kept);
                return error;
            }
            outbox_at_ += sizeof kept + (kept.size + 15) / 16 * 16;
        }
        outbox_at_ = 0;
        if (outbox_.capacity() > most_kept) outbox_ = Buffer();
        outbox_.clear();
        pending_ = false;
        return {};
    }

    /// The peer is gone: what waits has nowhere to go.
    void discard() noexcept {
        outbox_ = Buffer();
        outbox_at_ = 0;
        pending_ = abandon_ = false;
    }

private:
    template <class Rest>
    void tell(Rest& rest) {
        if (pending_) rest();
    }

    /// A message in the outbox, and how much of it is out already.
    struct Kept {
        Header header;
        std::uint64_t size = 0;
        std::uint64_t sent = 0;
        bool as_row = false;
        bool begun = false;
    };

    template <class X>
    static bool fits_frame(const End& end, std::size_t size) noexcept {
        return size <= end.max_frame() && size <= end.max_message() && (Outgoing<X>::built || size <= row_above);
    }

    /// How payloads are copied into the lane.
    static CopyOut& way_into(End& end) noexcept {
        if constexpr (requires {
                          { end.copy_out(lane) } -> std::same_as<CopyOut&>;
                      })
            return end.copy_out(lane);
        else
            return CopyOut::plain;
    }

    template <class X>
    ErrorCode send_frame(End& end, const X& x, Header& header, std::size_t size) {
        std::byte* const to = end.reserve(lane, size);
        if (to == nullptr) [[unlikely]]
            return end.refused(lane);
        if constexpr (Outgoing<X>::built) {
            const Result<std::size_t> used = build_in(end, x, to);
            if (!used) return of_user(used.error());
            header.size = static_cast<std::uint32_t>(*used);
        } else {
            header.size = static_cast<std::uint32_t>(Outgoing<X>::write(x, to, way_into(end)));
        }
        end.commit(lane, header);
        return {};
    }

    /// Here lane_full means that there is no room; what the user's function says is its own affair.
    static ErrorCode of_user(const std::error_code& error) noexcept {
        return error == errc::lane_full ? ErrorCode(errc::handler_failed) : ErrorCode(error);
    }

    /// What goes in pieces, or waits, is built in private memory. The error is the user's function's.
    template <class X>
    static Result<std::vector<std::byte>> build_whole(const X& x, std::size_t size) {
        std::vector<std::byte> whole(size);
        const Result<std::size_t> used = Outgoing<X>::write(x, whole.data());
        if (!used) return fail(used.error());
        whole.resize(*used);
        return whole;
    }

    /// Runs the user's function; whatever way it ends, the place in the lane isn't lost.
    template <class X>
    Result<std::size_t> build_in(End& end, const X& x, std::byte* to) {
        struct Cancel {
            End* end;
            ~Cancel() {
                if (end) end->cancel(lane);
            }
        } cancel{&end};
        Result<std::size_t> used = Outgoing<X>::write(x, to, way_into(end));
        if (used) cancel.end = nullptr;
        return used;
    }

    template <class X, class Wait>
    [[gnu::noinline]] ErrorCode send_row(End& end, const X& x, Header header, std::size_t size, Wait&& wait,
                                         bool keep_rest) {
        if (size > end.max_message()) return ErrorCode(errc::message_too_large);
        if constexpr (Outgoing<X>::built) {
            if (keep_rest) {  // the user's function runs only where there is room to begin
                if (end.reserve(lane, std::min<std::size_t>(end.max_frame(), piece_size)) == nullptr)
                    return end.refused(lane);
                end.cancel(lane);
            }
            const auto whole = build_whole(x, size);
            if (!whole) return of_user(whole.error());
            const Serialized message{*whole};
            if (fits_frame<Serialized>(end, whole->size())) return send_short(end, message, header, wait);
            return send_row(end, message, header, whole->size(), wait, keep_rest);
        } else {
            Kept kept{header, size, 0, true, false};
            for (;;) {
                const auto error = continue_row(end, x, kept);
                if (!error) return {};
                if (error == errc::lane_full && keep_rest) return kept.begun ? keep_begun(x, kept) : error;
                if (ErrorCode stop = error == errc::lane_full ? ErrorCode(wait()) : error) {
                    if (kept.begun) abandon(header);
                    return stop;
                }
            }
        }
    }

    template <class Wait>
    ErrorCode send_short(End& end, const Serialized& message, Header header, Wait&& wait) {
        for (;;) {
            const auto error = send_frame(end, message, header, message.payload.size());
            if (error != errc::lane_full) return error;
            if (auto stop = wait()) return stop;
        }
    }

    /// Sends pieces as long as there is room. lane_full: not all is out.
    template <class X>
    ErrorCode continue_row(End& end, const X& x, Kept& kept) {
        if (!kept.as_row) return send_frame(end, x, kept.header, kept.size);
        const std::size_t limit = std::min<std::size_t>(end.max_frame(), piece_size);
        do {
            const std::size_t lead = kept.begun ? 0 : sizeof(std::uint64_t);
            const std::size_t count = std::min<std::size_t>(limit - lead, kept.size - kept.sent);
            std::byte* to = end.reserve(lane, lead + count);
            if (to == nullptr) return end.refused(lane);
            Header header = kept.header;
            if (lead != 0) {
                std::memcpy(to, &kept.size, sizeof kept.size);
                header.flags = Header::row;
            } else {
                header.kind = Kind::piece;
                header.flags = 0;
            }
            Outgoing<X>::copy(x, kept.sent, to + lead, count, way_into(end));
            header.size = static_cast<std::uint32_t>(lead + count);
            end.commit(lane, header);
            kept.begun = true;
            kept.sent += count;
        } while (kept.sent < kept.size);
        return {};
    }

    template <class X>
    ErrorCode keep(End& end, const X& x, Header header, std::size_t limit) {
        std::size_t size = Outgoing<X>::size(x);
        if (size > end.max_message()) return ErrorCode(errc::message_too_large);
        if (size + rest_bytes() > limit) return ErrorCode(errc::over_quota);
        if constexpr (Outgoing<X>::built) {
            const auto whole = build_whole(x, size);
            if (!whole) return of_user(whole.error());
            const Serialized message{*whole};
            return append(message, {header, whole->size(), 0, !fits_frame<Serialized>(end, whole->size()), false});
        } else {
            return append(x, {header, size, 0, !fits_frame<X>(end, size), false});
        }
    }

    /// The rest of a row that is out in part.
    template <class X>
    ErrorCode keep_begun(const X& x, const Kept& kept) {
        try {
            return append(x, kept);
        } catch (...) {
            abandon(kept.header);
            throw;
        }
    }
    void abandon(const Header& row) noexcept {
        row_ = row;
        abandon_ = pending_ = true;
    }

    template <class X>
    ErrorCode append(const X& x, Kept kept) {
        if (outbox_at_ > rest_bytes()) {  // what went out of it goes now and then, or it would only grow
            outbox_.drop_front(outbox_at_);
            outbox_at_ = 0;
        }
        const std::size_t at = outbox_.size();
        outbox_.append(sizeof kept + (kept.size + 15) / 16 * 16);
        std::memcpy(outbox_.data() + at, &kept, sizeof kept);
        if (kept.size != 0) Outgoing<X>::copy(x, 0, outbox_.data() + at + sizeof kept, kept.size);
        pending_ = true;
        return {};
    }

    /// An outbox that was just used is worth keeping, up to this size: fresh pages cost more than the copy.
    static constexpr std::size_t most_kept = std::size_t{64} << 10;

    bool pending_ = false;  ///< the outbox isn't empty, or an abandon is due
    bool abandon_ = false;  ///< a row was given up midway: its end is to be announced first
    Header row_{};          ///< of that row
    Buffer outbox_;
    std::size_t outbox_at_ = 0;
};

}  // namespace qbipc::detail
