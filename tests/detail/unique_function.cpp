// SPDX-License-Identifier: BSL-1.0
#include <array>
#include <memory>
#include <string>
#include <utility>

#include <qbipc/detail/unique_function.hpp>

#include "support/catch.hpp"

namespace {

using qbipc::detail::UniqueFunction;

/// Counts how many live.
template <std::size_t size>
struct Counted {
    explicit Counted(int& count) : living(&count) { ++*living; }
    Counted(Counted&& other) noexcept : living(other.living), calls(other.calls) { ++*living; }
    ~Counted() { --*living; }
    int operator()(int x) { return x + ++calls; }
    int* living;
    int calls = 0;
    std::array<char, size> ballast{};
};
struct alignas(64) Aligned {
    bool operator()() const { return reinterpret_cast<std::uintptr_t>(this) % 64 == 0; }
};
/// Its move may throw, so it can't lie inside.
struct Throwing {
    Throwing() = default;
    Throwing(Throwing&&) noexcept(false) {}
    int operator()() { return 3; }
};

template <std::size_t size>
void lives_and_dies() {
    int living = 0;
    {
        UniqueFunction<int(int)> f = Counted<size>(living);
        CHECK(living == 1);
        CHECK(f(10) == 11);
        CHECK(f(10) == 12);  // it has state
        UniqueFunction<int(int)> g = std::move(f);
        CHECK(living == 1);
        CHECK(g(10) == 13);
        CHECK_FALSE(f);
        CHECK(g);
        f = std::move(g);
        CHECK(f(10) == 14);
        UniqueFunction<int(int)> h = Counted<size>(living);
        CHECK(living == 2);
        h = std::move(f);
        CHECK(living == 1);
        auto& same = h;
        h = std::move(same);
        CHECK(h(10) == 15);
        h.reset();
        CHECK(living == 0);
        CHECK_FALSE(h);
        h.reset();
        h = Counted<size>(living);
    }
    CHECK(living == 0);
}

}  // namespace

TEST_CASE("a function is moved, called and dropped once, whatever its size", "[unique_function]") {
    lives_and_dies<1>();
    lives_and_dies<32>();
    lives_and_dies<33>();
    lives_and_dies<1000>();
}

TEST_CASE("a function takes what can only be moved, and passes arguments on as they are", "[unique_function]") {
    UniqueFunction<std::unique_ptr<int>(std::unique_ptr<int>)> add =
        [one = std::make_unique<int>(1)](std::unique_ptr<int> x) {
            *x += *one;
            return x;
        };
    CHECK(*add(std::make_unique<int>(5)) == 6);
    UniqueFunction<void(std::string&)> append = [](std::string& text) { text += "!"; };
    std::string text = "hello";
    append(text);
    CHECK(text == "hello!");
    UniqueFunction<int(int)> plain = +[](int x) { return 2 * x; };
    CHECK(plain(4) == 8);
}

TEST_CASE("callables that don't fit, are over-aligned or may throw when moved lie outside", "[unique_function]") {
    UniqueFunction<bool()> aligned = Aligned();
    auto moved = std::move(aligned);
    CHECK(moved());
    UniqueFunction<int()> throwing = Throwing();
    auto elsewhere = std::move(throwing);
    CHECK(elsewhere() == 3);
}

TEST_CASE("an empty function is false, moved or not", "[unique_function]") {
    UniqueFunction<void()> empty;
    CHECK_FALSE(empty);
    UniqueFunction<void()> other = std::move(empty);
    CHECK_FALSE(other);
    empty = std::move(other);
    CHECK_FALSE(empty);
}
