// expect: connect\(\) needs a deadline: connect\(address, 1s\), or connect\(address, qbipc::forever\)
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f() { (void)Client::connect("calculator"); }
