// expect: a handler that takes a qbipc::Answer answers through it, and returns nothing
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service =
    listen(qbipc::routes(qbipc::on<Add>([](const Add&, qbipc::Answer<Sum> answer) { return answer.send(Sum{}); })));
