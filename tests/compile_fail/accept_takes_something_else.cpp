// expect: on_accept takes a function of \(const qbipc::Credentials&\)
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::routes<Account>(qbipc::on_accept([](int) { return Account{}; })));
