// expect: with_tail\(\) takes contiguous ranges of the message's Tail type
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(Client& client, const std::vector<int>& numbers) { (void)client.call(qbipc::with_tail(Echo{}, numbers), 1s); }
