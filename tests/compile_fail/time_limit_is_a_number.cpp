// expect: a time limit is a duration: 100ms, not 100 \(using namespace std::chrono_literals\)
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(Client& client) { (void)client.call(Add{1, 2}, 100); }
