// SPDX-License-Identifier: BSL-1.0
// hostile_writer.hpp: publishes frames as an honest writer would, but for what the input says: so that what comes after
// a first frame is reached.
#pragma once

#include <cstddef>
#include <cstdint>

#include <qbipc/detail/layout.hpp>
#include <qbipc/frame.hpp>

#include "fuzz/hostile_memory.hpp"
#include "fuzz/input.hpp"

namespace qbipc::fuzz {

class HostileWriter {
public:
    HostileWriter(std::size_t lane, std::uint64_t at) noexcept : lane_(lane), head_(at) {}

    /// `correlation`: an honest one; the input chooses how far from it.
    void publish(Input& input, std::uint32_t correlation) {
        const std::uint8_t how = input.u8();
        Header header{input.u16(), static_cast<Kind>(how & 15), static_cast<std::uint8_t>(how >> 7), 0,
                      input.u8(),  correlation - input.u8()};
        if ((how & 16) != 0) header.size = (header.size % 64) * 8;
        if ((how & 32) != 0) header.service = input.u16();
        if ((how & 64) != 0) header.size |= static_cast<std::uint32_t>(input.u8()) << 16;
        const auto payload = input.bytes(input.u8() % 64);
        const std::uint64_t offset = head_ % lane_size;
        HostileMemory::write(lane_, offset + header_size, payload);
        write(offset + 8, header.second_word());
        const std::uint64_t span = detail::frame_span(header.size);
        write(offset + span, 0);
        write(offset, header.first_word());
        head_ += span;
    }
    void wrap() {
        const std::uint64_t offset = head_ % lane_size;
        write(0, 0);
        write(offset, detail::wrap_marker);
        head_ += lane_size - offset;
    }

private:
    void write(std::uint64_t offset, std::uint64_t value) {
        HostileMemory::write(HostileMemory::at(Area::lane_at(lane_) + offset % lane_size), value);
    }

    std::size_t lane_;
    std::uint64_t head_;
};

}  // namespace qbipc::fuzz
