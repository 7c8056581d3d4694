// SPDX-License-Identifier: BSL-1.0
// commands.hpp: the verbs of the command line; each gives the process's exit status.
#pragma once

#include <cstdint>
#include <string>

namespace sysmon {

/// The transport is part of a type: the choice made at run time picks among programs that the compiler made.
enum class Transport { shm, unix_socket };

struct Where {
    Transport transport = Transport::shm;
    std::string name = "sysmon";
};

struct Watch {
    std::uint32_t interval = 1000;  ///< milliseconds
    std::uint64_t count = 0;        ///< samples to show; 0: until the service or the user ends it
};

int serve(const Where& where);

int snapshot(const Where& where);
int process(const Where& where, std::int32_t pid);
int watch(const Where& where, const Watch& how);
int renice(const Where& where, std::int32_t pid, std::int32_t nice);

}  // namespace sysmon
