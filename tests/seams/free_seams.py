# SPDX-License-Identifier: BSL-1.0
"""The seams cost nothing where nobody puts anything in their place: in a release's assembly no function of the default
Memory is left to be called, and from where frames are published and consumed each system call is reached by direct
calls alone.

usage: free_seams.py PROBE INCLUDE... -- COMPILER...
"""
import re
import subprocess
import sys

# Where a frame goes out, comes in, and the bell rings: probe.cpp.
ROOTS = ["publish_shm_ring", "consume_shm_ring", "publish_unix_socket", "consume_unix_socket", "end_shm_ring"]
# What must be seen to be reached, or nothing was looked at.
REACHED = {"send", "recv", "shutdown", "madvise"}

MEMORY = re.compile(r"_ZNK?5qbipc11PlainMemory\w+")
LABEL = re.compile(r"^([A-Za-z_][\w.$]*):")
COLD = re.compile(r"\.cold(\.\d+)?$")
# x86-64: call and jmp, to a name, or by *register or *memory; aarch64: bl and b to a name, blr and br by register.
BRANCH = re.compile(r"^\s+(?:notrack\s+)?(call|callq|jmp|jmpq|j[a-z]{1,3}|bl|b|b\.\w+|blr|br|cbn?z|tbn?z)\s+([^#/]+)")


def assembly(probe: str, includes: list[str], compiler: list[str]) -> str:
    run = subprocess.run(
        # Tables of jumps would look like calls through pointers.
        [*compiler, "-std=c++20", "-O2", "-DNDEBUG", "-fno-jump-tables", *includes, "-S", "-o", "-", probe],
        capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(run.stderr)
    return run.stdout


def functions(text: str) -> dict[str, list[str]]:
    """The lines of each, with those of the part that the compiler moved away, `f.cold`: what leads there are local labels."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        label = LABEL.match(line)
        if label and not label[1].startswith(".L"):
            lines = found.setdefault(COLD.sub("", label[1]), [])
        lines.append(line)
    return found


def target(line: str) -> str | None:
    """Where a line goes: the name of a function; "*" where only a register or a place in memory says so."""
    branch = BRANCH.match(line)
    if branch is None:
        return None
    to = branch[2].split(",")[-1].strip()
    table = re.fullmatch(r"\*([\w.$]+)@GOTPCREL\(%rip\)", to)  # a name's, filled in by the linker
    if table:
        return table[1]
    if to.startswith("*") or branch[1] in ("blr", "br"):
        return "*"
    name = re.match(r"[A-Za-z_][\w.$]*", to)
    return COLD.sub("", name[0]) if name and not to.startswith(".L") else None


def main() -> int:
    split = sys.argv.index("--")
    text = assembly(sys.argv[1], [f"-I{i}" for i in sys.argv[2:split]], sys.argv[split + 1:])
    problems = [f"{name} is left to be called" for name in sorted(set(MEMORY.findall(text)))]

    code = functions(text)
    problems += [f"{root} isn't there" for root in ROOTS if root not in code]
    due, seen, outside = list(ROOTS), set(ROOTS), set()
    while due:
        name = due.pop()
        for line in code.get(name, []):
            to = target(line)
            if to == "*":
                problems.append(f"{name}: an indirect call:{line}")
            elif to is not None and to not in code:
                outside.add(to)
            elif to is not None and to not in seen:
                seen.add(to)
                due.append(to)
    problems += [f"{call}() isn't reached from where frames are published and consumed" for call in sorted(REACHED - outside)]
    print("\n".join(problems) or f"{len(seen)} functions reach {', '.join(sorted(outside))}: by direct calls")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
