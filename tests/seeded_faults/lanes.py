# SPDX-License-Identifier: BSL-1.0
"""What a lane's two ends check and count, and the bells beside it."""
from fault import Cases, Fault, Program, Script

READER, WRITER = "detail/lane_reader.hpp", "detail/lane_writer.hpp"

FAULTS = [
    Fault(
        "a length is read twice",
        READER,
        "frame.header.assign_words(first, ",
        "frame.header.assign_words(Memory::load_relaxed(word(at)), ",
        Cases("detail/lane.cpp", "each word of the peer's is loaded once for a frame, and only that load counts"),
    ),
    Fault(
        "a bounds check adds before it compares",
        READER,
        "if (span > shape_.largest || at + span > sure_ || kind == Kind{}",
        "if (static_cast<std::uint32_t>(at + span) > sure_ || kind == Kind{}",
        Cases("detail/lane_limits.cpp", "each pair of boundary values in a frame's words is read as it means"),
    ),
    Fault(
        "a frame may be as large as the lane",
        READER,
        "span > shape_.largest || ",
        "",
        Cases("detail/lane_limits.cpp", "every single and double bit flip of a frame's first line is read as it means"),
    ),
    Fault(
        "a frame may end behind the lane",
        READER,
        "at + span > sure_ || ",
        "",
        Cases("detail/lane.cpp", "a first word that no writer publishes ends the lane, and nothing more comes"),
    ),
    Fault(
        "wrap markers are followed for as long as there are some",
        READER,
        "if (first == wrap_marker && at != 0)",
        "while (first == wrap_marker)",
        Cases("detail/lane.cpp", "a marker at the start, or two in a row, ends the lane"),
        hangs=True,
    ),
    Fault(
        "a lane goes on after a violation",
        READER,
        "        violated_ = true;\n        stop_ = tail_;",
        "        violated_ = true;",
        Cases("detail/lane.cpp", "a first word that no writer publishes ends the lane, and nothing more comes"),
    ),
    Fault(
        "a peer that has hung up is heard for as long as it goes on",
        READER,
        "if (stop_ == for_ever) stop_ = tail_ + shape_.size;",
        "",
        Cases("detail/lane.cpp", "after a hang-up all that was sent is given, and a peer that goes on gains no more than a lap"),
    ),
    Fault(
        "what was sent before a hang-up is dropped",
        READER,
        "if (stop_ == for_ever) stop_ = tail_ + shape_.size;",
        "stop_ = tail_;",
        Cases("detail/lane.cpp", "after a hang-up all that was sent is given, and a peer that goes on gains no more than a lap"),
    ),
    Fault(
        "after a hang-up a marker leads past the lap",
        READER,
        "            if (rest > stop_ - tail_) return nothing();\n",
        "",
        Cases("detail/lane.cpp", "after a hang-up no marker leads past the lap"),
    ),
    Fault(
        "places are counted in 32 bits",
        READER,
        "        tail_ += span_;\n",
        "        tail_ = static_cast<std::uint32_t>(tail_ + span_);\n",
        Cases("detail/lane_limits.cpp", "a million frames pass over 2^32 and 2^63 as over any number"),
    ),
    Fault(
        "a credit may be ahead of what was sent",
        WRITER,
        "credit > head_ || ",
        "",
        Cases("detail/lane_limits.cpp", "each pair of boundary values as credit, before and after, is taken or refused by its bounds"),
    ),
    Fault(
        "a credit may go back",
        WRITER,
        "credit < limit_ - shape_.size || ",
        "",
        Cases("detail/lane_limits.cpp", "each pair of boundary values as credit, before and after, is taken or refused by its bounds"),
    ),
    Fault(
        "a credit may be of half a line",
        WRITER,
        " || credit % line != 0",
        "",
        Cases("detail/lane.cpp", "a credit that no reader shows ends the lane for its writer"),
    ),
    Fault(
        "memory is written before it is populated",
        WRITER,
        "easy_end_ = std::min(turn_, writable);",
        "easy_end_ = turn_;\n        (void)writable;",
        Cases("detail/lane.cpp", "a writer touches no memory before it is populated"),
    ),
    Fault(
        "a marker waits until the frame behind it fits, too",
        WRITER,
        "if (!credited(rest + line)) return nullptr;",
        "if (!credited(rest + span + line)) return nullptr;",
        Cases("detail/lane.cpp", "a marker goes alone as soon as it fits, once"),
    ),
    Fault(
        "a frame is visible before its second word is",
        WRITER,
        """        Memory::store_relaxed(first + 1, header.second_word());
        if (head_ != cleared_) Memory::store_relaxed(word(head_ & mask_), 0);
        Memory::store_release(first, header.first_word());""",
        """        if (head_ != cleared_) Memory::store_relaxed(word(head_ & mask_), 0);
        Memory::store_release(first, header.first_word());
        Memory::store_relaxed(first + 1, header.second_word());""",
        Program(("schedules/schedules.cpp",), ("--all", "0", "--deaths", "0", "--seed", "1", "--lanes", "400000", "--ends", "400000"), ("-O1", "-DNDEBUG")),
    ),
    Fault(
        "what is copied in may be read again behind the check",
        "memory.hpp",
        "        if (size != 0) std::memcpy(to, from, size);\n        std::atomic_signal_fence(std::memory_order_seq_cst);\n",
        "        if (size != 0) std::memcpy(to, from, size);\n",
        Script("models/copy_in_race.py"),
    ),
    Fault(
        "a sleeper's flag is read twice",
        "detail/bell.hpp",
        "const std::uint64_t bell = value & 3;",
        "const std::uint64_t bell = Memory::load_relaxed(flag_) & 3;",
        Cases("detail/bell.cpp", "a flag is read once, so that the bell that was checked is the one that rings"),
    ),
    Fault(
        "a flag that names no bell is believed",
        "detail/bell.hpp",
        "        if (bell == 0 || bell == 3) return Bell::none;  // no such bell: the peer cheats itself only\n",
        "",
        Cases("detail/bell.cpp", "a flag that names no bell is not rung"),
    ),
]
