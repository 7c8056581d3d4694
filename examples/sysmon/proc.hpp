// SPDX-License-Identifier: BSL-1.0
// proc.hpp: samples /proc: the machine's load between two readings, and all there is to know of one process.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "messages.hpp"
#include "proc_text.hpp"

namespace sysmon {

struct Reading {
    Load load;
    std::vector<Core> cores;
};

/// Reads the machine's load. Each reading is about the time since the one before; the first, about the time since boot.
class Meter {
public:
    Reading read();

private:
    struct Identity {
        std::int32_t pid;
        std::uint64_t started;  // a pid is used again; both together are not
        auto operator<=>(const Identity&) const = default;
    };

    void read_processors(Reading& reading);
    void read_processes(Reading& reading);

    ProcessorStat processors_;
    std::map<Identity, std::uint64_t> process_ticks_;
    double uptime_ = 0;
};

struct ProcessReading {
    Details details;
    std::string text;  ///< the tail that belongs to it
};

/// All there is to know of one process, but for its descriptors where `asker` is neither root nor its owner: a service
/// that runs as root sees more than its callers may.
qbipc::Result<ProcessReading> read_process(std::int32_t pid, uid_t asker);

}  // namespace sysmon
