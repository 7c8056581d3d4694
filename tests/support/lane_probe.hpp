// SPDX-License-Identifier: BSL-1.0
// lane_probe.hpp: the private cursors of a lane's ends, for tests that compare them or start them somewhere else.
#pragma once

#include <cstdint>
#include <string>

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
        reader.tail_ -= laps;
        reader.announced_ -= laps;
        credit -= laps;
    }
    template <class Memory>
    static std::string key(const LaneWriter<Memory>& writer, const LaneReader<Memory>& reader, std::uint64_t credit) {
        std::string text;
        for (const std::uint64_t value :
             {writer.head_, writer.limit_, writer.turn_, writer.easy_end_, reader.tail_, reader.announced_, credit}) {
            text += static_cast<char>(value / line);
        }
        return text;
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
