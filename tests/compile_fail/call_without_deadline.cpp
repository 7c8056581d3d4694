// expect: call\(\) needs a deadline: call\(message, 100ms\), or call\(message, qbipc::forever\)
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(Client& client) { (void)client.call(Add{1, 2}); }
