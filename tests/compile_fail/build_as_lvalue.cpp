// expect: with_tail\(\), build\(\) and bytes\(\) refer to the caller.s buffers
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(Client& client) {
    auto clear = qbipc::build<Clear>(0, [](Clear&) {});
    (void)client.send(clear);
}
