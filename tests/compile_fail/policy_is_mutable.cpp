// expect: a policy must be callable, as const, with \(const qbipc::Credentials&\)
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::routes(qbipc::on<Clear>([](const Clear&) {})),
                      [n = 0](const qbipc::Credentials&) mutable { return ++n < 9; });
