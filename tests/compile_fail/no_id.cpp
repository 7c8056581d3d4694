// expect: this struct has no id: give it `static constexpr qbipc::MessageId id = ...;`
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(Client& client) { (void)client.send(Sum{1}); }
