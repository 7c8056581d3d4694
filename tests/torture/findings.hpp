// SPDX-License-Identifier: BSL-1.0
// What a part of the torture found, how it is told, and the words it is started with.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "support/random.hpp"

namespace qbipc::testing {

/// --full, --at N and the like; --seed is QBIPC_TEST_SEED's other name.
class Words {
public:
    Words(int argc, char** argv) : words_(argv + 1, argv + argc) {
        if (const auto seed = after("--seed"); !seed.empty()) ::setenv("QBIPC_TEST_SEED", seed.c_str(), 1);
        std::setvbuf(stdout, nullptr, _IOLBF, 0);
        (void)run_seed();
    }
    bool has(std::string_view word) const { return std::find(words_.begin(), words_.end(), word) != words_.end(); }
    std::string after(std::string_view word) const {
        const auto at = std::find(words_.begin(), words_.end(), word);
        return at == words_.end() || at + 1 == words_.end() ? std::string() : *(at + 1);
    }
    long number(std::string_view word, long otherwise) const {
        const auto text = after(word);
        return text.empty() ? otherwise : std::strtol(text.c_str(), nullptr, 0);
    }
    bool full() const { return has("--full"); }

private:
    std::vector<std::string> words_;
};

/// Counts what went wrong; the first few are told in full.
class Findings {
public:
    void fail(const std::string& what) {
        if (++failures_ <= most_told) std::printf("FAILED: %s\n", what.c_str());
    }
    void check(bool good, const std::string& what) {
        if (!good) fail(what);
    }
    long failures() const { return failures_; }
    /// There is no use in going on: each failure may take its whole deadline.
    bool hopeless() const { return failures_ >= 8; }
    long kills = 0;

    /// The part's last line, which scripts/torture.sh adds up; the exit code. A part that killed nobody tried nothing.
    int end(const std::string& part, const std::string& did) {
        if (kills == 0) fail("nobody was killed");
        std::printf("%s: %s, %ld kills, %ld failures\n", part.c_str(), did.c_str(), kills, failures_);
        return failures_ == 0 ? 0 : 1;
    }

private:
    static constexpr long most_told = 20;
    long failures_ = 0;
};

/// For what a part did, where it is built in more than one way.
inline std::string how_built() {
#if defined(__SANITIZE_ADDRESS__)
    return " under AddressSanitizer";
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    return " under AddressSanitizer";
#endif
#endif
    return {};
}

}  // namespace qbipc::testing
