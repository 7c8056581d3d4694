// expect: this message has no Reply: send\(\) it, or give it `using Reply = ...;`
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(Client& client) { (void)client.start(Clear{}); }
