# SPDX-License-Identifier: BSL-1.0
"""What reads shared memory does so through memory.hpp: raw copies and atomic references stand there, or are listed here.

usage: no_raw_shared_access.py SOURCE_DIR
"""
import pathlib
import re
import sys

RAW = re.compile(
    r"(?<!asm )\b(memcpy|memmove|memcmp|strncpy|atomic_ref|bit_cast<[^>]*\*>|volatile|__builtin_mem\w+|__atomic_\w+|atomic_thread_fence)\b"
)

# Private memory only; why.
ALLOWED = {
    "qbipc/memory.hpp": "the one seam",
}
ALLOWED_FILE = "tests/detail/no_raw_shared_access.txt"  # more of the same: 'header: why', one a line

# The lanes' own headers turn pointers into words, and hand them to Memory at once.
CAST = re.compile(r"reinterpret_cast<(const )?(std::)?uint64_t\s*\*>")
CASTS_IN = {"qbipc/memory.hpp", "qbipc/detail/lane_writer.hpp", "qbipc/detail/lane_reader.hpp"}


def code_of(text: str) -> list[str]:
    """Lines without comments and string literals."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    return [re.sub(r'"(\\.|[^"\\])*"', '""', line).split("//")[0] for line in text.splitlines()]


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    allowed = dict(ALLOWED)
    for entry in (root / ALLOWED_FILE).read_text().splitlines():
        if entry and not entry.startswith("#"):
            header, _, why = entry.partition(":")
            if not why.strip():
                print(f"{ALLOWED_FILE}: {header}: say why")
                return 1
            allowed[header.strip()] = why.strip()
    problems, used = [], set()
    for path in sorted((root / "include").rglob("*.hpp")):
        name = str(path.relative_to(root / "include"))
        for number, line in enumerate(code_of(path.read_text()), 1):
            if match := RAW.search(line):
                used.add(name)
                if name not in allowed and "#include" not in line:
                    problems.append(f"include/{name}:{number}: {match.group()} (copy through Memory, or list the header in {ALLOWED_FILE} if the memory is private)")
            if name not in CASTS_IN and CAST.search(line):
                used.add(name)
                if name not in allowed:
                    problems.append(f"include/{name}:{number}: a word taken from bytes (lanes do that; or list the header in {ALLOWED_FILE})")
    problems += [f"{ALLOWED_FILE}: {name} needs no exception" for name in allowed if name not in used]
    print("\n".join(problems) or "all raw accesses are where they should be")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
