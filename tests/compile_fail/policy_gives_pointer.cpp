// expect: a policy must give exactly bool, or a std::error_code
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto policy = qbipc::same_user && [](const qbipc::Credentials&) { return "yes"; };
