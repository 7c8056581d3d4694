// SPDX-License-Identifier: BSL-1.0
// proc.cpp: samples /proc. Processes may vanish between any two lines of this file; then they are left out.
#include "proc.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

namespace sysmon {
namespace {

constexpr std::size_t longest_command = std::size_t{64} * 1024;
constexpr std::uint32_t most_descriptors = 1000;

class Descriptor {
public:
    explicit Descriptor(int fd) : fd_(fd) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    int get() const { return fd_; }

private:
    int fd_;
};

/// A file's text, at most `limit` bytes of it. Files of /proc don't know their size.
qbipc::Result<std::string> read_text(int directory, const char* name, std::size_t limit = std::size_t{1} << 20) {
    const Descriptor file(::openat(directory, name, O_RDONLY | O_CLOEXEC));
    if (file.get() < 0) return qbipc::fail_system(errno);
    std::string text;
    while (text.size() < limit) {
        char block[4096];
        const auto got = ::read(file.get(), block, std::min(sizeof block, limit - text.size()));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return qbipc::fail_system(errno);
        if (got == 0) break;
        text.append(block, static_cast<std::size_t>(got));
    }
    return text;
}
qbipc::Result<std::string> read_text(const char* path) { return read_text(AT_FDCWD, path); }

/// Calls `entry` with the name of each entry that is a number, and with the directory's descriptor.
template <class Entry>
qbipc::Result<void> each_number(int parent, const char* name, Entry entry) {
    const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return qbipc::fail_system(errno);
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(fd), &::closedir);  // owns fd from here on
    if (!directory) return qbipc::fail_system(errno);
    while (const dirent* found = ::readdir(directory.get()))
        if (Words(found->d_name).number<std::int32_t>()) entry(fd, found->d_name);
    return {};
}

void copy_name(std::string_view from, Name& to) {
    to.fill('\0');
    std::copy_n(from.begin(), std::min(from.size(), to.size()), to.begin());
}

std::uint64_t bytes_of(std::uint64_t pages) {
    static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    return pages * page;
}

double seconds_of(std::uint64_t ticks) {
    static const auto per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
    return static_cast<double>(ticks) / per_second;
}

double seconds_since_boot() {
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

/// Appends the open descriptors of the process whose directory this is; false where this user may not see them.
bool list_descriptors(int process, ProcessReading& reading) {
    Details& details = reading.details;
    const auto listed = each_number(process, "fd", [&](int directory, const char* number) {
        ++details.descriptors;
        if (details.descriptors_listed == most_descriptors) return;
        char target[512];
        const auto size = ::readlinkat(directory, number, target, sizeof target);
        if (size < 0) return;  // closed meanwhile
        reading.text.append(number).append(" -> ").append(target, static_cast<std::size_t>(size)) += '\0';
        ++details.descriptors_listed;
    });
    return listed.has_value();
}

}  // namespace

Reading Meter::read() {
    Reading reading;
    reading.load.milliseconds =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    read_processors(reading);
    read_processes(reading);

    if (double averages[3]; ::getloadavg(averages, 3) == 3)
        std::transform(averages, averages + 3, reading.load.averages.begin(),
                       [](double x) { return static_cast<float>(x); });
    if (const auto text = read_text("/proc/meminfo"))
        reading.load.memory = {parse_memory(*text, "MemTotal"), parse_memory(*text, "MemAvailable"),
                               parse_memory(*text, "SwapTotal"), parse_memory(*text, "SwapFree")};
    return reading;
}

void Meter::read_processors(Reading& reading) {
    const auto text = read_text("/proc/stat");
    auto now = text ? parse_processor_stat(*text) : std::nullopt;
    if (!now) return;

    reading.load.busy = busy_between(processors_.all, now->all);
    for (const CoreTicks& core : now->cores) {
        const auto before = std::find_if(processors_.cores.begin(), processors_.cores.end(),
                                         [&](const CoreTicks& other) { return other.number == core.number; });
        reading.cores.push_back(
            {core.number, busy_between(before == processors_.cores.end() ? Ticks{} : before->ticks, core.ticks)});
    }
    processors_ = std::move(*now);
}

void Meter::read_processes(Reading& reading) {
    std::vector<Busy> all;
    std::map<Identity, std::uint64_t> ticks_now;
    const double uptime = seconds_since_boot(), elapsed = std::max(uptime - uptime_, 0.001);

    (void)each_number(AT_FDCWD, "/proc", [&](int proc, const std::string& pid) {
        const auto text = read_text(proc, (pid + "/stat").c_str());
        const auto stat = text ? parse_process_stat(*text) : std::nullopt;
        if (!stat) return;  // it has ended, or this user may not see it

        const Identity identity{stat->pid, stat->started};
        const auto before = process_ticks_.find(identity);
        const auto ticks_before = before == process_ticks_.end() ? 0 : before->second;
        const auto ticks = stat->ticks - std::min(stat->ticks, ticks_before);
        ticks_now.emplace(identity, stat->ticks);

        Busy busy;
        busy.pid = stat->pid;
        busy.cores = static_cast<float>(seconds_of(ticks) / elapsed);
        busy.resident = bytes_of(stat->resident_pages);
        busy.state = stat->state;
        copy_name(stat->name, busy.name);
        all.push_back(busy);
    });
    process_ticks_ = std::move(ticks_now);
    uptime_ = uptime;

    const auto count = std::min(all.size(), reading.load.busiest.size());
    const auto last = all.begin() + static_cast<std::ptrdiff_t>(count);
    std::partial_sort(all.begin(), last, all.end(), [](const Busy& a, const Busy& b) {
        return a.cores != b.cores ? a.cores > b.cores : a.resident > b.resident;
    });
    std::copy(all.begin(), last, reading.load.busiest.begin());
    reading.load.busiest_count = static_cast<std::uint32_t>(count);
    reading.load.processes = static_cast<std::uint32_t>(all.size());
}

qbipc::Result<ProcessReading> read_process(std::int32_t pid, uid_t asker) {
    const auto no_such_process = std::make_error_code(std::errc::no_such_process);

    // The open directory stands for this one process, even when its number is used again.
    const Descriptor process(::open(("/proc/" + std::to_string(pid)).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct stat owner {};
    if (process.get() < 0 || ::fstat(process.get(), &owner) != 0) return qbipc::fail(no_such_process);
    const auto text = read_text(process.get(), "stat");
    const auto stat = text ? parse_process_stat(*text) : std::nullopt;
    if (!stat) return qbipc::fail(no_such_process);

    ProcessReading reading;
    Details& details = reading.details;
    details.pid = stat->pid;
    details.parent = stat->parent;
    details.uid = owner.st_uid;
    details.nice = stat->nice;
    details.threads = stat->threads;
    details.resident = bytes_of(stat->resident_pages);
    details.cpu_seconds = seconds_of(stat->ticks);
    details.state = stat->state;
    copy_name(stat->name, details.name);

    if (auto command = read_text(process.get(), "cmdline", longest_command)) reading.text = std::move(*command);
    details.command_size = static_cast<std::uint32_t>(reading.text.size());

    const auto allowed = [&] { return asker == 0 || asker == owner.st_uid; };
    const bool listed = allowed() && list_descriptors(process.get(), reading);
    // Asked again: it may have become another user's by starting a set-user-id program in between.
    if (!listed || ::fstat(process.get(), &owner) != 0 || !allowed()) {
        reading.text.resize(details.command_size);
        details.descriptors = details.descriptors_listed = 0;
        details.descriptors_hidden = true;
    }
    return reading;
}

}  // namespace sysmon
