// SPDX-License-Identifier: BSL-1.0
#include "qbipc/version.hpp"

#include <string>

#include "support/catch.hpp"

TEST_CASE("the version's macros agree with the build system", "[version]") {
    CHECK(std::to_string(QBIPC_VERSION_MAJOR) + '.' + std::to_string(QBIPC_VERSION_MINOR) + '.' +
              std::to_string(QBIPC_VERSION_PATCH) ==
          QBIPC_TEST_BUILD_VERSION);
}
