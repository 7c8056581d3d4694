// SPDX-License-Identifier: BSL-1.0
// main.cpp: sysmon's command line.
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <getopt.h>
#include <string_view>

#include "commands.hpp"

namespace {

constexpr auto usage = R"(usage: sysmon [--transport shm|unix] [--name NAME] VERB
  serve                                watches this machine until SIGTERM or Ctrl-C
  snapshot                             cores, memory and the busiest processes, once
  process PID                          one process: its command line and open descriptors
  watch [--interval MS] [--count N]    a live table; one line a sample where the output is no terminal
  renice PID NICE                      sets a nice value, -20 to 19; for root and the service's own user
)";

[[noreturn]] void misused() {
    std::fputs(usage, stderr);
    std::exit(2);
}

template <class Number>
Number number(const char* text) {
    Number value{};
    if (!text) misused();
    const char* end = text + std::strlen(text);
    const auto [rest, error] = std::from_chars(text, end, value);
    if (error != std::errc{} || rest != end) misused();
    return value;
}

}  // namespace

int main(int argc, char** argv) {
    constexpr option options[] = {{"transport", required_argument, nullptr, 't'},
                                  {"name", required_argument, nullptr, 'n'},
                                  {"interval", required_argument, nullptr, 'i'},
                                  {"count", required_argument, nullptr, 'c'},
                                  {"help", no_argument, nullptr, 'h'},
                                  {}};
    sysmon::Where where;
    sysmon::Watch how;
    // Options stand before or after the verb. "+": not among its arguments, of which one may be -5.
    const auto read_options = [&] {
        int found = 0;
        while ((found = ::getopt_long(argc, argv, "+t:n:i:c:h", options, nullptr)) != -1) {
            switch (found) {
                case 't':
                    if (optarg != std::string_view("shm") && optarg != std::string_view("unix")) misused();
                    where.transport =
                        optarg == std::string_view("shm") ? sysmon::Transport::shm : sysmon::Transport::unix_socket;
                    break;
                case 'n':
                    where.name = optarg;
                    break;
                case 'i':
                    how.interval = number<std::uint32_t>(optarg);
                    break;
                case 'c':
                    how.count = number<std::uint64_t>(optarg);
                    break;
                case 'h':
                    std::fputs(usage, stdout), std::exit(0);
                default:
                    misused();
            }
        }
    };
    read_options();
    const std::string_view verb = optind < argc ? argv[optind++] : "";
    read_options();
    const int arguments = argc - optind;

    if (verb == "serve" && arguments == 0) return sysmon::serve(where);
    if (verb == "snapshot" && arguments == 0) return sysmon::snapshot(where);
    if (verb == "process" && arguments == 1) return sysmon::process(where, number<std::int32_t>(argv[optind]));
    if (verb == "watch" && arguments == 0 && how.interval > 0) return sysmon::watch(where, how);
    if (verb == "renice" && arguments == 2)
        return sysmon::renice(where, number<std::int32_t>(argv[optind]), number<std::int32_t>(argv[optind + 1]));
    misused();
}
