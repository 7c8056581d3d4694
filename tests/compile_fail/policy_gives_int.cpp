// expect: a policy must give exactly bool, or a std::error_code
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service =
    listen(qbipc::routes(qbipc::on<Clear>([](const Clear&) {})), [](const qbipc::Credentials&) { return 1; });
