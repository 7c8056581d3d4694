// expect: the id of a message must be a qbipc::MessageId, that of an event a qbipc::EventId
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

struct Old {
    static constexpr int id = 9;
};
void f(Client& client) { (void)client.send(Old{}); }
