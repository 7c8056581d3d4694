// SPDX-License-Identifier: BSL-1.0
// footprint.hpp: what this process holds of what the library makes: descriptors, and mappings of shared areas.
#pragma once

#include <cstddef>
#include <dirent.h>
#include <fstream>
#include <string>

namespace qbipc::testing {

struct Footprint {
    std::size_t descriptors = 0;
    std::size_t mappings = 0;

    static Footprint now() {
        Footprint footprint;
        if (DIR* const directory = ::opendir("/proc/self/fd")) {
            while (const dirent* const entry = ::readdir(directory))
                if (entry->d_name[0] != '.') ++footprint.descriptors;
            ::closedir(directory);
            --footprint.descriptors;  // the directory's own
        }
        std::ifstream maps("/proc/self/maps");
        for (std::string line; std::getline(maps, line);)
            if (line.find("memfd:qbipc") != std::string::npos) ++footprint.mappings;
        return footprint;
    }
    std::string text() const {
        return std::to_string(descriptors) + " descriptors, " + std::to_string(mappings) + " mappings";
    }
    friend bool operator==(const Footprint&, const Footprint&) = default;
};

}  // namespace qbipc::testing
