// expect: the elements of a Tail are sent as they lie in memory: they must have no padding
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

struct Point {
    char tag;
    int at;
};
struct Points {
    static constexpr qbipc::MessageId id = 9;
    using Tail = Point;
};
void f(Client& client) { (void)client.send(Points{}); }
