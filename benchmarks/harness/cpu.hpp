// SPDX-License-Identifier: BSL-1.0
// cpu.hpp: which processor a process runs on, and how a loop tells it that it spins.
#pragma once

#include <sched.h>

#include "setup.hpp"

namespace bench {

/// Every thread that the caller makes from here on stays there, too.
inline void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(cpu), &set);
    if (::sched_setaffinity(0, sizeof set, &set) != 0) unavailable("there is no such cpu, or it isn't ours");
}

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    asm volatile("yield" ::: "memory");
#endif
}

}  // namespace bench
