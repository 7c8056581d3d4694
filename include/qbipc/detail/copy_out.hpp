// SPDX-License-Identifier: BSL-1.0
// detail/copy_out.hpp: how payload bytes get to the place where they are to go, where that place knows better than
// memcpy.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace qbipc::detail {

/// Copies bytes into a place. One whose owner has a way of his own for many bytes derives from it. Threads: those of
/// the place.
class CopyOut {
public:
    static constexpr std::size_t many = std::size_t{16} << 10;

    void operator()(std::byte* to, const std::byte* from, std::size_t size) noexcept {
        if (size >= many && copy_many_ != nullptr) [[unlikely]]
            return copy_many_(*this, to, from, size);
        if (size != 0) std::memcpy(to, from, size);
    }
    /// Somebody else is going to write there, at most `size` bytes, of which he says in the end how many he wrote().
    /// What is there now is lost. A bound that is far above what is written isn't made ready each time.
    void make_ready(std::byte* to, std::size_t size) noexcept {
        if (size >= many && ready_many_ != nullptr) [[unlikely]]
            ready_many_(*this, to, std::min(size, std::max(many, 2 * written_)));
    }
    void wrote(std::size_t size) noexcept {
        if (ready_many_ != nullptr) written_ = size;
    }

    static CopyOut plain;  ///< memcpy, and of no state

protected:
    using CopyMany = void (*)(CopyOut&, std::byte*, const std::byte*, std::size_t) noexcept;
    using ReadyMany = void (*)(CopyOut&, std::byte*, std::size_t) noexcept;

    constexpr CopyOut(CopyMany copy_many, ReadyMany ready_many) noexcept
        : copy_many_(copy_many), ready_many_(ready_many) {}
    // A part of a derived one would call what isn't there.
    CopyOut(const CopyOut&) = default;
    CopyOut& operator=(const CopyOut&) = default;
    ~CopyOut() = default;

private:
    constexpr CopyOut() noexcept = default;

    CopyMany copy_many_ = nullptr;
    ReadyMany ready_many_ = nullptr;
    std::size_t written_ = many;  ///< by whom a place was made ready for last
};
inline constinit CopyOut CopyOut::plain{};

}  // namespace qbipc::detail
