// SPDX-License-Identifier: BSL-1.0
// table.cpp: what sysmon's clients print. All text that comes from a process goes through printable().
#include "table.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <string>

#include "proc_text.hpp"

namespace sysmon {
namespace {

std::string clock_text(std::int64_t milliseconds) {
    const auto seconds = static_cast<std::time_t>(milliseconds / 1000);
    std::tm local{};
    ::localtime_r(&seconds, &local);
    char text[32];
    std::snprintf(text, sizeof text, "%02d:%02d:%02d.%03d", local.tm_hour, local.tm_min, local.tm_sec,
                  static_cast<int>(milliseconds % 1000));
    return text;
}

double percent(float share) { return 100.0 * static_cast<double>(share); }
double mib(std::uint64_t bytes) { return static_cast<double>(bytes) / (1024.0 * 1024.0); }

}  // namespace

void print_machine(const Load& load, std::span<const Core> cores) {
    std::printf("%s   load %.2f %.2f %.2f   %u processes\n", clock_text(load.milliseconds).c_str(),
                static_cast<double>(load.averages[0]), static_cast<double>(load.averages[1]),
                static_cast<double>(load.averages[2]), load.processes);
    std::printf("memory  %.0f of %.0f MiB available", mib(load.memory.available), mib(load.memory.total));
    if (load.memory.swap_total > 0)
        std::printf(", swap %.0f of %.0f MiB free", mib(load.memory.swap_free), mib(load.memory.swap_total));
    std::printf("\ncpu     %5.1f %%\n", percent(load.busy));
    for (const Core& core : cores) {
        constexpr int width = 40;
        const auto filled = std::clamp<long>(std::lround(core.busy * width), 0, width);
        std::printf("cpu%-4u %5.1f %% |%-*s|\n", core.number, percent(core.busy), width,
                    std::string(static_cast<std::size_t>(filled), '#').c_str());
    }
    std::printf("\n%8s %c %7s %10s  %s\n", "PID", 'S', "CPU %", "MiB", "NAME");
    for (const Busy& busy :
         std::span(load.busiest).first(std::min<std::size_t>(load.busiest_count, load.busiest.size())))
        std::printf("%8d %c %7.1f %10.1f  %s\n", busy.pid, busy.state, percent(busy.cores), mib(busy.resident),
                    printable(text_of(busy.name)).c_str());
}

void print_line(const Load& load) {
    std::printf("%s  cpu %.1f %%  memory %.0f of %.0f MiB available", clock_text(load.milliseconds).c_str(),
                percent(load.busy), mib(load.memory.available), mib(load.memory.total));
    if (const Busy& first = load.busiest[0]; load.busiest_count > 0)
        std::printf("  busiest %s (%d) %.1f %%", printable(text_of(first.name)).c_str(), first.pid,
                    percent(first.cores));
    std::printf("\n");
}

void print_details(const Details& details, std::string_view command, std::string_view descriptors) {
    const auto name = printable(text_of(details.name));
    std::printf("process     %d (%s), child of %d\n", details.pid, name.c_str(), details.parent);
    std::printf("command     %s\n", command.empty() ? ("[" + name + "]").c_str() : printable(command).c_str());
    std::printf("user        %u\n", details.uid);
    std::printf("state       %c, nice %d, %u threads\n", details.state, details.nice, details.threads);
    std::printf("memory      %.1f MiB\n", mib(details.resident));
    std::printf("cpu time    %.2f s\n", details.cpu_seconds);
    if (details.descriptors_hidden) {
        std::printf("descriptors not for you to see\n");
        return;
    }
    std::printf("descriptors %u\n", details.descriptors);
    while (!descriptors.empty()) {
        const auto one = descriptors.substr(0, descriptors.find('\0'));
        std::printf("            %s\n", printable(one).c_str());
        descriptors.remove_prefix(std::min(one.size() + 1, descriptors.size()));
    }
    if (details.descriptors_listed < details.descriptors)
        std::printf("            ... and %u more\n", details.descriptors - details.descriptors_listed);
}

}  // namespace sysmon
