// expect: this route is for a request \(its id is a MessageId\): a service takes it; a client receives events
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(Client& client) {
    (void)client.receive(qbipc::routes(qbipc::on<Clear>([](const Clear&) {})), 1s);
}
