// expect: this route is for an event \(its id is an EventId\): a client receives it; a service takes requests
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::routes(qbipc::on<Total>([](const Total&) {})));
