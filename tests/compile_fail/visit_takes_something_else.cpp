// expect: this function can't take the answer: call\(\) with a function needs a callable with \(const Reply&\)
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(Client& client) {
    (void)client.call(Add{1, 2}, 1s, [](const Clear&) {});
}
