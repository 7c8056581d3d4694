// expect: this handler can't take its message
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::routes(qbipc::on<Clear>([](Clear&) {})));
