// SPDX-License-Identifier: BSL-1.0
// detail/route_table.hpp: a hash table built at compile time over (service id, message id), looked up in constant time.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <qbipc/config.hpp>

namespace qbipc::detail {

/// A service id and a message or event id as one number of 48 bits.
constexpr std::uint64_t route_key(std::uint16_t service, std::uint32_t id) noexcept {
    return std::uint64_t{service} << 32 | id;
}

/// Where the function for a key stands.
struct RouteSlot {
    static constexpr std::uint64_t empty = ~std::uint64_t{0};  // no key has more than 48 bits

    std::uint64_t key = empty;
    std::uint32_t route = 0;  ///< counts messages
    std::uint32_t part = 0;   ///< counts handlers: one may take several messages
};

/// Open addressing at most half full, with the longest probe remembered: a lookup is one multiplication and, for absent
/// keys too, at most `longest` comparisons. Nothing is searched for at compile time: a perfect hash for 400 sparse ids
/// went beyond clang's limit on constant expressions.
template <std::size_t count>
class RouteTable {
public:
    static constexpr std::size_t none = static_cast<std::size_t>(-1);
    static constexpr std::size_t capacity = std::bit_ceil(count < 1 ? std::size_t{2} : 2 * count);

    /// @param keys  all keys of handler 0, then those of handler 1, ...; `parts[i]` is the handler of keys[i]
    consteval RouteTable(const std::array<std::uint64_t, count>& keys, const std::array<std::uint32_t, count>& parts) {
        for (std::size_t i = 0; i < count; ++i) insert(keys[i], i, parts[i]);
    }

    constexpr const RouteSlot* find(std::uint64_t key) const noexcept {
        std::size_t at = place(key);
        for (std::size_t probe = 0; probe < longest_; ++probe, at = (at + 1) % capacity)
            if (slots_[at].key == key) return &slots_[at];
        return nullptr;
    }

    /// The first two messages with one key; `none` if all differ.
    std::size_t same = none, as = none;

    constexpr std::size_t longest() const noexcept { return longest_; }

private:
    /// Fibonacci hashing: dense ids spread evenly, and any other regular distance well.
    static constexpr std::size_t place(std::uint64_t key) noexcept {
        return static_cast<std::size_t>(key * 0x9E3779B97F4A7C15u >> (64 - std::countr_zero(capacity)));
    }

    constexpr void insert(std::uint64_t key, std::size_t route, std::uint32_t part) {
        std::size_t at = place(key), probe = 1;
        for (; slots_[at].key != RouteSlot::empty; at = (at + 1) % capacity, ++probe) {
            if (slots_[at].key == key) {
                if (same == none) same = slots_[at].route, as = route;
                return;
            }
        }
        slots_[at] = {key, static_cast<std::uint32_t>(route), part};
        if (probe > longest_) longest_ = probe;
    }

    std::array<RouteSlot, capacity> slots_{};
    std::size_t longest_ = 0;
};

}  // namespace qbipc::detail
