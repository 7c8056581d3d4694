# SPDX-License-Identifier: BSL-1.0
"""What fails once: allocations, system calls; and that the seams cost nothing."""
from fault import Fault, Program

WRAPPED = ("-O0", "-Wl,--wrap=aligned_alloc", "-Wl,--wrap=mmap", "-Wl,--wrap=mmap64")
ALLOCATIONS = Program(("faults/allocations.cpp", "faults/failing_memory.cpp"), ("--first",), WRAPPED, seconds=240)
SYSTEM_CALLS = Program(("faults/system_calls.cpp",), ("--first",), ("-O0",), seconds=240)

FAULTS = [
    Fault(
        "a bell that the kernel had no memory for is not rung again",
        "detail/ring_bell.hpp",
        "if (sent != -ENOBUFS && sent != -ENOMEM) return !means_gone(sent);",
        "return !means_gone(sent);",
        SYSTEM_CALLS,
    ),
    Fault(
        "a descriptor of E leaks where the pair couldn't be made deaf",
        "detail/greeting.hpp",
        "deaf < 0) return fail_system(-deaf);",
        "deaf < 0) {\n        made.service.release();\n        return fail_system(-deaf);\n    }",
        SYSTEM_CALLS,
    ),
    Fault(
        "a long message for which there is no memory is an exception",
        "detail/message_receiver.hpp",
        "        } catch (const std::bad_alloc&) {\n            over_quota_ = true;\n            return false;\n",
        "        } catch (const std::bad_alloc&) {\n            throw;\n",
        ALLOCATIONS,
    ),
    Fault(
        "the set of hot sessions gets its memory while it is used",
        "detail/hot_set.hpp",
        "HotSet() { sessions_.reserve(most); }",
        "HotSet() = default;",
        ALLOCATIONS,
    ),
    Fault(
        "a call counts as settled before its answer's duty could be made",
        "request.hpp",
        "        Answer<Reply> answer(connection_.defer(message_.header));\n        settled_ = true;  // not before: what throws has to be answered\n        return answer;",
        "        settled_ = true;\n        return Answer<Reply>(connection_.defer(message_.header));",
        ALLOCATIONS,
    ),
    Fault(
        "a thread that has no memory to say that an answer failed says nothing",
        "answer.hpp",
        "            link->lost.store(true, std::memory_order_release);\n",
        "",
        ALLOCATIONS,
    ),
    Fault(
        "a session has no place kept in the list of those that end",
        "detail/service_loop.hpp",
        "            loop.departures_.make_room(sessions);\n",
        "",
        ALLOCATIONS,
    ),
]
