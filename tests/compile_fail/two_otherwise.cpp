// expect: these routes have two otherwise\(\)
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::routes(qbipc::otherwise([](auto&, auto&) {}), qbipc::otherwise([](auto&, auto&) {})));
