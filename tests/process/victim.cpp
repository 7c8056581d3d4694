// SPDX-License-Identifier: BSL-1.0
// Honest programs among attackers. Each ends when its input does.
//   victim friends shm|unix NAME COUNT   so many clients that call on and on; "count" says how they fare
//   victim connects shm|unix NAME COUNT  connects, calls and disconnects so often, and says how that went
//   victim visitor shm|unix -            connects where it is told: "connect NAME MS", "call MS", "echo BYTES MS",
//                                        "start", "receive MS", "send", "alive", "drop"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <iostream>
#include <list>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <qbipc/qbipc.hpp>
#include <qbipc/transport/shm_ring.hpp>
#include <qbipc/transport/unix_socket.hpp>

#include "process/arguments.hpp"
#include "process/messages.hpp"

using namespace qbipc;
using namespace qbipc::testing;

namespace {

/// One honest client's books.
struct Friend {
    std::atomic<std::uint64_t> calls{0}, failed{0}, wrong{0}, slowest_us{0};
    std::jthread thread{};
};

template <TransportPolicy T>
void go_on(std::stop_token stop, Friend& books, Client<T> client, std::chrono::microseconds pause) {
    std::uint64_t count = 0;
    while (!stop.stop_requested()) {
        const auto start = Clock::now();
        const auto sum = client.call(Add{1, 0}, std::chrono::seconds(60));
        const auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start);
        if (!sum) {
            ++books.failed;
            std::cerr << "an honest client: " << sum.error().message() << std::endl;
            return;
        }
        books.wrong += sum->value != static_cast<double>(++count);
        books.slowest_us = std::max(books.slowest_us.load(), static_cast<std::uint64_t>(took.count()));
        ++books.calls;
        if (pause.count() != 0) std::this_thread::sleep_for(pause);
    }
}

template <TransportPolicy T>
int be_friends(const std::string& name, const Arguments& arguments, int count) {
    std::list<Friend> friends;
    const std::chrono::microseconds pause(arguments.number("pause", 3000));
    const auto check = [](const Credentials&) { return true; };
    for (int i = 0; i < count; ++i) {
        auto client = Client<T>::connect(name, std::chrono::seconds(60), check);
        if (!client) {
            std::cout << "failed: " << client.error().message() << std::endl;
            return 1;
        }
        Friend& books = friends.emplace_back();
        books.thread = std::jthread([&books, pause, mine = *std::move(client)](std::stop_token stop) mutable {
            go_on<T>(stop, books, std::move(mine), pause);
        });
    }
    std::cout << "ready" << std::endl;
    Lines lines;
    for (std::string line; lines.next(line);) {
        std::uint64_t calls = 0, least = ~std::uint64_t{0}, failed = 0, wrong = 0, slowest = 0;
        for (auto& one : friends) {
            calls += one.calls, failed += one.failed, wrong += one.wrong;
            least = std::min(least, one.calls.load());
            slowest = std::max(slowest, one.slowest_us.load());
        }
        std::cout << "calls=" << calls << " least=" << least << " failed=" << failed << " wrong=" << wrong
                  << " slowest_us=" << slowest << std::endl;
    }
    return 0;
}

template <TransportPolicy T>
int connect_often(const std::string& name, int count) {
    int connected = 0, failed = 0;
    Clock::duration slowest{};
    std::string why;
    for (int i = 0; i < count; ++i) {
        const auto start = Clock::now();
        auto client = Client<T>::connect(name, std::chrono::seconds(60), anyone);
        const auto sum = client ? client->call(Add{1, 0}, std::chrono::seconds(60)) : Result<Sum>(fail(client.error()));
        slowest = std::max(slowest, Clock::now() - start);
        ++(sum ? connected : failed);
        if (!sum) why = sum.error().message();
    }
    std::cout << "connected=" << connected << " failed=" << failed
              << " slowest_us=" << std::chrono::duration_cast<std::chrono::microseconds>(slowest).count() << ' ' << why
              << std::endl;
    return 0;
}

template <class R>
std::string outcome(const Result<R>& result) {
    return result ? "ok" : "failed: " + result.error().message();
}

template <TransportPolicy T>
int visit() {
    std::optional<Client<T>> client;
    std::uint64_t events = 0;
    const auto selector = [&events] {
        return routes(on<Tick>([&events](const Tick&, std::string_view) { ++events; }),
                      on<qbipc::testing::Hello>([&events](const qbipc::testing::Hello&) { ++events; }));
    };
    Lines lines;
    for (std::string line; lines.next(line);) {
        std::istringstream words(line);
        std::string verb, name;
        unsigned long size = 0, milliseconds = 0;
        words >> verb;
        const auto limit = [&] {
            words >> milliseconds;
            return std::chrono::milliseconds(milliseconds);
        };
        std::string said;
        if (verb == "connect") {
            client.reset();
            words >> name;
            auto made = Client<T>::connect(name, limit(), anyone);
            said = made ? "connected" : outcome(made);
            if (made) client.emplace(*std::move(made));
        } else if (verb == "alive") {
            said = "alive";
        } else if (verb == "drop") {
            client.reset();
            said = "dropped";
        } else if (!client) {
            said = "failed: not connected";
        } else if (verb == "call") {
            said = outcome(client->call(Add{1, 0}, limit()));
        } else if (verb == "echo") {
            words >> size;
            const std::string text(size, 'x');
            const auto back = client->call(with_tail(Echo{}, text), limit());
            said = !back ? outcome(back) : back->tail().size() == size ? "ok" : "other size";
        } else if (verb == "start") {  // a call whose answer a function gets
            said = outcome(client->start(Add{1, 0}));
        } else if (verb == "send") {
            said = outcome(client->send(Clear{}));
        } else if (verb == "receive") {
            const auto got = client->receive(selector(), limit());
            said = got ? "ok " + std::to_string(events) : outcome(got);
        } else if (verb == "dispatch") {
            (void)client->fd();  // which is for loops, and E for them
            const auto got = client->dispatch(selector());
            said = got ? "ok " + std::to_string(events) : outcome(got);
        } else if (verb == "standing") {
            said = client->alive() ? "ok" : "gone";
        }
        std::cout << said << std::endl;
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const Arguments arguments(argc, argv);
    if (argc < 4 || !become(arguments)) return 2;
    const std::string verb = argv[1], transport = argv[2], name = argv[3];
    const int count = argc > 4 ? std::atoi(argv[4]) : 0;
    if (verb == "friends")
        return transport == "shm" ? be_friends<ShmRing>(name, arguments, count)
                                  : be_friends<UnixSocket>(name, arguments, count);
    if (verb == "connects")
        return transport == "shm" ? connect_often<ShmRing>(name, count) : connect_often<UnixSocket>(name, count);
    if (verb == "visitor") return transport == "shm" ? visit<ShmRing>() : visit<UnixSocket>();
    return 2;
}
