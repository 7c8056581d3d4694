// SPDX-License-Identifier: BSL-1.0
// hostile_memory.hpp: the two areas of a session, of which a hostile peer writes one: it changes words between any two
// of the victim's loads, as the input says; and whatever touches its area by another way than Memory is found.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include <qbipc/detail/layout.hpp>
#include <qbipc/memory.hpp>

#include "fuzz/boundaries.hpp"
#include "fuzz/input.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define QBIPC_FUZZ_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define QBIPC_FUZZ_ADDRESS_SANITIZER 1
#endif
#endif
#ifdef QBIPC_FUZZ_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

// The one place that may look at poisoned memory.
#if defined(__clang__)
#define QBIPC_FUZZ_UNWATCHED __attribute__((no_sanitize("address", "undefined", "coverage"), noinline))
#else
#define QBIPC_FUZZ_UNWATCHED __attribute__((no_sanitize("address"), no_sanitize("undefined"), noinline))
#endif

namespace qbipc::fuzz {

/// One area: a page of words and its lanes, all of one size.
struct Area {
    static constexpr std::size_t most = detail::area_header + 2 * lane_size;

    std::byte* bytes = nullptr;
    std::uint64_t words = 0;
    std::uint64_t lanes = 0;

    bool holds(const void* from, std::size_t size) const noexcept {
        const auto at = reinterpret_cast<std::uintptr_t>(from), begin = reinterpret_cast<std::uintptr_t>(bytes);
        return at + size > begin && at < begin + most;
    }
    /// Whether all of it is within one lane.
    bool in_lane(const void* from, std::size_t size) const noexcept {
        const std::uint64_t at = offset(from) - detail::area_header;
        return at < lanes * lane_size && size <= lane_size - at % lane_size;
    }
    bool is_word(const void* word) const noexcept {
        return offset(word) % detail::word_stride == 0 && offset(word) / detail::word_stride < words;
    }
    std::uint64_t offset(const void* at) const noexcept {
        return reinterpret_cast<std::uintptr_t>(at) - reinterpret_cast<std::uintptr_t>(bytes);
    }
    static constexpr std::uint64_t lane_at(std::size_t lane) noexcept { return detail::area_header + lane * lane_size; }
};
using ServiceLayout = detail::ServiceArea;
using ClientLayout = detail::ClientArea;
static_assert(ServiceLayout::events_wants_room == 3 * detail::word_stride &&
              ClientLayout::requests_wants_room == 4 * detail::word_stride);
static_assert(ServiceLayout{lane_size, lane_size}.events() == Area::lane_at(1));

/// A MemoryPolicy over those areas. One victim at a time.
class HostileMemory {
public:
    // ---- MemoryPolicy

    static std::uint64_t load_acquire(const std::uint64_t* word) noexcept { return load(word); }
    static std::uint64_t load_relaxed(const std::uint64_t* word) noexcept { return load(word); }
    static void store_release(std::uint64_t* word, std::uint64_t value) noexcept { store(word, value); }
    static void store_relaxed(std::uint64_t* word, std::uint64_t value) noexcept { store(word, value); }
    static void fence() noexcept {}
    static void copy_in(void* to, const void* from, std::size_t size) noexcept {
        if (size == 0) return;
        if (!peers.holds(from, size)) {  // what was assembled from pieces is private
            std::memcpy(to, from, size);
            return remember_result(to, size);
        }
        expect(peers.in_lane(from, size), "a payload was read that isn't within its lane");
        remember_copy(peers.offset(from), size);
        raw_copy(static_cast<std::byte*>(to), static_cast<const std::byte*>(from), size);
        copied += size;
        remember_result(to, size);
        after_load();
    }
    static void copy_out(void* to, const void* from, std::size_t size) noexcept {
        expect(own.in_lane(to, size), "a payload was written that isn't within its lane");
        std::memcpy(to, from, size);
    }

    // ---- the hostile peer

    /// Begins a run: all of the peer's area is zero.
    static void begin(std::byte* own_bytes, std::byte* peers_bytes, bool victim_is_service) {
        const auto service = [](std::byte* bytes) { return Area{bytes, 4, 2}; };
        const auto client = [](std::byte* bytes) { return Area{bytes, 5, 1}; };
        own = victim_is_service ? service(own_bytes) : client(own_bytes);
        peers = victim_is_service ? client(peers_bytes) : service(peers_bytes);
        clean();
        for (std::uint64_t word = 0; word < own.words; ++word)
            std::memset(own.bytes + word * detail::word_stride, 0, sizeof word);
        loads = copied = 0;
        copies_ = looked_ = 0;
        last_size = 0;
        rewrites_ = 0;
        next_ = 0;
        start_ = {};
    }
    /// Where a lane's frames begin in this run, as an offset in the lane; places are counted from there.
    static void starts_at(std::size_t lane, std::uint64_t offset) { start_[lane] = offset; }

    /// Zeroes what this run has written.
    static void clean() {
        for (; dirty_blocks_ > 0; --dirty_blocks_) {
            const std::size_t block = dirty_block_[dirty_blocks_ - 1];
            is_dirty_[block] = false;
            raw_zero(peers.bytes + block * block_size, block_size);
        }
    }

    /// A place in the peer's area, by 16 bits of the input: three say what, 13 which word of it.
    static std::uint64_t* place(std::uint16_t bits) {
        const std::uint64_t index = bits & 0x1fff;
        const unsigned what = bits >> 13;
        if (what >= 6) return at(index % peers.words * detail::word_stride);
        const std::size_t lane = what % peers.lanes;
        return at(Area::lane_at(lane) + (start_[lane] + index * 8) % lane_size);
    }
    static void write(std::uint64_t* word, std::uint64_t value) {
        const std::size_t block = peers.offset(word) / block_size;
        if (!std::exchange(is_dirty_[block], true)) dirty_block_[dirty_blocks_++] = static_cast<std::uint16_t>(block);
        raw_store(word, value);
    }
    /// Bytes into a lane, from its offset on, around its end.
    static void write(std::size_t lane, std::uint64_t offset, std::span<const std::uint8_t> bytes) {
        for (std::size_t i = 0; i < bytes.size(); i += 8) {
            std::uint64_t word = 0;
            std::memcpy(&word, bytes.data() + i, std::min<std::size_t>(8, bytes.size() - i));
            write(at(Area::lane_at(lane) + (offset + i) % lane_size), word);
        }
    }
    static std::uint64_t* at(std::uint64_t offset) { return reinterpret_cast<std::uint64_t*>(peers.bytes + offset); }
    /// The victim's own words, as its peer reads them.
    static std::uint64_t own_word(std::uint64_t offset) {
        std::uint64_t value;
        std::memcpy(&value, own.bytes + offset, sizeof value);
        return value;
    }

    /// After the victim's load number `after` (a copy counts as one) this value is there.
    static void rewrite(std::uint64_t after, std::uint64_t* word, std::uint64_t value) {
        if (rewrites_ == planned_.size()) return;
        std::size_t i = rewrites_++;
        for (; i > 0 && planned_[i - 1].after > after; --i) planned_[i] = planned_[i - 1];
        planned_[i] = {after, word, value};
    }

    // ---- what the victim did

    /// One decision begins, during which no word of a lane may be loaded twice.
    static void begin_decision() noexcept { looked_ = 0; }
    /// The value that the decision's last load of this word gave.
    static std::uint64_t seen(const void* word) {
        for (std::size_t i = looked_; i-- > 0;)
            if (look_[i].word == word) return look_[i].value;
        fault("a frame was given whose words were never loaded");
    }
    static bool looked_twice() noexcept {
        for (std::size_t i = 0; i < looked_; ++i)
            for (std::size_t k = 0; k < i; ++k)
                if (look_[i].word == look_[k].word) return true;
        return false;
    }
    /// A message was taken: its bytes may be another's from here on.
    static void message_over() noexcept { copies_ = 0; }

    static inline Area own, peers;
    static inline std::uint64_t loads = 0;   ///< since begin(), copies included
    static inline std::uint64_t copied = 0;  ///< bytes, since begin()
    /// What the last copy_in() gave: its size and beginning.
    static inline std::size_t last_size = 0;
    static inline std::array<std::byte, 32> last_bytes;

private:
    static constexpr std::size_t block_size = 256;
    static constexpr std::size_t blocks = Area::most / block_size;
    static_assert(Area::most % block_size == 0);

    struct Rewrite {
        std::uint64_t after;
        std::uint64_t* word;
        std::uint64_t value;
    };
    struct Look {
        const void* word;
        std::uint64_t value;
    };
    struct Range {
        std::uint64_t begin, end;
    };

    static std::uint64_t load(const std::uint64_t* word) noexcept {
        expect(reinterpret_cast<std::uintptr_t>(word) % 8 == 0 && peers.holds(word, 8) &&
                   (peers.is_word(word) || peers.in_lane(word, 8)),
               "a word was loaded that isn't the peer's");
        const std::uint64_t value = raw_load(word);
        if (looked_ < look_.size() && peers.in_lane(word, 8)) look_[looked_++] = {word, value};
        after_load();
        return value;
    }
    static void store(std::uint64_t* word, std::uint64_t value) noexcept {
        expect(reinterpret_cast<std::uintptr_t>(word) % 8 == 0 && own.holds(word, 8) &&
                   (own.is_word(word) || own.in_lane(word, 8)),
               "a word was stored that isn't one's own");
        std::memcpy(word, &value, sizeof value);
    }
    static void after_load() noexcept {
        ++loads;
        for (; next_ < rewrites_ && planned_[next_].after <= loads; ++next_)
            write(planned_[next_].word, planned_[next_].value);
    }
    /// Whatever was copied once may be checked; copied twice, the second copy is another.
    static void remember_copy(std::uint64_t begin, std::uint64_t size) noexcept {
        for (std::size_t i = 0; i < copies_; ++i)
            expect(begin >= copy_[i].end || begin + size <= copy_[i].begin, "a byte of a payload was read twice");
        if (copies_ < copy_.size()) copy_[copies_++] = {begin, begin + size};
    }

    static void remember_result(const void* copy, std::size_t size) noexcept {
        last_size = size;
        std::memcpy(last_bytes.data(), copy, std::min(size, last_bytes.size()));
    }

    typedef std::uint64_t Word __attribute__((may_alias, aligned(1)));
    QBIPC_FUZZ_UNWATCHED static std::uint64_t raw_load(const std::uint64_t* word) noexcept {
        return *static_cast<const volatile std::uint64_t*>(word);
    }
    QBIPC_FUZZ_UNWATCHED static void raw_store(std::uint64_t* word, std::uint64_t value) noexcept {
        *static_cast<volatile std::uint64_t*>(word) = value;
    }
    QBIPC_FUZZ_UNWATCHED static void raw_copy(std::byte* to, const std::byte* from, std::size_t size) noexcept {
        std::size_t i = 0;
        for (; i + 8 <= size; i += 8)
            *reinterpret_cast<Word*>(to + i) = *reinterpret_cast<const volatile Word*>(from + i);
        for (; i < size; ++i) to[i] = *static_cast<const volatile std::byte*>(from + i);
    }
    QBIPC_FUZZ_UNWATCHED static void raw_zero(std::byte* to, std::size_t size) noexcept {
        for (std::size_t i = 0; i < size; i += 8) *reinterpret_cast<volatile Word*>(to + i) = 0;
    }

    static inline std::array<bool, blocks> is_dirty_{};
    static inline std::array<std::uint16_t, blocks> dirty_block_{};  ///< which these are, in no order
    static inline std::size_t dirty_blocks_ = 0;
    static inline std::array<Rewrite, 16> planned_{};
    static inline std::size_t rewrites_ = 0, next_ = 0;
    static inline std::array<Look, 16> look_{};
    static inline std::size_t looked_ = 0;
    static inline std::array<Range, 16> copy_{};
    static inline std::size_t copies_ = 0;
    static inline std::array<std::uint64_t, 2> start_{};
};
static_assert(MemoryPolicy<HostileMemory>);

/// The bytes of the areas. The peer's is poisoned for good: only HostileMemory may look at it.
struct Areas {
    Areas() {
#ifdef QBIPC_FUZZ_ADDRESS_SANITIZER
        __asan_poison_memory_region(peers, sizeof peers);
#endif
    }
    alignas(4096) std::byte own[Area::most]{};
    alignas(4096) std::byte between[4096]{};
    alignas(4096) std::byte peers[Area::most]{};
};
inline Areas areas;

}  // namespace qbipc::fuzz
