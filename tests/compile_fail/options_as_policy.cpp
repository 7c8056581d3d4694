// expect: options come after the policy: ..., qbipc::same_user_or_root, options\)
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f() { (void)Client::connect("calculator", qbipc::forever, qbipc::Options{}); }
