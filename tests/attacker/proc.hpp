// SPDX-License-Identifier: BSL-1.0
// proc.hpp: what the kernel says of another process.
#pragma once

#include <cstdlib>
#include <dirent.h>
#include <fstream>
#include <string>
#include <sys/stat.h>
#include <sys/types.h>

namespace attacker {

inline bool has_number(pid_t process, unsigned number) {
    struct stat status {};
    return ::lstat(("/proc/" + std::to_string(process) + "/fd/" + std::to_string(number)).c_str(), &status) == 0;
}

inline int descriptors_of(pid_t process) {
    int count = -2;  // . and ..
    if (DIR* const directory = ::opendir(("/proc/" + std::to_string(process) + "/fd").c_str())) {
        while (::readdir(directory) != nullptr) ++count;
        ::closedir(directory);
    }
    return count;
}

/// The RLIMIT_NOFILE with which it has room for so many more: numbers that are free below it.
inline unsigned limit_with_room(pid_t process, unsigned room) {
    unsigned limit = 0;
    for (unsigned free = 0; free < room || has_number(process, limit); ++limit) free += !has_number(process, limit);
    return limit;
}

/// Of shared memory without a name.
inline int mappings_of(pid_t process) {
    std::ifstream maps("/proc/" + std::to_string(process) + "/maps");
    int count = 0;
    for (std::string line; std::getline(maps, line);) count += line.find("memfd:") != line.npos;
    return count;
}

inline long kib_of(pid_t process, const std::string& what) {
    std::ifstream status("/proc/" + std::to_string(process) + "/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with(what)) return std::atol(line.c_str() + what.size());
    return -1;
}

}  // namespace attacker
