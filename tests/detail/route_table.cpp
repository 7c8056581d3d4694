// SPDX-License-Identifier: BSL-1.0
#include <cstdlib>
#include <random>
#include <set>

#include <qbipc/detail/route_table.hpp>

#include "support/catch.hpp"

using qbipc::detail::route_key;
using qbipc::detail::RouteTable;

namespace {

/// 400 ids far from each other.
constexpr std::array<std::uint64_t, 400> sparse = [] {
    std::array<std::uint64_t, 400> keys{};
    for (std::uint32_t i = 0; i < 400; ++i) keys[i] = route_key(static_cast<std::uint16_t>(i * 163), i * 2654435761u);
    return keys;
}();
constexpr std::array<std::uint64_t, 400> dense = [] {
    std::array<std::uint64_t, 400> keys{};
    for (std::uint32_t i = 0; i < 400; ++i) keys[i] = route_key(0, i);
    return keys;
}();
constexpr std::array<std::uint32_t, 400> parts = [] {
    std::array<std::uint32_t, 400> numbers{};
    for (std::uint32_t i = 0; i < 400; ++i) numbers[i] = i / 2;
    return numbers;
}();
constexpr RouteTable<400> sparse_table(sparse, parts), dense_table(dense, parts);

}  // namespace

TEST_CASE("every key is found, and its place in the list with it", "[table]") {
    for (std::size_t i = 0; i < 400; ++i) {
        REQUIRE(sparse_table.find(sparse[i])->route == i);
        REQUIRE(dense_table.find(dense[i])->route == i);
        REQUIRE(dense_table.find(dense[i])->part == i / 2);
    }
    CHECK(sparse_table.same == RouteTable<400>::none);
}

TEST_CASE("a key that isn't there is not found, whatever it is", "[table]") {
    const char* given = std::getenv("QBIPC_TEST_SEED");
    const auto seed = given ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    INFO("QBIPC_TEST_SEED=" << seed);
    std::mt19937_64 random(seed);
    const std::set<std::uint64_t> in_sparse(sparse.begin(), sparse.end()), in_dense(dense.begin(), dense.end());
    for (int i = 0; i < 20000; ++i) {
        const auto key = random() >> (16 + random() % 48);
        if (!in_sparse.contains(key)) REQUIRE(sparse_table.find(key) == nullptr);
        if (!in_dense.contains(key)) REQUIRE(dense_table.find(key) == nullptr);
    }
}

TEST_CASE("a lookup looks at few places", "[table]") {
    STATIC_REQUIRE(dense_table.longest() <= 8);
    STATIC_REQUIRE(sparse_table.longest() <= 16);
}

TEST_CASE("two equal keys are named", "[table]") {
    constexpr RouteTable<4> table({5, 7, 9, 7}, {0, 1, 2, 3});
    CHECK(table.same == 1);
    CHECK(table.as == 3);
}

TEST_CASE("an empty table finds nothing", "[table]") {
    constexpr RouteTable<0> table({}, {});
    CHECK(table.find(0) == nullptr);
}
