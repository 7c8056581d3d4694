// expect: this message has a Reply: call\(\) it, or start\(\) it
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(Client& client) { (void)client.send(Add{1, 2}); }
