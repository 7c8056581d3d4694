// expect: a message is a struct: put the value into one
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(Client& client) { (void)client.send(5); }
