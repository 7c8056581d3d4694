// expect: with_tail\(\), build\(\) and bytes\(\) refer to the caller.s buffers
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(qbipc::Request<qbipc::UnixSocket>& request, const std::string& text) {
    auto reply = qbipc::with_tail(Text{}, text);
    (void)request.reply(reply);
}
