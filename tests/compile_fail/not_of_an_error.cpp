// expect: ! takes policies that answer bool
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto policy = !qbipc::policy([](const qbipc::Credentials&) { return std::error_code(); });
