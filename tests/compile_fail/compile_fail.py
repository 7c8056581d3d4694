# SPDX-License-Identifier: BSL-1.0
"""usage: compile_fail.py BUILD_FOLDER FILE -- COMPILER...

FILE must fail to compile, and the first line with an error must match the pattern that its first line holds:
`// expect: REGEX`. Extra compiler arguments may stand in a line `// arguments: ...`. Files whose name starts with
`control` must compile instead, so that a missing include can't pass for the error."""
import pathlib
import re
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from compile_like import check_syntax


def main() -> int:
    split = sys.argv.index("--")
    build, source = (pathlib.Path(a) for a in sys.argv[1:split])
    text = source.read_text()
    extra = re.search(r"^// arguments: (.*)$", text, re.M)
    done = check_syntax(build, sys.argv[split + 1 :], ["-Wno-error", *(extra.group(1).split() if extra else [])], str(source))

    if source.name.startswith("control"):
        print(done.stderr, end="")
        return done.returncode

    expected = re.match(r"// expect: (.+)", text)
    if not expected:
        print(f"{source.name}: the first line must be `// expect: REGEX`")
        return 1
    first = next((line for line in done.stderr.splitlines() if re.search(r"\berror: ", line)), None)
    if done.returncode == 0 or first is None:
        print(f"{source.name}: compiled, but was expected to fail with: {expected.group(1)}")
        return 1
    if not re.search(expected.group(1).strip(), first):
        print(f"{source.name}: the first error is\n    {first}\nand does not match\n    {expected.group(1)}\n\n{done.stderr}")
        return 1
    print(first)
    return 0


sys.exit(main())
