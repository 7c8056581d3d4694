// expect: routes\(\) takes on<M>\(handler\), on_accept\(\), on_connect\(\), on_disconnect\(\) and otherwise\(\)
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::routes([](const Add&) { return Sum{}; }));
