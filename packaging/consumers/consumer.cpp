// SPDX-License-Identifier: BSL-1.0
// What each way of taking the library must be able to build and run: one call over each transport, in one process.
#include <chrono>
#include <cstdio>
#include <stop_token>
#include <string>
#include <thread>
#include <unistd.h>

#include <qbipc/qbipc.hpp>

using namespace std::chrono_literals;

struct Sum {
    double value;
};

struct Add {
    static constexpr qbipc::MessageId id = 1;
    using Reply = Sum;
    double a, b;
};

template <class Transport>
void ask(const char* transport) {
    const auto address = "consumer-" + std::to_string(getpid()) + "-" + transport;
    auto service =
        qbipc::or_exit(qbipc::listen<Transport>(
                           address, qbipc::routes(qbipc::on<Add>([](const Add& add) { return Sum{add.a + add.b}; }))),
                       "listen");
    std::jthread running([&](std::stop_token stop) { qbipc::or_exit(service.run(stop), "run"); });

    auto client = qbipc::or_exit(qbipc::Client<Transport>::connect(address, 10s), "connect");
    const Sum sum = qbipc::or_exit(client.call(Add{1, 2}, 10s), "call");
    std::printf("%s: 1 + 2 = %g\n", transport, sum.value);
}

int main() {
    ask<qbipc::ShmRing>("ShmRing");
    ask<qbipc::UnixSocket>("UnixSocket");
}
