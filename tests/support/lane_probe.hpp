// SPDX-License-Identifier: BSL-1.0
// lane_probe.hpp: the private cursors of a lane's ends, for tests that compare them or start them somewhere else.
#pragma once

#include <array>
#include <cstdint>

#include <qbipc/detail/lane_reader.hpp>
#include <qbipc/detail/lane_writer.hpp>

struct qbipc::detail::LaneProbe {
    /// Takes whole laps off all cursors: what a lane does depends on their differences and offsets only.
    template <class Memory>
    static void rebase(LaneWriter<Memory>& writer, LaneReader<Memory>& reader, std::uint64_t& credit) {
        const std::uint64_t size = writer.shape_.size;
        const std::uint64_t laps = (writer.limit_ - size) / size * size;  // the oldest cursor of all
        writer.head_ -= laps;
        writer.limit_ -= laps;
        writer.cleared_ = writer.cleared_ < writer.head_ + laps ? 0 : writer.cleared_ - laps;
        reader.tail_ -= laps;
        reader.announced_ -= laps;
        credit -= laps;
    }
    /// By which states are told apart.
    template <class Memory>
    static std::array<std::uint64_t, 6> state(const LaneWriter<Memory>& writer) {
        // A place behind head is never the one after the next frame: whatever was cleared there is forgotten.
        return {writer.head_,
                writer.limit_,
                writer.turn_,
                writer.easy_end_,
                writer.cleared_ < writer.head_ ? 0 : writer.cleared_,
                static_cast<std::uint64_t>(writer.refused_)};
    }
    template <class Memory>
    static std::array<std::uint64_t, 4> state(const LaneReader<Memory>& reader) {
        return {reader.tail_, reader.announced_, reader.stop_,
                static_cast<std::uint64_t>(reader.fresh_) << 1 | static_cast<std::uint64_t>(reader.violated_)};
    }

    /// Up to where a writer believes it may write; 0 after a violation.
    template <class Memory>
    static std::uint64_t limit(const LaneWriter<Memory>& writer) {
        return writer.limit_;
    }

    /// As if so many bytes had passed and all had been credited; the credit word is the caller's to set.
    template <class Memory>
    static void start(LaneReader<Memory>& reader, std::uint64_t at) {
        reader.tail_ = reader.announced_ = at;
    }
    template <class Memory>
    static void start(LaneWriter<Memory>& writer, std::uint64_t at) {
        writer.head_ = at;
        writer.limit_ = at + writer.shape_.size;
        writer.cleared_ = 0;
    }
};
