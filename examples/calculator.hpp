// SPDX-License-Identifier: BSL-1.0
// calculator.hpp: the messages that both sides of the calculator include.
#pragma once

#include <qbipc/qbipc.hpp>

namespace calculator {

struct Sum {
    double value;
};
struct Add {  // a call: it has a Reply
    static constexpr qbipc::MessageId id = 1;
    using Reply = Sum;
    double a, b;
};
struct Clear {  // one-way: it has none
    static constexpr qbipc::MessageId id = 2;
};
struct Total {  // an event: its id is an EventId
    static constexpr qbipc::EventId id = 1;
    double value;
};

}  // namespace calculator
