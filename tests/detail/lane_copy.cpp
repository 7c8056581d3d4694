// SPDX-License-Identifier: BSL-1.0
#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include <qbipc/detail/lane_copy.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace qbipc;
using namespace qbipc::detail;
using namespace std::chrono_literals;
using qbipc::testing::Random;

namespace {

/// A memory whose two ways take as long as a test says, and that counts what went by which.
struct Ways : PlainMemory {
    static inline std::chrono::microseconds through_takes{0}, past_takes{0};
    static inline std::size_t through = 0, largest_through = 0, past = 0, zeroed = 0;

    static void last(std::chrono::microseconds time) {
        for (const auto end = Clock::now() + time; Clock::now() < end;) {
        }
    }
    static void copy_out(void* to, const void* from, std::size_t size) noexcept {
        std::memcpy(to, from, size);
        through += size;
        largest_through = std::max(largest_through, size);
        last(through_takes);
    }
    static void copy_past(void* to, const void* from, std::size_t size) noexcept {
        std::memcpy(to, from, size);
        past += size;
        last(past_takes);
    }
    static void zero_past(void* to, std::size_t size) noexcept {
        std::memset(to, 0, size);
        zeroed += size;
        last(past_takes);
    }
};

struct OneWay {
    static std::uint64_t load_acquire(const std::uint64_t*) noexcept { return 0; }
    static std::uint64_t load_relaxed(const std::uint64_t*) noexcept { return 0; }
    static void store_release(std::uint64_t*, std::uint64_t) noexcept {}
    static void store_relaxed(std::uint64_t*, std::uint64_t) noexcept {}
    static void fence() noexcept {}
    static void copy_in(void*, const void*, std::size_t) noexcept {}
    static void copy_out(void*, const void*, std::size_t) noexcept {}
};

std::vector<std::byte> noise(Random& random, std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random.below(256));
    return bytes;
}

constexpr std::size_t much = 32 << 10;

/// Copies until as much as a sample's rest goes the way that is asked for; false: it never does.
bool comes_to(LaneCopy<Ways>& copy, std::size_t& way) {
    std::vector<std::byte> from(much, std::byte{1}), to(much);
    for (int i = 0; i < 10000; ++i) {
        const auto before = way;
        copy(to.data(), from.data(), much);
        if (way - before > much / 2) return true;
    }
    return false;
}

}  // namespace

TEST_CASE("what is copied past the caches arrives whole, and nothing beside it", "[lane_copy]") {
#if defined(__SSE2__)
    Random random;
    for (int round = 0; round < 500; ++round) {
        const std::size_t at = random.below(130), offset = random.below(130), size = random.below(1000);
        const auto from = noise(random, size + offset);
        auto to = noise(random, at + size + 200);
        auto expected = to;
        std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(offset), size,
                    expected.begin() + static_cast<std::ptrdiff_t>(at));
        PlainMemory::copy_past(to.data() + at, from.data() + offset, size);
        REQUIRE(to == expected);

        PlainMemory::zero_past(to.data() + at, size);
        for (std::size_t i = 0; i < to.size(); ++i) {
            const bool inside = i >= at && i < at + size;
            REQUIRE((to[i] == expected[i] || (inside && to[i] == std::byte{})));
        }
        if (size >= 128)
            CHECK(std::count(to.begin() + static_cast<std::ptrdiff_t>(at),
                             to.begin() + static_cast<std::ptrdiff_t>(at + size), std::byte{}) >= 64);
    }
#endif
}

TEST_CASE("a lane's copies are whole whichever way they go", "[lane_copy]") {
    Random random;
    LaneCopy<Ways> copy;
    for (int round = 0; round < 300; ++round) {
        Ways::through_takes = std::chrono::microseconds(random.below(2) * 5);
        Ways::past_takes = std::chrono::microseconds(random.below(2) * 5);
        const auto from = noise(random, 1 + random.below(40'000));
        std::vector<std::byte> to(from.size());
        copy(to.data(), from.data(), from.size());
        REQUIRE(to == from);
    }
}

TEST_CASE("much is copied past the caches where that takes less, and through them again when that does",
          "[lane_copy]") {
    LaneCopy<Ways> copy;
    Ways::through_takes = 50us, Ways::past_takes = 0us;
    CHECK(comes_to(copy, Ways::past));
    Ways::through_takes = 0us, Ways::past_takes = 50us;
    CHECK(comes_to(copy, Ways::through));
    Ways::through_takes = 50us, Ways::past_takes = 0us;
    CHECK(comes_to(copy, Ways::past));
    // As long either way: the reader is better off with what is in a cache.
    Ways::through_takes = Ways::past_takes = 50us;
    CHECK(comes_to(copy, Ways::through));
}

TEST_CASE("much goes through the caches in steps that processors do with plain moves", "[lane_copy]") {
    LaneCopy<Ways> copy;
    Ways::through_takes = 0us, Ways::past_takes = 50us;
    REQUIRE(comes_to(copy, Ways::through));
    Ways::through = Ways::largest_through = 0;
    std::vector<std::byte> from(much + 5, std::byte{7}), to(from.size());
    copy(to.data(), from.data(), from.size());
    CHECK(to == from);
    CHECK(Ways::through >= much - 4096);
    CHECK(Ways::largest_through <= 4096);
}

TEST_CASE("little is copied plainly, and never timed", "[lane_copy]") {
    LaneCopy<Ways> copy;
    Ways::through = Ways::past = 0;
    std::vector<std::byte> from(CopyOut::many - 1, std::byte{7}), to(from.size());
    for (int i = 0; i < 100; ++i) copy(to.data(), from.data(), from.size());
    CHECK(to == from);
    CHECK(Ways::through == 0);  // memcpy's
    CHECK(Ways::past == 0);
}

TEST_CASE("a place that somebody else will write is swept where that pays", "[lane_copy]") {
    LaneCopy<Ways> copy;
    Ways::through_takes = 50us, Ways::past_takes = 0us;
    REQUIRE(comes_to(copy, Ways::past));
    std::vector<std::byte> place(much, std::byte{7});
    const auto before = Ways::zeroed;
    copy.make_ready(place.data(), place.size());
    CHECK(Ways::zeroed - before >= much / 2);
    CHECK(std::count(place.begin(), place.end(), std::byte{}) == much);

    LaneCopy<Ways> near;
    Ways::through_takes = 0us, Ways::past_takes = 50us;
    REQUIRE(comes_to(near, Ways::through));
    const auto again = Ways::zeroed;
    for (int i = 0; i < 100; ++i) near.make_ready(place.data(), place.size());
    CHECK(Ways::zeroed - again <= 10 * 4096);  // samples
}

TEST_CASE("a memory with one way has a lane copied by memcpy", "[lane_copy]") {
    LaneCopy<OneWay> copy;
    std::vector<std::byte> from(much, std::byte{7}), to(much);
    copy(to.data(), from.data(), much);
    CHECK(to == from);
    copy.make_ready(to.data(), much);
    CHECK(to == from);
}
