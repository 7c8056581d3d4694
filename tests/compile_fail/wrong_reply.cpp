// expect: this handler returns something other than its message's Reply
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::routes(qbipc::on<Add>([](const Add& add) { return add.a + add.b; })));
