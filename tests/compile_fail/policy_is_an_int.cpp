// expect: expected a policy: something callable with \(const qbipc::Credentials&\)
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto policy = qbipc::same_user || 1000;
