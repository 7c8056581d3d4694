// SPDX-License-Identifier: BSL-1.0
// detail/buffer.hpp: private memory for bytes that are about to be written: nothing is zeroed first.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

namespace qbipc::detail {

/// Bytes that grow. Zeroing 1 MiB before it is overwritten costs as much as copying it: that is why
/// this isn't a vector. What it holds is never sent before it was written.
class Buffer {
public:
    Buffer() noexcept = default;
    /// So many bytes, not initialised.
    explicit Buffer(std::size_t size) : size_(size), capacity_(size) {
        if (size != 0) bytes_ = std::make_unique_for_overwrite<std::byte[]>(size);
    }
    Buffer(Buffer&& other) noexcept
        : bytes_(std::move(other.bytes_)),
          size_(std::exchange(other.size_, 0)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    Buffer& operator=(Buffer&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Buffer() = default;

    std::byte* data() noexcept { return bytes_.get(); }
    const std::byte* data() const noexcept { return bytes_.get(); }
    std::size_t size() const noexcept { return size_; }
    std::size_t capacity() const noexcept { return capacity_; }
    std::span<const std::byte> bytes() const noexcept { return {data(), size_}; }

    /// So many bytes, of which the first `kept` are those that were there.
    void grow(std::size_t size, std::size_t kept) {
        if (size > capacity_) {
            Buffer larger(size);
            if (kept != 0) std::memcpy(larger.data(), data(), kept);
            swap(larger);
        }
        size_ = size;
    }
    /// So many more at the end; grows by doubling.
    void append(std::size_t count) {
        const std::size_t size = size_ + count;
        if (size > capacity_) {
            Buffer larger(std::max(size, 2 * capacity_));
            if (size_ != 0) std::memcpy(larger.data(), data(), size_);
            swap(larger);
        }
        size_ = size;
    }
    /// Without the first `count`.
    void drop_front(std::size_t count) noexcept {
        size_ -= count;
        if (size_ != 0) std::memmove(data(), data() + count, size_);
    }
    /// Empty; the memory stays.
    void clear() noexcept { size_ = 0; }
    void swap(Buffer& other) noexcept {
        std::swap(bytes_, other.bytes_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
    }

private:
    std::unique_ptr<std::byte[]> bytes_;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

}  // namespace qbipc::detail
