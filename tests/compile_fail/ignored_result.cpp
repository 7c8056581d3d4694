// expect: ignoring return value|\[-Werror,?-?Wunused-result\]
// SPDX-License-Identifier: BSL-1.0
// arguments: -Werror=unused-result
#include "messages.hpp"

void f(Client& client) { client.send(Clear{}); }
