// SPDX-License-Identifier: BSL-1.0
// scratch.hpp: a directory for the sockets and files of peers that need some.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "setup.hpp"

namespace bench {

/// The same for both sides, made at the first call. It goes with the run; where that fails, with the runner's
/// directory, which the environment names.
inline std::filesystem::path scratch_path(const Setup& setup) {
    const char* const runners = std::getenv("QBIPC_BENCH_SCRATCH");
    return std::filesystem::path(runners != nullptr ? runners : "/tmp") / setup.address;
}

inline std::string scratch_directory(const Setup& setup) {
    const auto path = scratch_path(setup);
    std::filesystem::create_directories(path);
    return path.string();
}

class ScratchRemover {
public:
    explicit ScratchRemover(const Setup& setup) : path_(scratch_path(setup)) {}
    ScratchRemover(const ScratchRemover&) = delete;
    ScratchRemover& operator=(const ScratchRemover&) = delete;
    ~ScratchRemover() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

private:
    std::filesystem::path path_;
};

}  // namespace bench
