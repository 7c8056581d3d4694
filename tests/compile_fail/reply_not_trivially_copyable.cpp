// expect: a message must be trivially copyable: no std::string
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

struct Name {
    std::string text;
};
struct Ask {
    static constexpr qbipc::MessageId id = 9;
    using Reply = Name;
};
auto service = listen(qbipc::routes(qbipc::on<Ask>([](const Ask&) { return Name{}; })));
