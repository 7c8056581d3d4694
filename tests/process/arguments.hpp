// SPDX-License-Identifier: BSL-1.0
// What the helper "peer" is told: words "key=value", and lines on its stdin.
#pragma once

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <dirent.h>
#include <fstream>
#include <grp.h>
#include <map>
#include <poll.h>
#include <sched.h>
#include <sstream>
#include <string>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

#include <qbipc/address.hpp>
#include <qbipc/options.hpp>

namespace qbipc::testing {

class Arguments {
public:
    Arguments(int argc, char** argv) {
        for (int i = 0; i < argc; ++i) {
            const std::string word = argv[i];
            const auto equals = word.find('=');
            if (equals != word.npos)
                values_[word.substr(0, equals)] = word.substr(equals + 1);
            else
                values_.insert_or_assign(word, std::string(1, '1'));
        }
    }
    bool has(const std::string& key) const { return values_.count(key) != 0; }
    std::string text(const std::string& key) const { return has(key) ? values_.at(key) : std::string(); }
    unsigned long number(const std::string& key, unsigned long otherwise = 0) const {
        return has(key) ? std::strtoul(values_.at(key).c_str(), nullptr, 0) : otherwise;
    }

private:
    std::map<std::string, std::string> values_;
};

/// NAME, path:FILE, or fd:NUMBER.
inline Address address_of(const std::string& text) {
    if (text.starts_with("path:")) return Address::path(text.substr(5));
    if (text.starts_with("fd:")) return Address::listening_descriptor(std::atoi(text.c_str() + 3));
    return Address(text);
}

/// Becomes who the arguments say: user=, group=, groups=1,2 (root's to ask for), nobody; limits: nofile=, file_size=,
/// locked=.
inline bool become(const Arguments& arguments) {
    if (arguments.has("nofile")) {
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = arguments.number("nofile");
        if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
    }
    if (arguments.has("user")) {
        const auto user = static_cast<uid_t>(arguments.number("user"));
        std::vector<gid_t> groups;
        std::istringstream list(arguments.text("groups"));
        for (std::string one; std::getline(list, one, ',');) groups.push_back(static_cast<gid_t>(std::stoul(one)));
        if (::setgroups(groups.size(), groups.data()) != 0) return false;
        const auto group = static_cast<gid_t>(arguments.number("group", user));
        if (::setresgid(group, group, group) != 0 || ::setresuid(user, user, user) != 0) return false;
        ::prctl(PR_SET_DUMPABLE, 1);  // its /proc is its own again
    }
    // A user namespace in which nobody is mapped: all ids, its own too, read as the overflow id there.
    if (arguments.has("nobody") && ::unshare(CLONE_NEWUSER) != 0) return false;
    if (arguments.has("file_size")) {
        const rlimit limit{arguments.number("file_size"), arguments.number("file_size")};
        if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return false;
    }
    if (arguments.has("locked")) {
        const rlimit limit{arguments.number("locked"), arguments.number("locked")};
        if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0) return false;
    }
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // forgotten when the user changes
    return true;
}

/// Which kind of pages a program's lanes are to have: pages=locked.
inline Pages pages_of(const Arguments& arguments) {
    return arguments.text("pages") == "locked" ? Pages::locked : Pages::touched;
}

/// Lines from stdin, together with another descriptor to wait for.
class Lines {
public:
    /// A line; false: stdin has ended, or `also` is readable.
    bool next(std::string& line, int also = -1) {
        for (;;) {
            if (take(line)) return true;
            pollfd both[]{{0, POLLIN, 0}, {also, POLLIN, 0}};
            if (::poll(both, 2, -1) < 0 && errno != EINTR) return false;
            if (both[1].revents != 0) return false;
            if (both[0].revents != 0 && !fill()) return false;
        }
    }
    /// Reads once; false at the end.
    bool fill() {
        char buffer[512];
        const auto got = ::read(0, buffer, sizeof buffer);
        if (got > 0) read_.append(buffer, static_cast<std::size_t>(got));
        return got > 0 || (got < 0 && errno == EINTR);
    }
    bool take(std::string& line) {
        const auto newline = read_.find('\n');
        if (newline == read_.npos) return false;
        line = read_.substr(0, newline);
        read_.erase(0, newline + 1);
        return true;
    }

private:
    std::string read_;
};

/// Open descriptors, the one that counts them not included.
inline int open_descriptors(const std::string& process = "self") {
    int count = -1;
    if (DIR* const directory = ::opendir(("/proc/" + process + "/fd").c_str())) {
        while (const dirent* const entry = ::readdir(directory)) count += entry->d_name[0] != '.';
        ::closedir(directory);
    }
    return count;
}

/// Mappings of sessions' memory: the library's names for its memory files.
inline int session_mappings(const std::string& process = "self") {
    std::ifstream maps("/proc/" + process + "/maps");
    int count = 0;
    for (std::string line; std::getline(maps, line);) count += line.find("memfd:qbipc") != line.npos;
    return count;
}

/// How often the kernel put a process's main thread to sleep until something happened.
inline long sleeps(const std::string& process = "self") {
    std::ifstream status("/proc/" + process + "/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("voluntary_ctxt_switches:")) return std::atol(line.c_str() + 24);
    return -1;
}

}  // namespace qbipc::testing
