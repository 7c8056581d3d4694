// SPDX-License-Identifier: BSL-1.0
// fake_end.hpp: one end of a connection whose lanes are lists that a test fills, empties and looks into.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <deque>
#include <system_error>
#include <utility>
#include <vector>

#include <qbipc/transport.hpp>

namespace qbipc::testing {

/// What is committed to a lane can be peeked at there: both ends in one. Room is a number of frames.
struct FakeEnd {
    struct Sent {
        Header header;
        std::vector<std::byte> payload;
    };
    std::array<std::deque<Sent>, lane_count> lanes;
    std::size_t room = 1000;
    std::size_t largest_message = std::size_t{1} << 20;
    std::size_t largest_frame = std::size_t{64} << 10;
    bool open = true;
    std::size_t memory = static_cast<std::size_t>(-1);  ///< frames until there is none for another
    std::size_t cancelled = 0;
    std::vector<std::byte> reserved;
    std::error_code why;
    Credentials who;

    std::deque<Sent>& operator[](Lane lane) { return lanes[static_cast<std::size_t>(lane)]; }
    /// Puts a frame there as a peer would, honest or not.
    void put(Lane lane, Header header, std::vector<std::byte> payload) {
        header.size = static_cast<std::uint32_t>(payload.size());
        (*this)[lane].push_back({header, std::move(payload)});
    }

    std::byte* reserve(Lane lane, std::size_t size) {
        if (!open || (*this)[lane].size() >= room || size > largest_frame) {
            why = open ? errc::lane_full : errc::disconnected;
            return nullptr;
        }
        if (memory == 0) {
            why = std::make_error_code(std::errc::not_enough_memory);
            return nullptr;
        }
        reserved.assign(size + 1, std::byte{0xdd});
        return reserved.data();
    }
    std::error_code refused(Lane) const { return why; }
    void commit(Lane lane, const Header& header) {
        --memory;
        reserved.resize(header.size);
        (*this)[lane].push_back({header, std::move(reserved)});
    }
    void cancel(Lane) { ++cancelled; }
    bool peek(Lane lane, Frame& frame) {
        auto& frames = (*this)[lane];
        if (frames.empty()) return false;
        frame = {frames.front().header, frames.front().payload.data()};
        return true;
    }
    void release(Lane lane) { (*this)[lane].pop_front(); }
    std::error_code ended() const { return open ? std::error_code() : make_error_code(errc::disconnected); }
    bool said_bye() const { return false; }
    std::size_t max_message() const { return largest_message; }
    std::size_t max_frame() const { return largest_frame; }
    const Credentials& peer() const { return who; }
    void shutdown() { open = false; }
};
static_assert(TransportEnd<FakeEnd>);

}  // namespace qbipc::testing
