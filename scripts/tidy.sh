#!/usr/bin/env bash
# SPDX-License-Identifier: BSL-1.0
# usage: tidy.sh FILE: clang-tidy, silent where it finds nothing.
output=$(clang-tidy-16 --quiet "$1" -- -std=c++20 -Iinclude -Itests -Iexamples -DBOOST_ALL_NO_LIB 2>&1) ||
    { echo "$output" | grep -vE '^[0-9]+ warnings|^Suppressed|^Use -header-filter'; exit 1; }
