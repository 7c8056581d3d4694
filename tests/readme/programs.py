# SPDX-License-Identifier: BSL-1.0
"""usage: programs.py BUILD_FOLDER PAGE -- COMPILER...

Compiles the programs of a page as they stand: every ```cpp block whose first line is `// NAME.cpp` or `// NAME.hpp` is
written to a file of that name, and each .cpp is compiled and linked there. A page without one fails."""
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from compile_like import flags_of


def main() -> int:
    split = sys.argv.index("--")
    build, page = (pathlib.Path(a) for a in sys.argv[1:split])
    compiler = sys.argv[split + 1 :]
    blocks = re.findall(r"^```cpp\n(// ([\w/]+\.[ch]pp).*?)^```", page.read_text(), re.M | re.S)
    programs = [name for _, name in blocks if name.endswith(".cpp")]
    if not programs:
        print(f"{page.name}: no ```cpp block starts with `// NAME.cpp`")
        return 1
    with tempfile.TemporaryDirectory(dir=build) as folder:
        for text, name in blocks:
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name in programs:
            command = [*compiler, *flags_of(build), "-O0", "-I.", "-Werror", name, "-o", name + ".out", "-pthread"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            print(f"{name}: {'compiles' if done.returncode == 0 else 'does not compile'}\n{done.stderr}", end="")
            if done.returncode != 0:
                return 1
    return 0


sys.exit(main())
