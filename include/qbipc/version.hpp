// SPDX-License-Identifier: BSL-1.0
// The version of the library, and the one check of the language version that users' compilers meet first.
#pragma once

static_assert(__cplusplus >= 202002L, "qbipc needs C++20: compile with -std=c++20 or later");

// meson.build has the version; `./dev check` compares.
#define QBIPC_VERSION_MAJOR 0
#define QBIPC_VERSION_MINOR 1
#define QBIPC_VERSION_PATCH 0
