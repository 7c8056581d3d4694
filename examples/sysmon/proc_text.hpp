// SPDX-License-Identifier: BSL-1.0
// proc_text.hpp: what the files of /proc say, from their text alone; no I/O, so that tests can feed it anything.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sysmon {

/// Walks over a text word by word; words are separated by blanks.
class Words {
public:
    explicit Words(std::string_view text) : rest_(text) {}

    /// The next word; empty at the end.
    std::string_view next() {
        const auto begin = std::min(rest_.find_first_not_of(" \t\n"), rest_.size());
        rest_.remove_prefix(begin);
        const auto word = rest_.substr(0, rest_.find_first_of(" \t\n"));
        rest_.remove_prefix(word.size());
        return word;
    }

    /// The next word as a number; nothing where it isn't one, as a whole and in range.
    template <class Number>
    std::optional<Number> number() {
        const auto word = next();
        Number value{};
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
        if (word.empty() || error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
        return value;
    }

    void skip(int words) {
        while (words-- > 0) next();
    }

private:
    std::string_view rest_;
};

/// Calls `line` with each line of `text`, without its end.
template <class Line>
void each_line(std::string_view text, Line line) {
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        line(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

// ---- /proc/PID/stat -------------------------------------------------------------------------------------------------

struct ProcessStat {
    std::int32_t pid = 0;
    std::string_view name;  ///< refers to the text
    char state = '?';
    std::int32_t parent = 0;
    std::uint64_t ticks = 0;  ///< of processor time, user's and system's
    std::int32_t nice = 0;
    std::uint32_t threads = 0;
    std::uint64_t started = 0;  ///< ticks since boot: with the pid, it names one process for ever
    std::uint64_t resident_pages = 0;
};

/// The name may hold anything, parentheses, blanks and line ends included: it ends at the last parenthesis of the text.
inline std::optional<ProcessStat> parse_process_stat(std::string_view text) {
    const auto open = text.find('('), close = text.rfind(')');
    if (open == std::string_view::npos || close == std::string_view::npos || close < open) return std::nullopt;

    ProcessStat stat;
    const auto pid = Words(text.substr(0, open)).number<std::int32_t>();
    stat.name = text.substr(open + 1, close - open - 1);

    Words words(text.substr(close + 1));
    const auto state = words.next();
    const auto parent = words.number<std::int32_t>();
    words.skip(9);  // group, session, terminal, its group, flags, four counts of page faults
    const auto user = words.number<std::uint64_t>(), system = words.number<std::uint64_t>();
    words.skip(3);  // children's times, priority
    const auto nice = words.number<std::int32_t>();
    const auto threads = words.number<std::uint32_t>();
    words.skip(1);  // an interval timer that is gone
    const auto started = words.number<std::uint64_t>();
    words.skip(1);  // address space
    const auto pages = words.number<std::int64_t>();
    if (!pid || state.size() != 1 || !parent || !user || !system || !nice || !threads || !started || !pages)
        return std::nullopt;

    stat.pid = *pid;
    stat.state = state[0];
    stat.parent = *parent;
    stat.ticks = *user + *system;
    stat.nice = *nice;
    stat.threads = *threads;
    stat.started = *started;
    stat.resident_pages = static_cast<std::uint64_t>(std::max<std::int64_t>(*pages, 0));
    return stat;
}

// ---- /proc/stat -----------------------------------------------------------------------------------------------------

struct Ticks {
    std::uint64_t busy = 0, total = 0;
};
struct CoreTicks {
    std::uint32_t number = 0;
    Ticks ticks;
};
struct ProcessorStat {
    Ticks all;
    std::vector<CoreTicks> cores;  ///< those that are on, in the kernel's order
};

inline std::optional<ProcessorStat> parse_processor_stat(std::string_view text) {
    std::optional<ProcessorStat> stat;
    each_line(text, [&](std::string_view line) {
        if (!line.starts_with("cpu")) return;
        Words words(line.substr(3));

        std::optional<std::uint32_t> core;
        if (line.substr(3, 1) != " ") {
            core = words.number<std::uint32_t>();
            if (!core) return;
        }
        Ticks ticks;
        // user, nice, system, idle, iowait, irq, softirq, steal; guests' time, which follows, is part of user's
        // already.
        for (int column = 0; column < 8; ++column) {
            const auto value = words.number<std::uint64_t>();
            if (!value && column < 4) return;
            ticks.total += value.value_or(0);
            if (column != 3 && column != 4) ticks.busy += value.value_or(0);
        }
        if (!stat) stat.emplace();
        if (core)
            stat->cores.push_back({*core, ticks});
        else
            stat->all = ticks;
    });
    return stat;
}

/// Which part of the time between two readings was busy. The kernel's counters may step back a little: never below 0.
inline float busy_between(const Ticks& before, const Ticks& after) {
    if (after.total <= before.total || after.busy <= before.busy) return 0;
    return std::min(1.0f,
                    static_cast<float>(after.busy - before.busy) / static_cast<float>(after.total - before.total));
}

// ---- /proc/meminfo, /proc/loadavg -----------------------------------------------------------------------------------

/// The value of one line of /proc/meminfo, in bytes; 0 where there is no such line.
inline std::uint64_t parse_memory(std::string_view text, std::string_view key) {
    std::uint64_t bytes = 0;
    each_line(text, [&](std::string_view line) {
        if (!line.starts_with(key) || line.substr(key.size(), 1) != ":") return;
        bytes = Words(line.substr(key.size() + 1)).number<std::uint64_t>().value_or(0) * 1024;
    });
    return bytes;
}

// ---- for people -----------------------------------------------------------------------------------------------------

/// Text that processes chose, made harmless for a terminal: what isn't printable ASCII becomes '?', NUL a blank.
inline std::string printable(std::string_view text) {
    while (!text.empty() && text.back() == '\0') text.remove_suffix(1);
    std::string result(text);
    for (char& c : result) c = c == '\0' ? ' ' : c >= ' ' && c <= '~' ? c : '?';
    return result;
}

}  // namespace sysmon
