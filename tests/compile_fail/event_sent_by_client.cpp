// expect: this message is an event \(its id is an EventId\): a session sends it, a client receives it
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(Client& client) { (void)client.send(Total{1}); }
