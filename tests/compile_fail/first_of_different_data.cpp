// expect: first_of's selectors share one private data
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

struct Other {};
auto service =
    listen(qbipc::first_of(qbipc::routes<Account>(qbipc::on<Clear>([](const Clear&) {})), qbipc::routes<Other>()));
