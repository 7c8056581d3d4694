// expect: otherwise takes a function of \(auto& session, auto& request\)
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::routes(qbipc::otherwise([] {})));
