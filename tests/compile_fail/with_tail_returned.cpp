// expect: with_tail\(\) and build\(\) refer to what dies with the handler: take a qbipc::Answer<Reply>
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service =
    listen(qbipc::routes(qbipc::on<Echo>([](const Echo&) { return qbipc::with_tail(Text{}, std::string("x")); })));
