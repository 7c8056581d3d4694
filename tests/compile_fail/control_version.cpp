// SPDX-License-Identifier: BSL-1.0
#include <qbipc/version.hpp>

int main() { return QBIPC_VERSION_MAJOR; }
