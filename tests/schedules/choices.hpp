// SPDX-License-Identifier: BSL-1.0
// choices.hpp: who decides what a schedule leaves open: which thread goes on, and which of several stores a load finds.
#pragma once

#include <cstdint>
#include <vector>

#include "models/explorer.hpp"

namespace qbipc::testing {

/// A source of decisions.
class Choices {
public:
    virtual ~Choices() = default;
    /// Whether to leave the thread that runs and could go on; then, which of `count` others.
    virtual unsigned thread(unsigned count, bool current_may_go_on) = 0;
    /// Which of `count` stores, the newest last.
    virtual unsigned store(unsigned count) = 0;
    /// False: this state was seen before, by this way of deciding nothing new can come of it.
    virtual bool worth_going_on(std::uint64_t state) = 0;
};

/// At random, from a seed. How often a thread is left and how often a load is stale is itself drawn for each schedule:
/// some faults show where threads run long, some where they take turns.
class RandomChoices : public Choices {
public:
    explicit RandomChoices(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du) {
        for (int i = 0; i < 4; ++i) (void)next();
        leave_one_in_ = std::uint64_t{1} << below(5);
        stale_one_in_ = std::uint64_t{1} << (2 * below(3));
    }

    std::uint64_t below(std::uint64_t bound) { return (next() >> 11) % bound; }
    bool one_in(std::uint64_t n) { return below(n) == 0; }

    unsigned thread(unsigned count, bool current_may_go_on) override {
        if (current_may_go_on && !one_in(leave_one_in_)) return 0;
        return static_cast<unsigned>(below(count));
    }
    unsigned store(unsigned count) override {
        if (!one_in(stale_one_in_)) return count - 1;
        return static_cast<unsigned>(below(count));
    }
    bool worth_going_on(std::uint64_t) override { return true; }

private:
    std::uint64_t next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545f4914f6cdd1du;
    }

    std::uint64_t state_;
    std::uint64_t leave_one_in_ = 1;
    std::uint64_t stale_one_in_ = 1;
};

/// All of them, one schedule after the other, depth first. A schedule that comes to a state where another has been is
/// given up there.
class AllChoices : public Choices {
public:
    unsigned thread(unsigned count, bool) override { return choose(count); }
    unsigned store(unsigned count) override { return count - 1 - choose(count); }
    bool worth_going_on(std::uint64_t state) override { return at_ < taken_.size() || seen_.insert_hash(state); }

    /// Goes back to the last decision that has another outcome. False: all were made.
    bool next() {
        at_ = 0;
        while (!taken_.empty() && taken_.back().outcome + 1 == taken_.back().count) taken_.pop_back();
        if (taken_.empty()) return false;
        ++taken_.back().outcome;
        return true;
    }
    std::uint64_t states() const { return seen_.size(); }

private:
    struct Decision {
        unsigned outcome, count;
    };

    unsigned choose(unsigned count) {
        if (count == 1) return 0;
        if (at_ == taken_.size()) taken_.push_back({0, count});
        return taken_[at_++].outcome;
    }

    std::vector<Decision> taken_;
    std::size_t at_ = 0;
    Seen seen_;
};

}  // namespace qbipc::testing
