// expect: with_tail\(\), build\(\) and bytes\(\) refer to the caller.s buffers
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(Client& client, const std::string& text) {
    auto echo = qbipc::with_tail(Echo{}, text);
    (void)client.call(echo, 1s);
}
