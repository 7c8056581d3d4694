// SPDX-License-Identifier: BSL-1.0
// input.hpp: a fuzz input, read from its front; what is missing is zero, so that every input means something.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

namespace qbipc::fuzz {

/// A promise was broken: says which, and ends the run where the fuzzer keeps the input.
[[noreturn, gnu::noinline, gnu::cold]] inline void fault(const char* what) {
    std::fprintf(stderr, "FAULT: %s\n", what);
    std::abort();
}
inline void expect(bool holds, const char* what) {
    if (!holds) [[unlikely]]
        fault(what);
}

class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) noexcept : left_(data, size) {}

    bool empty() const noexcept { return left_.empty(); }
    std::uint8_t u8() noexcept { return take<std::uint8_t>(); }
    std::uint16_t u16() noexcept { return take<std::uint16_t>(); }
    std::uint32_t u32() noexcept { return take<std::uint32_t>(); }
    std::uint64_t u64() noexcept { return take<std::uint64_t>(); }
    std::span<const std::uint8_t> bytes(std::size_t count) noexcept {
        const auto front = left_.first(std::min(count, left_.size()));
        left_ = left_.subspan(front.size());
        return front;
    }

private:
    template <class Number>
    Number take() noexcept {
        Number number{};
        const auto front = bytes(sizeof number);
        if (!front.empty()) std::memcpy(&number, front.data(), front.size());
        return number;
    }

    std::span<const std::uint8_t> left_;
};

}  // namespace qbipc::fuzz
