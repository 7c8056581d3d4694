// expect: this answer is something other than its call's Reply
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(qbipc::Answer<Sum>& answer) { answer.send(Text{}); }
