// expect: on<M>\(handler\) names the messages it is for
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::routes(qbipc::on([](const Clear&) {})));
