// expect: on_connect and on_disconnect take a function of \(auto& session\)
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::routes(qbipc::on_connect([] {})));
