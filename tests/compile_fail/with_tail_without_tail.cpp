// expect: this message has no tail: give it `using Tail = ElementType;`
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(Client& client, const std::string& text) { (void)client.send(qbipc::with_tail(Clear{}, text)); }
