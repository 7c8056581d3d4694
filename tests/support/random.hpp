// SPDX-License-Identifier: BSL-1.0
// random.hpp: random numbers whose seed is printed, and can be given again by QBIPC_TEST_SEED.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>

namespace qbipc::testing {

/// The seed of this run: from the environment, or new; printed once.
inline std::uint64_t run_seed() {
    static const std::uint64_t seed = [] {
        const char* given = std::getenv("QBIPC_TEST_SEED");
        const std::uint64_t value = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device()();
        std::cout << "QBIPC_TEST_SEED=" << value << std::endl;
        return value;
    }();
    return seed;
}

/// A generator for one purpose; different streams of one run are independent.
class Random {
public:
    explicit Random(std::uint64_t stream = 0) : engine_(run_seed() * 0x9e3779b97f4a7c15u + stream) {}
    /// One of 0 .. bound - 1.
    std::uint64_t below(std::uint64_t bound) { return engine_() % bound; }
    bool one_in(std::uint64_t n) { return below(n) == 0; }

private:
    std::mt19937_64 engine_;
};

}  // namespace qbipc::testing
