// expect: .* refer to what dies with the handler: take a qbipc::Answer<Reply>
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::routes(qbipc::on<Add>([](const Add&) { return qbipc::bytes(0, qbipc::MessageId(1)); })));
