// expect: the private data has no default: make it in on_accept
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

struct Voter {
    explicit Voter(int v) : votes(v) {}
    int votes;
};
auto service =
    listen(qbipc::side_by_side(qbipc::routes<Account>(qbipc::on<Clear>([](const Clear&) {})), qbipc::routes<Voter>()));
