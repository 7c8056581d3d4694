// SPDX-License-Identifier: BSL-1.0
// scratch.hpp: a directory for the sockets and files of peers that need some.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <unistd.h>

#include "setup.hpp"

namespace bench {

/// Made at the first call in the process that the user started, before any fork: main() sees to that.
inline const std::string& scratch_directory() {
    static const std::string directory = [] {
        char name[] = "/tmp/qbipc-bench-XXXXXX";
        expect(::mkdtemp(name) != nullptr, "mkdtemp");
        return std::string(name);
    }();
    return directory;
}

/// Removes it at the end of the scope that it is in, in the process that made it.
class ScratchRemover {
public:
    ScratchRemover() { (void)scratch_directory(); }
    ScratchRemover(const ScratchRemover&) = delete;
    ScratchRemover& operator=(const ScratchRemover&) = delete;
    ~ScratchRemover() {
        std::error_code ignored;
        if (::getpid() == owner_) std::filesystem::remove_all(scratch_directory(), ignored);
    }

private:
    pid_t owner_ = ::getpid();
};

}  // namespace bench
