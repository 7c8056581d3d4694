// expect: qbipc needs C\+\+20: compile with -std=c\+\+20 or later
// SPDX-License-Identifier: BSL-1.0
// arguments: -std=c++17
#include <qbipc/version.hpp>

int main() {}
