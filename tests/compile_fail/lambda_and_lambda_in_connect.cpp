// expect: expected a policy, got a bool: `lambda && lambda` is C\+\+'s own &&; write qbipc::policy\(lambda\) && lambda
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

constexpr auto tall = [](const qbipc::Credentials& who) { return who.uid > 9; };
constexpr auto old = [](const qbipc::Credentials& who) { return who.pid > 9; };
auto client = Client::connect("calculator", 1s, tall&& old);
