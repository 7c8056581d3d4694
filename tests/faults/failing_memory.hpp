// SPDX-License-Identifier: BSL-1.0
// failing_memory.hpp: this program's operator new, whose N-th call in a thread fails; and malloc's relatives, where
// they are called by name.
#pragma once

#include <cstdint>

namespace faults {

/// What becomes of a thread's allocations, counted from 1 on from when the plan was made.
struct MemoryPlan {
    std::uint64_t fails_at = 0;  ///< 0: none
    bool and_after = false;      ///< all later ones fail too
    std::uint64_t counted = 0;
    std::uint64_t failed = 0;
    unsigned held_up = 1;  ///< not 0: nothing is counted
};

/// The calling thread's.
MemoryPlan& memory_plan() noexcept;

/// From here to the end of the scope the calling thread's allocations are counted, and fail as planned.
class Counted {
public:
    Counted() noexcept { --memory_plan().held_up; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    ~Counted() { ++memory_plan().held_up; }
};
/// The opposite: what the test itself allocates within.
class NotCounted {
public:
    NotCounted() noexcept { ++memory_plan().held_up; }
    NotCounted(const NotCounted&) = delete;
    NotCounted& operator=(const NotCounted&) = delete;
    ~NotCounted() { --memory_plan().held_up; }
};

/// Blocks that operator new gave and nobody gave back, of all threads.
std::int64_t live_blocks() noexcept;

}  // namespace faults
