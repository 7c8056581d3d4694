// expect: a message's Error must be an enum with a make_error_code\(\)
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

enum class Why { no };
struct Ask {
    static constexpr qbipc::MessageId id = 9;
    using Reply = Sum;
    using Error = Why;
};
void f(Client& client) { (void)client.call(Ask{}, 1s); }
