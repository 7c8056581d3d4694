#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Breaks the shipped headers in one place after the other, in a copy, and sees that schedules find each.

usage: faults.py [--schedules N] [NAME...]
"""
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "build" / "schedule_faults"

# Name, header, what stands there, what stands there instead.
FAULTS = [
    ("no clear", "lane_writer", "if (head_ != cleared_) Memory::store_relaxed(word(head_ & mask_), 0);", ""),
    (
        "clear after commit",
        "lane_writer",
        """        if (head_ != cleared_) Memory::store_relaxed(word(head_ & mask_), 0);
        Memory::store_release(first, header.first_word());""",
        """        Memory::store_release(first, header.first_word());
        if (head_ != cleared_) Memory::store_relaxed(word(head_ & mask_), 0);""",
    ),
    ("cleared ahead and trusted for ever", "lane_writer", "if (head_ + span != cleared_) cleared_ = 0;", ""),
    ("cleared ahead without credit", "lane_writer", " || head_ + span + line > limit_) return;", ") return;"),
    ("commit relaxed", "lane_writer", "store_release(first, header", "store_relaxed(first, header"),
    ("wrap marker relaxed", "lane_writer", "store_release(word(at), wrap_marker)", "store_relaxed(word(at), wrap_marker)"),
    ("start not cleared on wrapping", "lane_writer", "Memory::store_relaxed(word(0), 0);", ""),
    ("line behind the frame not counted", "lane_writer", "if (!credited(span + line)) return nullptr;", "if (!credited(span)) return nullptr;"),
    ("marker's lines not counted", "lane_writer", "if (!credited(rest + line)) return nullptr;", ""),
    ("window's start not credited", "lane_writer", "&& drained() && credited(rest + span + line)) {", "&& look_at_credit()) {"),
    ("wrap marker twice", "lane_writer", "        head_ += shape_.size - at;\n", "        Memory::store_release(word(0), wrap_marker);\n        head_ += shape_.size - at;\n"),
    ("credit relaxed at once", "lane_reader", "            return show_credit();\n        Memory::store_release(credit_, tail_);", "            return show_credit();\n        Memory::store_relaxed(credit_, tail_);"),
    ("credit relaxed at a step", "lane_reader", "announced_ = tail_;\n        Memory::store_release", "announced_ = tail_;\n        Memory::store_relaxed"),
    ("credit for a frame that is still read", "lane_reader", "        span_ = span;\n", "        span_ = span;\n        Memory::store_release(credit_, tail_ + span);\n"),
    ("credit wakes nobody", "lane_reader", "        fresh_ = true;\n", ""),
    ("word loaded relaxed", "lane_reader", "std::uint64_t first = Memory::load_acquire", "std::uint64_t first = Memory::load_relaxed"),
    ("word behind a marker loaded relaxed", "lane_reader", "            first = Memory::load_acquire", "            first = Memory::load_relaxed"),
    ("credit loaded relaxed", "lane_writer", "Memory::load_acquire(credit_)", "Memory::load_relaxed(credit_)"),
    ("rung for each frame", "bell", "        if (value == rung) return Bell::none;\n", ""),
    ("flag not put up again after a bell", "bell", "        if (value == now_) return;\n", "        if (value == now_ || (value != 0 && value >> 2 > 1)) return;\n"),
    ("no fence after a frame", "shm_end", "        out.writer.commit(header);\n        Memory::fence();\n", "        out.writer.commit(header);\n"),
    ("nobody rings after a frame", "shm_end", "        if (const Bell bell = out.asleep.due(); bell != Bell::none) [[unlikely]]\n            ring(bell);", ""),
    ("no fence after credit", "shm_end", "        Memory::fence();\n        if (const Bell bell = in.wants_room.due()", "        if (const Bell bell = in.wants_room.due()"),
    ("credit at a step wakes nobody", "shm_end", "        in.reader.release();\n        if (in.reader.take_shown()) [[unlikely]]\n            credit_shown(in);", "        in.reader.release();\n        (void)in.reader.take_shown();"),
    ("no look at the room before sleeping", "shm_end", "if (interest.room.has(lane) && out.writer.has_room(out.wanted)) any = true;", ""),
    ("no look at frames before sleeping", "shm_end", "if (in.reader.promising() || in.reader.violated()) any = true;", ""),
    ("no fence before a client's sleep", "shm_client_end", "                Memory::fence();\n                if (receiving)", "                if (receiving)"),
    ("no fence before a loop's sleep", "shm_client_end", "        Memory::fence();\n        this->announce_credit();\n        return", "        this->announce_credit();\n        return"),
    ("the receiving half sleeps on the caller's bell", "shm_client_end", "party == Party::receiver ? Bell::event : Bell::call", "Bell::call"),
    ("a service forgets the bell it read", "shm_service_end", "        if (heard.bells) bells_.drained();\n", ""),
    ("generation stands still", "bell", "void drained() noexcept { ++value_; }", "void drained() noexcept {}"),
]


def main() -> int:
    arguments = sys.argv[1:]
    schedules = "2000000"
    if arguments[:1] == ["--schedules"]:
        schedules, arguments = arguments[1], arguments[2:]
    compiler = shlex.split(os.environ.get("CXX", "g++"))
    missed = 0
    chosen = [fault for fault in FAULTS if not arguments or fault[0] in arguments]
    for name, header, sound, broken in chosen:
        shutil.rmtree(FOLDER, ignore_errors=True)
        shutil.copytree(ROOT / "include", FOLDER / "include")
        path = FOLDER / "include" / "qbipc" / "detail" / f"{header}.hpp"
        text = path.read_text()
        if text.count(sound) != 1:
            print(f"{name}: {header}.hpp has {text.count(sound)} places like this:\n{sound}")
            missed += 1
            continue
        path.write_text(text.replace(sound, broken))
        program = FOLDER / "schedules"
        subprocess.run(
            [*compiler, "-std=c++20", "-O1", "-DNDEBUG", f"-I{FOLDER}/include", f"-I{ROOT}/tests", str(ROOT / "tests/schedules/schedules.cpp"), "-o", str(program)],
            check=True,
        )
        run = subprocess.run(
            [program, "--all", "0", "--deaths", "0", "--seed", "1", "--lanes", schedules, "--ends", schedules], capture_output=True, text=True
        )
        said = run.stdout.strip().splitlines() or [f"ended by signal {-run.returncode}: {run.stderr.strip()}"]
        if run.returncode == 0:
            print(f"{name}: NOT FOUND: {said[-1]}")
            missed += 1
        else:
            after = re.search(r"after (\d+) schedules", run.stdout)
            print(f"{name}: found after {after.group(1) if after else '?'} schedules: {said[-1]}", flush=True)
    print(f"schedules: {len(chosen) - missed} of {len(chosen)} seeded faults found")
    return 1 if missed or not chosen else 0


sys.exit(main())
