// expect: the padding of this message can't be found, so it could leak memory
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

struct Opaque {
    static constexpr qbipc::MessageId id = 9;
    int value;
    Opaque() : value(next()) {}
    static int next();
};
void f(Client& client) { (void)client.send(Opaque{}); }
