// expect: otherwise's function gives bool, whether it took the message, or nothing
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::routes(qbipc::otherwise([](auto&, auto&) { return 1; })));
