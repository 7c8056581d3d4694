// expect: with_tail\(\), build\(\) and bytes\(\) refer to the caller.s buffers
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(Client& client) {
    const auto raw = qbipc::bytes(0, qbipc::MessageId(9));
    (void)client.send(raw);
}
