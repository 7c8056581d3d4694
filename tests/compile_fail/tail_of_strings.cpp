// expect: the elements of a Tail must be trivially copyable
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

struct Names {
    static constexpr qbipc::MessageId id = 9;
    using Tail = std::string;
};
void f(Client& client) { (void)client.send(Names{}); }
