// expect: these routes mix requests and events
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::routes(qbipc::on<Clear>([](const Clear&) {}), qbipc::on<Total>([](const Total&) {})));
