// expect: this message has no Reply: its handler returns nothing
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::routes(qbipc::on<Clear>([](const Clear&) { return 1; })));
