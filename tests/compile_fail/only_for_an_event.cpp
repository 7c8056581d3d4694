// expect: only\(\) guards requests
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

void f(Client& client) {
    (void)client.receive(qbipc::routes(qbipc::on<Total>([](const Total&) {}).only(qbipc::same_user)), 1s);
}
