// expect: the padding of this message can't be found, so it could leak memory
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

struct Opaque {
    static constexpr qbipc::MessageId id = 9;
    union {
        int i;
        float f;
    };
};
void f(Client& client) { (void)client.send(Opaque{}); }
