// SPDX-License-Identifier: BSL-1.0
// subscribers.cpp: an event goes to the sessions whose private data matches; who doesn't keep up is disconnected.
#include <cstdint>
#include <cstdio>
#include <thread>

#include <qbipc/qbipc.hpp>

#include "program.hpp"

using namespace std::chrono_literals;

namespace market {

struct Subscribed {};
struct Subscribe {
    static constexpr qbipc::MessageId id = 1;
    using Reply = Subscribed;
    std::uint32_t symbol;
};
struct Trade {
    static constexpr qbipc::MessageId id = 2;
    double price;
    std::uint32_t symbol;
};
struct Price {
    static constexpr qbipc::EventId id = 1;
    double price;
    std::uint32_t symbol;
};
struct Open {  // the market is: told to everybody, again and again
    static constexpr qbipc::EventId id = 2;
};

}  // namespace market

using namespace market;

struct Interest {
    std::uint32_t symbol = 0;
    std::uint32_t missed = 0;
};

int serve(const qbipc::Address& address) {
    auto selector = qbipc::routes<Interest>(
        qbipc::on_disconnect([](auto& session) {
            if (session->missed != 0) std::printf("a subscriber was too slow for %u prices\n", session->missed);
        }),
        qbipc::on<Subscribe>([](auto& session, const Subscribe& wish) {
            session->symbol = wish.symbol;
            return Subscribed{};
        }),
        qbipc::on<Trade>([](auto& session, const Trade& trade) {
            for (auto& other : session.sessions()) {
                if (other->symbol != trade.symbol) continue;
                const auto sent = other.send(Price{trade.price, trade.symbol});  // never blocks: lane_full
                if (!sent && ++other->missed > 100) other.disconnect();          // after this turn of the loop
            }
        }));
    auto service = qbipc::or_exit(qbipc::listen<qbipc::ShmRing>(address, std::move(selector)), "listen");

    // Sessions belong to the thread that runs the service; from any other one there is post().
    const std::jthread clock([&](const std::stop_token& stop) {
        for (; !stop.stop_requested(); std::this_thread::sleep_for(10ms)) {
            const auto posted = service.post([](auto& market) {
                for (auto& session : market.sessions()) session.send(Open{});
            });
            if (!posted) return;
        }
    });
    return example::serve_until_told(service);
}

int ask(const qbipc::Address& address) {
    const auto subscriber = [&](std::uint32_t symbol, const qbipc::Options& options = {}) {
        auto client =
            qbipc::or_exit(qbipc::Client<qbipc::ShmRing>::connect(address, 5s, qbipc::same_user, options), "connect");
        qbipc::or_exit(client.call(Subscribe{symbol}, 5s), "subscribe");
        return client;
    };
    auto seven = subscriber(7), eight = subscriber(8);
    auto trader = qbipc::or_exit(qbipc::Client<qbipc::ShmRing>::connect(address, 5s), "connect");
    qbipc::or_exit(trader.send(Trade{1.5, 8}), "trade");
    qbipc::or_exit(trader.send(Trade{2.5, 7}), "trade");

    std::size_t opens = 0;
    Price last{};
    auto events = qbipc::routes(qbipc::on<Price>([&](const Price& price) { last = price; }),
                                qbipc::on<Open>([&](const Open&) { ++opens; }));
    const auto next_price = [&](auto& client) {
        const qbipc::Deadline until = 5s;  // one for all the waits of the loop
        for (last = {}; last.symbol == 0;) qbipc::or_exit(client.receive(events, until), "receive");
        return last.price;
    };
    example::expect(next_price(seven) == 2.5, "the first subscriber gets its price");
    example::expect(next_price(eight) == 1.5, "the second gets the other one");
    const qbipc::Deadline until = 5s;
    while (opens < 3) qbipc::or_exit(eight.receive(events, until), "receive");
    example::expect(true, "all hear that the market is open");

    // A subscriber with a short lane that doesn't look: it is sent what its lane takes, and then let go.
    auto slow = subscriber(9, {.lane_size = 64 << 10});
    for (int i = 0; i < 5000; ++i) qbipc::or_exit(trader.send(Trade{3, 9}, 30s), "trade");
    // Answered behind all the trades: the service has found by now that this one doesn't keep up.
    qbipc::or_exit(trader.call(Subscribe{0}, 30s), "subscribe");
    std::size_t prices = 0;
    auto counting =
        qbipc::routes(qbipc::on<Price>([&](const Price&) { ++prices; }), qbipc::on<Open>([](const Open&) {}));
    auto got = slow.receive(counting, 30s);
    while (got) got = slow.receive(counting, 30s);
    example::expect(got.error() == qbipc::errc::disconnected, "who doesn't keep up is disconnected");
    example::expect(prices > 100 && prices < 5000, "and still gets what it had been sent");
    return 0;
}

int main(int argc, char** argv) { return example::run(argc, argv, serve, ask); }
