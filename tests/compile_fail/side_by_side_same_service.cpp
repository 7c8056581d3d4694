// expect: two selectors that stand side by side have messages of the same service id
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::side_by_side(qbipc::routes(qbipc::on<Clear>([](const Clear&) {})),
                                          qbipc::routes(qbipc::on<Add>([](const Add&) { return Sum{}; }))));
