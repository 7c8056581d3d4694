// expect: an event has no Reply: nobody answers it
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

struct Odd {
    static constexpr qbipc::EventId id = 9;
    using Reply = Sum;
};
auto service = listen(qbipc::routes(qbipc::on<Odd>([](const Odd&) {})));
