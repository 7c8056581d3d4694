// SPDX-License-Identifier: BSL-1.0
// test_lane.hpp: a lane over plain memory with guards around it, and memories that watch or disturb.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <qbipc/detail/lane_reader.hpp>
#include <qbipc/detail/lane_writer.hpp>

namespace qbipc::testing {

/// A shape smaller than real lanes have, in lines; without a window it is the whole lane.
inline detail::LaneShape small_shape(std::uint64_t lines, std::uint64_t window_lines = 0) {
    const std::uint64_t size = lines * detail::line;
    const std::uint64_t window = window_lines == 0 ? size : window_lines * detail::line;
    return {size, window, std::max(detail::line, std::min(size / 8, window / 4)), size / 4};
}

/// Byte i of the payload of frame number k. No two neighbours alike, no period of a line.
inline std::byte pattern(std::uint64_t k, std::uint64_t i) {
    return static_cast<std::byte>(k * 37 + i * 11 + (i >> 6) + 1);
}

/// Both ends of a lane. Not movable: the ends point into it.
template <MemoryPolicy Memory = PlainMemory>
struct TestLane {
    explicit TestLane(detail::LaneShape shape_, std::uint64_t populated = ~std::uint64_t{0})
        : shape(shape_),
          lines(shape.size / detail::line + 2, Line{}),
          writer(data(), shape, &credit, std::min(populated, shape.size)),
          reader(data(), shape, &credit) {
        lines.front().fill(guard);
        lines.back().fill(guard);
    }
    TestLane(const TestLane&) = delete;
    TestLane& operator=(const TestLane&) = delete;

    std::byte* data() { return lines[1].bytes; }
    std::uint64_t& word(std::uint64_t at) { return *reinterpret_cast<std::uint64_t*>(data() + at); }
    bool guards_intact() const { return lines.front().all(guard) && lines.back().all(guard); }

    /// Sends frame number k with a patterned payload; false if there is no room.
    bool send(std::uint64_t k, std::uint32_t size) {
        std::byte* to = writer.reserve(size);
        if (to == nullptr) return false;
        for (std::uint32_t i = 0; i < size; ++i) to[i] = pattern(k, i);
        writer.commit(header(k, size));
        return true;
    }
    /// Takes frame number k; true if it is exactly what send() sent.
    bool receive(std::uint64_t k, std::uint32_t size) {
        Frame frame;
        if (!reader.peek(frame)) return false;
        std::vector<std::byte> copy(frame.header.size);
        Memory::copy_in(copy.data(), frame.payload, copy.size());
        bool same = frame.header == header(k, size);
        for (std::uint32_t i = 0; same && i < size; ++i) same = copy[i] == pattern(k, i);
        reader.release();
        return same;
    }
    /// Brings both ends to this offset, all of it credited.
    bool advance_to(std::uint64_t offset) {
        Frame none;
        for (std::uint64_t at = 0; at < offset; at += detail::line) {
            if (!send(0, 0) || !receive(0, 0)) return false;
        }
        return !reader.peek(none);
    }

    static Header header(std::uint64_t k, std::uint32_t size) {
        return {size,
                static_cast<Kind>(1 + k % 7),
                static_cast<std::uint8_t>(k),
                static_cast<std::uint16_t>(k * 3),
                static_cast<std::uint32_t>(k),
                ~static_cast<std::uint32_t>(k)};
    }

    struct Line {
        alignas(detail::line) std::byte bytes[detail::line];
        void fill(std::byte value) { std::fill(std::begin(bytes), std::end(bytes), value); }
        bool all(std::byte value) const {
            return std::count(std::begin(bytes), std::end(bytes), value) == detail::line;
        }
    };
    static constexpr std::byte guard{0xa5};

    detail::LaneShape shape;
    std::vector<Line> lines;
    alignas(detail::word_stride) std::uint64_t credit = 0;
    detail::LaneWriter<Memory> writer;
    detail::LaneReader<Memory> reader;
};

/// Counts how often each word was loaded, and changes it behind the reader's back after each load if asked to.
struct WatchedMemory : PlainMemory {
    static inline std::vector<const std::uint64_t*> loads;
    static inline std::uint64_t flip = 0;  ///< xored into a word once it was loaded

    static std::uint64_t load_acquire(const std::uint64_t* word) noexcept { return load_relaxed(word); }
    static std::uint64_t load_relaxed(const std::uint64_t* word) noexcept {
        loads.push_back(word);
        const std::uint64_t value = PlainMemory::load_acquire(word);
        if (flip != 0) *const_cast<std::uint64_t*>(word) = value ^ flip;
        return value;
    }
    /// Begins to watch.
    static void watch(std::uint64_t flip_ = 0) {
        loads.clear();
        flip = flip_;
    }
    /// Whether every word was loaded at most once since.
    static bool each_once() {
        std::vector<const std::uint64_t*> sorted = loads;
        std::sort(sorted.begin(), sorted.end());
        return std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end();
    }
};

}  // namespace qbipc::testing
