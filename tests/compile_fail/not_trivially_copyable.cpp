// expect: a message must be trivially copyable: no std::string
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

struct Name {
    static constexpr qbipc::MessageId id = 9;
    std::string text;
};
void f(Client& client) { (void)client.send(Name{}); }
