// SPDX-License-Identifier: BSL-1.0
// explorer.hpp: visits every state that a small model can reach.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qbipc::testing {

/// What a search found.
struct Explored {
    std::uint64_t states = 0;
    bool complete = true;  ///< false: given up at the limit, or at the first error
    std::string error;     ///< empty: none
};

/// The states seen so far, as 64-bit hashes. Two states of ten million share one with a probability of 3 in a million.
class Seen {
public:
    /// False if it was there already.
    bool insert(std::string_view key) {
        if (used_ * 2 >= table_.size()) grow();
        return place(hash(key));
    }
    /// The same of a state that comes as its hash.
    bool insert_hash(std::uint64_t h) {
        if (used_ * 2 >= table_.size()) grow();
        return place(h == 0 ? 1 : h);
    }
    std::uint64_t size() const { return used_; }

private:
    static std::uint64_t hash(std::string_view key) {
        std::uint64_t h = 0x9e3779b97f4a7c15u ^ key.size();
        for (std::size_t i = 0; i < key.size();) {
            std::uint64_t word = 0;
            for (unsigned shift = 0; shift < 64 && i < key.size(); shift += 8, ++i) {
                word |= std::uint64_t{static_cast<unsigned char>(key[i])} << shift;
            }
            h = (h ^ word) * 0xff51afd7ed558ccdu;
            h ^= h >> 32;
        }
        h *= 0xc4ceb9fe1a85ec53u;
        h ^= h >> 29;
        return h == 0 ? 1 : h;
    }
    bool place(std::uint64_t h) {
        std::size_t at = h & (table_.size() - 1);
        while (table_[at] != 0) {
            if (table_[at] == h) return false;
            at = (at + 1) & (table_.size() - 1);
        }
        table_[at] = h;
        ++used_;
        return true;
    }
    void grow() {
        const std::vector<std::uint64_t> old = std::exchange(table_, std::vector<std::uint64_t>(table_.size() * 2));
        used_ = 0;
        for (const std::uint64_t h : old) {
            if (h != 0) place(h);
        }
    }

    std::vector<std::uint64_t> table_ = std::vector<std::uint64_t>(1024);
    std::uint64_t used_ = 0;
};

/// Depth first from `root`. `step(state, next)` appends all successors of a state and returns what is wrong with the
/// state, or nothing; `state.key()` is a text by which equal states are known.
template <class State, class Step>
Explored explore(const State& root, Step step, std::uint64_t most = 60'000'000) {
    Explored result;
    Seen seen;
    std::vector<State> todo{root};
    std::vector<State> next;
    seen.insert(root.key());
    while (!todo.empty()) {
        const State state = std::move(todo.back());
        todo.pop_back();
        next.clear();
        result.error = step(state, next);
        result.states = seen.size();
        if (!result.error.empty() || result.states > most) {
            result.complete = false;
            return result;
        }
        for (State& successor : next) {
            if (seen.insert(successor.key())) todo.push_back(std::move(successor));
        }
    }
    return result;
}

}  // namespace qbipc::testing
