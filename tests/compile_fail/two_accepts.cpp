// expect: these routes have two on_accept\(\)
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::routes<Account>(qbipc::on_accept([](const qbipc::Credentials&) { return Account{}; }),
                                             qbipc::on_accept([](const qbipc::Credentials&) { return Account{}; })));
