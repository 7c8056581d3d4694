# SPDX-License-Identifier: BSL-1.0
"""usage: stands_alone.py BUILD_FOLDER HEADER -- COMPILER...: compiles a file that includes HEADER twice and nothing else."""
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from compile_like import check_syntax

split = sys.argv.index("--")
build, header = sys.argv[1:split]
text = f"#include <{header}>\n#include <{header}>\n"
done = check_syntax(pathlib.Path(build), sys.argv[split + 1 :], ["-Werror", "-x", "c++"], text)
print(done.stderr, end="")
sys.exit(done.returncode)
