// SPDX-License-Identifier: BSL-1.0
// split.cpp: one thread sends, another receives; each owns its half of the client.
#include <cstdio>
#include <future>
#include <thread>
#include <utility>

#include "calculator.hpp"
#include "program.hpp"

using namespace std::chrono_literals;
using namespace calculator;

struct Account {
    double total = 0;
};

int serve(const qbipc::Address& address) {
    auto selector = qbipc::routes<Account>(
        qbipc::on<Add>([](auto& session, const Add& add) { return Sum{session->total += add.a + add.b}; }),
        qbipc::on<Clear>([](auto& session, const Clear&) {
            session->total = 0;
            session.send(Total{0});
        }));
    auto service = qbipc::or_exit(qbipc::listen<qbipc::ShmRing>(address, std::move(selector)), "listen");
    return example::serve_until_told(service);
}

int ask(const qbipc::Address& address) {
    constexpr int rounds = 1000;
    auto client = qbipc::or_exit(qbipc::Client<qbipc::ShmRing>::connect(address, 5s), "connect");
    auto [sender, receiver] = std::move(client).split();

    // What the receiving thread counts is the receiving thread's, until it has ended.
    int right = 0, totals = 0;
    std::promise<void> all_answered;
    std::error_code ending;
    std::jthread receiving([&, receiver = std::move(receiver)]() mutable {
        const auto events = qbipc::routes(qbipc::on<Total>([&](const Total&) { ++totals; }));
        auto got = receiver.receive(events, qbipc::forever);
        while (got) got = receiver.receive(events, qbipc::forever);
        ending = got.error();
    });

    for (int i = 0; i < rounds; ++i) {
        qbipc::or_exit(sender.send(Clear{}, 5s), "clear");  // waits for room
        // The answer is given to the function, in the receiving thread.
        auto then = [&, i](qbipc::Result<Sum> sum) {
            if (sum && sum->value == i) ++right;
            if (i + 1 == rounds) all_answered.set_value();
        };
        qbipc::or_exit(sender.start(Add{1.0 * i, 0}, 30s, std::move(then)), "add");
    }
    all_answered.get_future().wait();  // at the latest when the deadline of the last one has passed

    // The receiving thread waits for ever, or until a half goes. Leaving it to this half's destructor would be a trap:
    // that one runs after the thread's, which waits for the thread.
    sender.disconnect();
    receiving.join();
    example::expect(right == rounds, "every answer came to its function");
    example::expect(totals == rounds, "every event came");
    example::expect(ending == qbipc::errc::disconnected, "and then the receiving half learnt of the end");
    return 0;
}

int main(int argc, char** argv) { return example::run(argc, argv, serve, ask); }
