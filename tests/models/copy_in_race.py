# SPDX-License-Identifier: BSL-1.0
"""Builds and runs copy_in_race.cpp with every compiler that is here, at -O1, -O2 and -O3: no unchecked value may get through.

usage: copy_in_race.py SOURCE_DIR
The unfenced copy is only reported: g++ 12 at -O2 and -O3 loads the field a second time for the check, but whether a writer
comes between the two loads is luck.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile


def run(compiler: str, root: pathlib.Path, folder: str, *flags: str) -> tuple[int, int]:
    program = pathlib.Path(folder) / "race"
    source = root / "tests" / "models" / "copy_in_race.cpp"
    subprocess.run([compiler, "-std=c++20", "-pthread", f"-I{root / 'include'}", *flags, str(source), "-o", str(program)], check=True)
    delivered, bad = subprocess.run([program], check=True, capture_output=True, text=True, timeout=120).stdout.split()
    return int(delivered), int(bad)


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    names = [os.environ.get("CXX", "").split(" ")[-1], "g++", "clang++", "clang++-16", "clang++-14"]
    compilers = list(dict.fromkeys(name for name in names if name and shutil.which(name)))
    if not compilers:
        return 77  # skipped
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for compiler in compilers:
            for level in ("-O1", "-O2", "-O3"):
                delivered, bad = run(compiler, root, folder, level)
                print(f"{compiler} {level}: {delivered} delivered, {bad} unchecked")
                failed = failed or bad != 0
                if level == "-O2":
                    delivered, bad = run(compiler, root, folder, level, "-DQBIPC_TEST_BARE_MEMCPY")
                    print(f"{compiler} {level}, without the fence: {delivered} delivered, {bad} unchecked")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
