// expect: with_tail\(\), build\(\) and bytes\(\) refer to the caller.s buffers
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(qbipc::Answer<Text>& answer, const std::string& text) {
    auto reply = qbipc::with_tail(Text{}, text);
    answer.send(reply);
}
