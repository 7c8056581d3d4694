// expect: this message is a call: its handler returns the message's Reply
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::routes(qbipc::on<Add>([](const Add&) {})));
