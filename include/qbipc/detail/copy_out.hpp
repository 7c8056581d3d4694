// SPDX-License-Identifier: BSL-1.0
// detail/copy_out.hpp: how payload bytes get to the place where they are to go, where that place knows better than
// memcpy.
#pragma once

#include <cstddef>
#include <cstring>

namespace qbipc::detail {

/// Copies bytes into a place. One whose owner has a way of his own for many bytes derives from it. Threads: those of
/// the place.
struct CopyOut {
    static constexpr std::size_t many = std::size_t{16} << 10;

    void operator()(std::byte* to, const std::byte* from, std::size_t size) noexcept {
        if (size >= many && copy_many != nullptr) [[unlikely]]
            return copy_many(*this, to, from, size);
        if (size != 0) std::memcpy(to, from, size);
    }
    /// Somebody else is going to write there: what is there now is lost.
    void make_ready(std::byte* to, std::size_t size) noexcept {
        if (size >= many && ready_many != nullptr) [[unlikely]]
            ready_many(*this, to, size);
    }

    void (*copy_many)(CopyOut&, std::byte*, const std::byte*, std::size_t) noexcept = nullptr;
    void (*ready_many)(CopyOut&, std::byte*, std::size_t) noexcept = nullptr;

    static CopyOut plain;  ///< memcpy, and of no state
};
inline constinit CopyOut CopyOut::plain{};

}  // namespace qbipc::detail
