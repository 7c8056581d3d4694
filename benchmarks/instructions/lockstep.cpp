// SPDX-License-Identifier: BSL-1.0
// The hot path in lockstep, for callgrind: a client and a service in two threads, of which one runs at a time. Waiting
// means handing over to the other, so a run takes the same instructions each time.
// usage: lockstep turns|calls|sends|events COUNT
// Each of COUNT rounds is one turn of the service; with one call in it, or with a call and a hundred one-way messages,
// or with a call that a hundred events answer.
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <thread>
#include <unistd.h>

#include <qbipc/client.hpp>
#include <qbipc/service.hpp>
#include <qbipc/transport/shm_ring.hpp>

namespace {

using namespace std::chrono_literals;

[[noreturn]] void fail(const char* what) {
    std::cerr << "failed: " << what << '\n';
    std::_Exit(1);
}

/// Two threads that take turns. Each has a pipe, by which it is told that it is its turn.
struct Turns {
    std::array<std::array<int, 2>, 2> pipes{};
    std::atomic<bool> on = false;

    Turns() {
        for (auto& pipe : pipes)
            if (::pipe(pipe.data()) != 0) fail("pipe");
    }
    void tell(unsigned who) const {
        const char byte = 0;
        if (::write(pipes[who][1], &byte, 1) != 1) fail("write");
    }
    void await(unsigned who) const {
        char byte = 0;
        if (::read(pipes[who][0], &byte, 1) != 1) fail("read");
    }
    void hand_over(unsigned me) const {
        tell(1 - me);
        await(me);
    }
};

Turns turns;
thread_local unsigned me = 0;

/// A wait strategy: where there is nothing yet, it is the other's turn.
struct HandOver {
    static constexpr bool sleeps = false;

    template <class Ready>
    bool spin(Ready&& ready, qbipc::TimeLimit&) {
        for (;;) {
            if (ready()) return true;
            if (!turns.on) return false;
            turns.hand_over(me);
        }
    }
    void slept(qbipc::Clock::duration) noexcept {}
};

struct Sum {
    std::uint64_t value;
};
struct Add {
    static constexpr qbipc::MessageId id = 1;
    using Reply = Sum;
    std::uint64_t a, b, more[4];
};
struct Note {
    static constexpr qbipc::MessageId id = 2;
    std::uint64_t number, more[5];
};
struct Tell {
    static constexpr qbipc::MessageId id = 3;
    using Reply = Sum;
    std::uint64_t count;
};
struct Tick {
    static constexpr qbipc::EventId id = 1;
    std::uint64_t number, more[5];
};

constexpr std::uint64_t batch = 100;

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const char what = argv[1][0];  // comparing words would be counted, too
    const std::uint64_t count = std::stoull(argv[2]);
    using Transport = qbipc::BasicShmRing<HandOver>;

    const std::string name = "lockstep-" + std::to_string(::getpid());
    std::uint64_t notes = 0, ticks = 0;
    auto service = qbipc::or_exit(
        qbipc::listen<Transport>(name, qbipc::routes(qbipc::on<Add>([](const Add& add) { return Sum{add.a + add.b}; }),
                                                     qbipc::on<Note>([&](const Note&) { ++notes; }),
                                                     qbipc::on<Tell>([](auto& session, const Tell& tell) {
                                                         for (std::uint64_t i = 0; i < tell.count; ++i)
                                                             if (!session.send(Tick{i, {}})) fail("an event");
                                                         return Sum{tell.count};
                                                     }))),
        "listen");
    std::jthread thread([&](std::stop_token stop) {
        me = 1;
        (void)service.run(stop);
    });
    auto client = qbipc::or_exit(qbipc::Client<Transport>::connect(name, 60s), "connect");
    auto events = qbipc::routes(qbipc::on<Tick>([&](const Tick&) { ++ticks; }));
    const auto one = [&](std::uint64_t i) {
        if (what == 't') {
            if (turns.on) turns.hand_over(me);
        } else if (what == 'c') {
            const auto sum = client.call(Add{i, 1, {}}, 60s);
            if (!sum || sum->value != i + 1) fail("a call");
        } else if (what == 's') {
            for (std::uint64_t n = 0; n < batch; ++n)
                if (!client.send(Note{n, {}})) fail("a send");
            if (!client.call(Add{i, 1, {}}, 60s)) fail("a call");
        } else {
            if (!client.call(Tell{batch}, 60s) || !client.dispatch(events)) fail("a call");
        }
    };
    one(0);
    if (!client.call(Add{1, 1, {}}, 60s)) fail("a call");

    // From here on in turns: the service waits for its own once it has nothing to do.
    turns.on = true;
    turns.await(0);
    for (std::uint64_t i = 0; i < count; ++i) one(i);
    if (what == 's' && notes != (count + 1) * batch) fail("notes");
    if (what == 'e' && ticks != (count + 1) * batch) fail("ticks");
    std::_Exit(0);
}
