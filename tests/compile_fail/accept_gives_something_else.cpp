// expect: on_accept's function gives the private data that routes<Data> names
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service =
    listen(qbipc::routes<Account>(qbipc::on_accept([](const qbipc::Credentials&) { return std::string(); })));
