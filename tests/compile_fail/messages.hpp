// SPDX-License-Identifier: BSL-1.0
// messages.hpp: what the programs beside it have in common. Each has one mistake, but for those named control_.
#pragma once

#include <chrono>
#include <string>

#include <qbipc/qbipc.hpp>

using namespace std::chrono_literals;

struct Sum {
    double value;
};
struct Text {
    using Tail = char;
};
struct Add {
    static constexpr qbipc::MessageId id = 1;
    using Reply = Sum;
    double a, b;
};
struct Echo {
    static constexpr qbipc::MessageId id = 2;
    using Reply = Text;
    using Tail = char;
};
struct Clear {
    static constexpr qbipc::MessageId id = 3;
};
struct Total {
    static constexpr qbipc::EventId id = 1;
    double value;
};
struct Account {
    double total = 0;
};

using Client = qbipc::Client<qbipc::UnixSocket>;
template <class Selector, class Auth = qbipc::SameUserOrRoot>
auto listen(Selector selector, Auth auth = {}) {
    return qbipc::listen<qbipc::UnixSocket>("calculator", std::move(selector), std::move(auth));
}
