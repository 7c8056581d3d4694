// expect: a selector is callable with \(auto& session, auto& request\)
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

struct Nothing {};
auto service = listen(Nothing{});
