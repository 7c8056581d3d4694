#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Keeps include/meson.build in step with the headers. With --check: writes nothing, and also says which test, example or
benchmark source no meson.build names."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def header_list() -> str:
    headers = sorted(p.relative_to(ROOT / "include").as_posix() for p in (ROOT / "include").rglob("*.hpp"))
    return "\n".join(
        ["# SPDX-License-Identifier: BSL-1.0", "# Written by scripts/sync_lists.py (./dev format runs it).", "qbipc_header_names = ["]
        + [f"    '{h}'," for h in headers]
        + ["]", "if not meson.is_subproject()", "    install_headers(qbipc_header_names, preserve_path: true)", "endif", ""]
    )


def unnamed_sources() -> list[str]:
    missing = []
    for top in ("tests", "examples", "benchmarks"):
        lists = {p.parent: p.read_text() for p in (ROOT / top).rglob("meson.build")}
        # What a list's program or script takes by itself: helpers by their bare names, a model by its script, a peer with - for _.
        named = "\n".join(lists.values()) + "\n".join(p.read_text() for p in (ROOT / top).rglob("*.py"))
        for source in sorted((ROOT / top).rglob("*.cpp")):
            names = {source.name, source.stem} if source.parent.name in ("process", "models") else set()
            names |= {source.stem.replace("_", "-")} if source.parent.name == "peers" else set()
            names |= {source.relative_to(f).as_posix() for f in source.parents if f in lists}
            names |= {name.removesuffix(".cpp") for name in names}
            if not any(re.search(r"""['"]%s['"]""" % re.escape(name), named) for name in names):
                missing.append(source.relative_to(ROOT).as_posix())
    return missing


def main() -> int:
    target = ROOT / "include/meson.build"
    wanted = header_list()
    current = target.read_text() if target.exists() else ""
    if "--check" not in sys.argv:
        if current != wanted:
            target.write_text(wanted)
        return 0
    problems = [f"{s}: no meson.build names it" for s in unnamed_sources()]
    if current != wanted:
        problems.append("include/meson.build: out of step with the headers; run ./dev format")
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


sys.exit(main())
