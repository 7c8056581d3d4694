#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# Run by gcovr, as gcov: without the branches of template instantiations that never ran. gcov says of those no more than that,
# not which of them are an exception's way out, so gcovr couldn't leave these out; a line that ran nowhere is seen as a line.
set -euo pipefail
gcov "$@"
shopt -s nullglob
reports=(./*.gcov)
[ ${#reports[@]} -eq 0 ] || sed -i '/^branch .* never executed/d' "${reports[@]}"
