// SPDX-License-Identifier: BSL-1.0
// report.hpp: what a program of this folder found, as it goes on and in the end.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>

namespace faults {

/// Findings, from any thread. The line says where: which fault it was that something didn't stand.
class Report {
public:
    void at(std::string where) {
        const std::lock_guard lock(mutex_);
        where_ = std::move(where);
    }
    /// --first: the first finding is enough.
    void end_at_first(const char* what) {
        const std::lock_guard lock(mutex_);
        first_of_ = what;
    }
    void finding(const std::string& what) {
        const std::lock_guard lock(mutex_);
        ++findings_;
        if (findings_ <= most_shown) std::printf("FINDING: %s: %s\n", where_.c_str(), what.c_str());
        if (findings_ == most_shown) std::puts("further findings are counted only");
        std::fflush(stdout);
        if (first_of_ == nullptr) return;
        std::printf("%s: %llu failed, 1 findings\n", first_of_, static_cast<unsigned long long>(injected_));
        std::fflush(stdout);
        std::_Exit(1);
    }
    void injected(std::uint64_t count) {
        const std::lock_guard lock(mutex_);
        injected_ += count;
    }

    std::uint64_t findings() const {
        const std::lock_guard lock(mutex_);
        return findings_;
    }

    /// The last line, which scripts/faults.sh sums, and the exit code.
    int end(const char* what) const {
        const std::lock_guard lock(mutex_);
        std::printf("%s: %llu failed, %llu findings\n", what, static_cast<unsigned long long>(injected_),
                    static_cast<unsigned long long>(findings_));
        return findings_ == 0 && injected_ != 0 ? 0 : 1;
    }

private:
    static constexpr std::uint64_t most_shown = 40;

    mutable std::mutex mutex_;
    std::string where_;
    std::uint64_t findings_ = 0;
    std::uint64_t injected_ = 0;
    const char* first_of_ = nullptr;
};

inline Report report;

}  // namespace faults
