// SPDX-License-Identifier: BSL-1.0
// sysmon.cpp: what sysmon makes of /proc: of texts that the kernel may write, and of this process.
#include <algorithm>
#include <fcntl.h>
#include <spawn.h>
#include <string>
#include <string_view>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../examples/sysmon/proc.hpp"
#include "support/catch.hpp"

using namespace sysmon;
using namespace std::string_literals;

namespace {

std::string stat_of(const std::string& name) {
    return "4242 (" + name +
           ") S 17 4242 4242 0 -1 4194560 2044 0 11 0 250 50 0 0 20 -3 7 0 123456 23572480 1024 18446744073709551615 1 "
           "1 0\n";
}

}  // namespace

TEST_CASE("A process's line of /proc gives its times, nice value, threads and memory", "[sysmon]") {
    const auto text = stat_of("daemon");
    const auto stat = parse_process_stat(text);
    REQUIRE(stat);
    CHECK(stat->pid == 4242);
    CHECK(stat->name == "daemon");
    CHECK(stat->state == 'S');
    CHECK(stat->parent == 17);
    CHECK(stat->ticks == 300);
    CHECK(stat->nice == -3);
    CHECK(stat->threads == 7);
    CHECK(stat->started == 123456);
    CHECK(stat->resident_pages == 1024);
}

TEST_CASE("A process may have any name: blanks, parentheses, line ends, a whole line of its own, or none", "[sysmon]") {
    const auto name = GENERATE("Web Content"s, "(sd-pam)"s, "a) R 1 (b"s, ")"s, "("s, ") ("s, "line\nend"s, ""s,
                               "1 (x) S 1 1 1"s, "tab\there"s, "kworker/u8:1-events_unbound"s, "\x1b[2J"s, "\xff\xfe"s);
    const auto text = stat_of(name);
    const auto stat = parse_process_stat(text);
    REQUIRE(stat);
    CHECK(stat->pid == 4242);
    CHECK(stat->name == name);
    CHECK(stat->parent == 17);
    CHECK(stat->ticks == 300);
}

TEST_CASE("A line cut short at any place, or with words in the place of numbers, is no process", "[sysmon]") {
    const auto text = stat_of("short");
    const auto needed = text.find(" 18446744073709551615");  // nothing from here on is read
    for (std::size_t size = 0; size < needed - 3; ++size) CHECK_FALSE(parse_process_stat(text.substr(0, size)));
    CHECK(parse_process_stat(text.substr(0, needed)));

    CHECK_FALSE(parse_process_stat("x (a) S 1 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 1 1 1"));
    CHECK_FALSE(parse_process_stat("1 )a( S 1 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 1 1 1"));
    CHECK_FALSE(parse_process_stat("1 (a) S one 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 1 1 1"));
    CHECK_FALSE(parse_process_stat("1 (a) S 1 1 1 0 -1 0 0 0 0 0 99999999999999999999 1 0 0 20 0 1 0 1 1 1"));
    CHECK_FALSE(parse_process_stat("99999999999 (a) S 1 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 1 1 1"));
}

TEST_CASE("The processors' lines give busy and idle time of all and of each that is on", "[sysmon]") {
    const auto stat = parse_processor_stat(
        "cpu  100 10 50 700 40 5 5 90 30 3\n"
        "cpu0 60 10 30 350 40 5 0 5 30 3\n"
        "cpu2 40 0 20 350 0 0 5 85 0 0\n"
        "intr 17 cpu\ncpufreq 12\nctxt 1\n");
    REQUIRE(stat);
    CHECK(stat->all.total == 1000);
    CHECK(stat->all.busy == 260);
    REQUIRE(stat->cores.size() == 2);
    CHECK(stat->cores[0].number == 0);
    CHECK(stat->cores[1].number == 2);
    CHECK(stat->cores[1].ticks.total == 500);
    CHECK(stat->cores[1].ticks.busy == 150);
}

TEST_CASE("Old kernels' processor lines have fewer columns; what isn't one is no processor", "[sysmon]") {
    const auto old = parse_processor_stat("cpu 1 2 3 4\n");
    REQUIRE(old);
    CHECK(old->all.total == 10);
    CHECK(old->all.busy == 6);
    CHECK(old->cores.empty());
    CHECK_FALSE(parse_processor_stat(""));
    CHECK_FALSE(parse_processor_stat("intr 1 2 3\n"));
    CHECK_FALSE(parse_processor_stat("cpu 1 2 3\n"));
    CHECK_FALSE(parse_processor_stat("cpu a b c d\n"));
}

TEST_CASE("The load between two readings is a part of one, also where the kernel's counters step back", "[sysmon]") {
    CHECK(busy_between({100, 1000}, {150, 1100}) == 0.5f);
    CHECK(busy_between({100, 1000}, {200, 1100}) == 1.0f);
    CHECK(busy_between({100, 1000}, {100, 1000}) == 0.0f);
    CHECK(busy_between({100, 1000}, {99, 1100}) == 0.0f);
    CHECK(busy_between({100, 1000}, {150, 990}) == 0.0f);
    CHECK(busy_between({100, 1000}, {300, 1100}) == 1.0f);
}

TEST_CASE("A line of the memory table is found by its whole name", "[sysmon]") {
    const auto text =
        "MemTotal:       16314044 kB\nMemFree:         1000000 kB\nSwapTotal:             0 kB\nSwapTotalX: 5 kB\n"
        "HugePages_Total:       3\nBroken: many kB\nActive: 7 kB\nActive(anon): 3 kB\n";
    CHECK(parse_memory(text, "MemTotal") == 16314044ull * 1024);
    CHECK(parse_memory(text, "Mem") == 0);
    CHECK(parse_memory(text, "SwapTotal") == 0);
    CHECK(parse_memory(text, "SwapTotalX") == 5 * 1024);
    CHECK(parse_memory(text, "Active") == 7 * 1024);
    CHECK(parse_memory(text, "Broken") == 0);
    CHECK(parse_memory("", "MemTotal") == 0);
}

TEST_CASE("What processes call themselves can't command a terminal", "[sysmon]") {
    CHECK(printable("plain name") == "plain name");
    CHECK(printable("\x1b[2J\a\r\n") == "?[2J???");
    CHECK(printable("\x7f") == "?");
    CHECK(printable("ls\0-l\0\0\0"s) == "ls -l");
    CHECK(printable("\xc2\x9b"
                    "31m") == "??31m");
    CHECK(printable("") == "");
    CHECK(printable("\0\0"s) == "");
}

TEST_CASE("A name that fills its array, and one that is longer, keep within it", "[sysmon]") {
    Name name{};
    CHECK(text_of(name).empty());
    name.fill('x');
    CHECK(text_of(name) == std::string(32, 'x'));
    name[3] = '\0';
    CHECK(text_of(name) == "xxx");
}

TEST_CASE("A reading of this machine has cores, memory and processes, and each share is one", "[sysmon]") {
    Meter meter;
    for (int i = 0; i < 3; ++i) {  // the second and third one begin where the last one ended, however soon
        const auto reading = meter.read();
        CHECK(reading.load.memory.total > 0);
        CHECK(reading.load.memory.available <= reading.load.memory.total);
        CHECK(reading.load.milliseconds > 0);
        CHECK_FALSE(reading.cores.empty());
        for (const Core& core : reading.cores) CHECK((core.busy >= 0 && core.busy <= 1));
        CHECK((reading.load.busy >= 0 && reading.load.busy <= 1));
        REQUIRE(reading.load.processes > 0);
        CHECK(reading.load.busiest_count == std::min<std::size_t>(reading.load.processes, reading.load.busiest.size()));
        for (std::size_t at = 0; at < reading.load.busiest_count; ++at) {
            CHECK(reading.load.busiest[at].pid > 0);
            CHECK(reading.load.busiest[at].cores >= 0);
        }
    }
}

TEST_CASE("This process is found under the odd name it has taken, with its command and descriptors", "[sysmon]") {
    char before[16];
    REQUIRE(::prctl(PR_GET_NAME, before) == 0);
    REQUIRE(::prctl(PR_SET_NAME, "a) R 1 (b\n") == 0);
    const int opened = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    const auto found = read_process(::getpid(), ::geteuid());
    ::close(opened);
    ::prctl(PR_SET_NAME, before);

    REQUIRE(found);
    const Details& details = found->details;
    CHECK(text_of(details.name) == "a) R 1 (b\n");
    CHECK(details.pid == ::getpid());
    CHECK(details.parent == ::getppid());
    CHECK(details.threads >= 1);
    CHECK(details.resident > 0);
    CHECK_FALSE(details.descriptors_hidden);
    CHECK(details.descriptors >= details.descriptors_listed);
    REQUIRE(details.command_size <= found->text.size());
    CHECK(details.command_size > 0);
    const auto line = std::to_string(opened) + " -> /dev/null\0"s;
    CHECK(found->text.find(line, details.command_size) != std::string::npos);
}

TEST_CASE("Another user's caller doesn't learn a process's descriptors", "[sysmon]") {
    const auto found = read_process(::getpid(), ::geteuid() + 1);
    REQUIRE(found);
    CHECK(found->details.descriptors_hidden == true);
    CHECK(found->details.descriptors == 0);
    CHECK(found->text.size() == found->details.command_size);
}

TEST_CASE("A process that isn't there, and a number that can't be one, are no such process", "[sysmon]") {
    const auto pid = GENERATE(0, -1, 2147483647, -2147483647);
    const auto found = read_process(pid, 0);
    REQUIRE_FALSE(found);
    CHECK(found.error() == std::errc::no_such_process);
}

TEST_CASE("A process that has ended and wasn't waited for has a name and nothing else", "[sysmon]") {
    char name[] = "true";
    char* argv[] = {name, nullptr};
    pid_t pid = 0;
    REQUIRE(::posix_spawnp(&pid, name, nullptr, nullptr, argv, environ) == 0);
    siginfo_t info{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) == 0);
    const auto found = read_process(pid, ::geteuid());
    REQUIRE(::waitpid(pid, nullptr, 0) == pid);

    REQUIRE(found);
    CHECK(found->details.state == 'Z');
    CHECK(text_of(found->details.name) == "true");
    CHECK(found->details.command_size == 0);
    CHECK(found->details.resident == 0);
    CHECK(found->text.empty());
    CHECK(read_process(pid, ::geteuid()).has_value() == false);
}
