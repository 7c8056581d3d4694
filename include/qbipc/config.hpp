// SPDX-License-Identifier: BSL-1.0
// config.hpp: what the library needs of the compiler and the platform, and the few things a build may set.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

static_assert(__cplusplus >= 202002L, "qbipc needs C++20: compile with -std=c++20 or newer (Meson: cpp_std=c++20)");

#ifndef __linux__
#error "qbipc is for Linux: abstract sockets, memfds and peer credentials have no counterpart elsewhere"
#endif
#ifndef __cpp_exceptions
#error "qbipc needs exceptions: Boost.Interprocess reports with them, and qbipc turns them into a Result"
#endif

static_assert(std::atomic_ref<std::uint64_t>::is_always_lock_free,
              "qbipc shares 64-bit words between processes: this target has no lock-free 64-bit atomics");

/// The file whose existence switches new connections to filesystem sockets (Options::flag_file overrides it).
#ifndef QBIPC_FORCE_FILESYSTEM_SOCKETS
#define QBIPC_FORCE_FILESYSTEM_SOCKETS "/etc/libqb/force-filesystem-sockets"
#endif
