# SPDX-License-Identifier: BSL-1.0
"""Orderings of lanes, bells and ends: found by schedules on a weak memory, within seconds."""
from fault import Fault, Program

SCHEDULES = Program(
    ("schedules/schedules.cpp",),
    ("--all", "0", "--deaths", "0", "--seed", "1", "--lanes", "400000", "--ends", "400000"),
    flags=("-O1", "-DNDEBUG"),
    seconds=200,
)

# What is wrong, the header in detail/, what stands there, what would be wrong.
ORDERINGS = [
    (
        "no clear",
        "lane_writer",
        "if (head_ != cleared_) Memory::store_relaxed(word(head_ & mask_), 0);",
        "",
    ),
    (
        "clear after commit",
        "lane_writer",
        """        if (head_ != cleared_) Memory::store_relaxed(word(head_ & mask_), 0);
        Memory::store_release(first, header.first_word());""",
        """        Memory::store_release(first, header.first_word());
        if (head_ != cleared_) Memory::store_relaxed(word(head_ & mask_), 0);""",
    ),
    (
        "cleared ahead and trusted for ever",
        "lane_writer",
        "if (head_ + span != cleared_) cleared_ = 0;",
        "",
    ),
    (
        "cleared ahead without credit",
        "lane_writer",
        " || head_ + span + line > limit_) return;",
        ") return;",
    ),
    (
        "commit relaxed",
        "lane_writer",
        "store_release(first, header",
        "store_relaxed(first, header",
    ),
    (
        "wrap marker relaxed",
        "lane_writer",
        "store_release(word(at), wrap_marker)",
        "store_relaxed(word(at), wrap_marker)",
    ),
    (
        "start not cleared on wrapping",
        "lane_writer",
        "Memory::store_relaxed(word(0), 0);",
        "",
    ),
    (
        "line behind the frame not counted",
        "lane_writer",
        "if (!credited(span + line)) return nullptr;",
        "if (!credited(span)) return nullptr;",
    ),
    (
        "marker's lines not counted",
        "lane_writer",
        "if (!credited(rest + line)) return nullptr;",
        "",
    ),
    (
        "window's start not credited",
        "lane_writer",
        "&& drained() && credited(rest + span + line)) {",
        "&& look_at_credit()) {",
    ),
    (
        "wrap marker twice",
        "lane_writer",
        """        head_ += shape_.size - at;
""",
        """        Memory::store_release(word(0), wrap_marker);
        head_ += shape_.size - at;
""",
    ),
    (
        "credit relaxed at once",
        "lane_reader",
        """            return show_credit();
        Memory::store_release(credit_, tail_);""",
        """            return show_credit();
        Memory::store_relaxed(credit_, tail_);""",
    ),
    (
        "credit relaxed at a step",
        "lane_reader",
        """announced_ = tail_;
        Memory::store_release""",
        """announced_ = tail_;
        Memory::store_relaxed""",
    ),
    (
        "credit for a frame that is still read",
        "lane_reader",
        """        span_ = span;
""",
        """        span_ = span;
        Memory::store_release(credit_, tail_ + span);
""",
    ),
    (
        "credit wakes nobody",
        "lane_reader",
        """        fresh_ = true;
""",
        "",
    ),
    (
        "word loaded relaxed",
        "lane_reader",
        "std::uint64_t first = Memory::load_acquire",
        "std::uint64_t first = Memory::load_relaxed",
    ),
    (
        "word behind a marker loaded relaxed",
        "lane_reader",
        "            first = Memory::load_acquire",
        "            first = Memory::load_relaxed",
    ),
    (
        "credit loaded relaxed",
        "lane_writer",
        "Memory::load_acquire(credit_)",
        "Memory::load_relaxed(credit_)",
    ),
    (
        "rung for each frame",
        "bell",
        """        if (value == rung) return Bell::none;
""",
        "",
    ),
    (
        "flag not put up again after a bell",
        "bell",
        """        if (value == now_) return;
""",
        """        if (value == now_ || (value != 0 && value >> 2 > 1)) return;
""",
    ),
    (
        "no fence after a frame",
        "shm_end",
        """        out.writer.commit(header);
        Memory::fence();
""",
        """        out.writer.commit(header);
""",
    ),
    (
        "nobody rings after a frame",
        "shm_end",
        """        if (const Bell bell = out.asleep.due(); bell != Bell::none) [[unlikely]]
            ring(bell);""",
        "",
    ),
    (
        "no fence after credit",
        "shm_end",
        """        Memory::fence();
        if (const Bell bell = in.wants_room.due()""",
        "        if (const Bell bell = in.wants_room.due()",
    ),
    (
        "credit at a step wakes nobody",
        "shm_end",
        """        in.reader.release();
        if (in.reader.take_shown()) [[unlikely]]
            credit_shown(in);""",
        """        in.reader.release();
        (void)in.reader.take_shown();""",
    ),
    (
        "no look at the room before sleeping",
        "shm_end",
        "if (interest.room.has(lane) && out.writer.has_room(out.wanted)) any = true;",
        "",
    ),
    (
        "no look at frames before sleeping",
        "shm_end",
        "if (in.reader.promising() || in.reader.violated()) any = true;",
        "",
    ),
    (
        "no fence before a client's sleep",
        "shm_client_end",
        """                Memory::fence();
                if (receiving)""",
        "                if (receiving)",
    ),
    (
        "no fence before a loop's sleep",
        "shm_client_end",
        """        Memory::fence();
        this->announce_credit();
        return""",
        """        this->announce_credit();
        return""",
    ),
    (
        "the receiving half sleeps on the caller's bell",
        "shm_client_end",
        "party == Party::receiver ? Bell::event : Bell::call",
        "Bell::call",
    ),
    (
        "a service forgets the bell it read",
        "shm_service_end",
        """        if (heard.bells) bells_.drained();
""",
        "",
    ),
    (
        "generation stands still",
        "bell",
        "void drained() noexcept { ++value_; }",
        "void drained() noexcept {}",
    ),
]

FAULTS = [Fault(name, f"detail/{header}.hpp", sound, broken, SCHEDULES) for name, header, sound, broken in ORDERINGS]
