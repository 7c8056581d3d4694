// expect: two routes have the same \(service id, message id\)
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

struct Subtract {
    static constexpr qbipc::MessageId id = 1;
    using Reply = Sum;
    double a, b;
};
auto service = listen(qbipc::routes(qbipc::on<Add>([](const Add&) { return Sum{}; }),
                                    qbipc::on<Subtract>([](const Subtract&) { return Sum{}; })));
