// expect: a message must not need an alignment over 16
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

struct alignas(32) Wide {
    static constexpr qbipc::MessageId id = 9;
    double values[4];
};
void f(Client& client) { (void)client.send(Wide{}); }
