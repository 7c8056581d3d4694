// SPDX-License-Identifier: BSL-1.0
// calculator.cpp: the smallest whole service: private data, a call, a guarded one-way message, an event.
#include "calculator.hpp"

#include <cstdio>

#include "program.hpp"

using namespace std::chrono_literals;
using namespace calculator;

struct Account {  // private data, one per connection
    double total = 0;
};

int serve(const qbipc::Address& address) {
    auto selector = qbipc::routes<Account>(
        qbipc::on_connect([](auto& session) { std::printf("hello, user %u\n", session.credentials().uid); }),
        qbipc::on<Add>([](auto& session, const Add& add) { return Sum{session->total += add.a + add.b}; }),
        qbipc::on<Clear>([](auto& session, const Clear&) {
            session->total = 0;
            session.send(Total{0});
        }).only(qbipc::uids<0> || qbipc::same_user));

    auto service = qbipc::or_exit(qbipc::listen<qbipc::ShmRing>(address, std::move(selector)), "listen");
    return example::serve_until_told(service);
}

int ask(const qbipc::Address& address) {
    auto client = qbipc::or_exit(qbipc::Client<qbipc::ShmRing>::connect(address, 5s), "connect");

    const auto sum = client.call(Add{1, 2}, 5s);  // Result<Sum>: a value, or the error that stood in its way
    if (!sum) return std::printf("no sum: %s\n", sum.error().message().c_str()), 1;
    example::expect(sum->value == 3, "1 + 2 is 3");

    const auto more = qbipc::or_exit(client.call(Add{3, 4}, 5s), "add");
    example::expect(more.value == 10, "the service remembers this connection's total");

    double total = -1;
    const auto events = qbipc::routes(qbipc::on<Total>([&](const Total& now) { total = now.value; }));
    qbipc::or_exit(client.send(Clear{}), "clear");
    qbipc::or_exit(client.receive(events, 5s), "receive");
    example::expect(total == 0, "an event tells that it was cleared");
    return 0;
}

int main(int argc, char** argv) { return example::run(argc, argv, serve, ask); }
