// SPDX-License-Identifier: BSL-1.0
// The helper's clients: one that does what it is told, one that writes into the ledger until it is killed, one that
// connects again and again.
#pragma once

#include <atomic>
#include <cstdint>
#include <fcntl.h>
#include <iostream>
#include <optional>
#include <poll.h>
#include <sstream>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <qbipc/qbipc.hpp>

#include "process/arguments.hpp"
#include "process/messages.hpp"
#include "process/peer_service.hpp"
#include "support/random.hpp"

namespace qbipc::testing {

inline constexpr auto patience = std::chrono::seconds(60);

/// What came of a service's events: whether they came in order, and whole.
struct Events {
    std::uint64_t last = 0, ticks = 0, hellos = 0, wrong = 0;
    bool gaps_allowed = false;

    auto selector() {
        return routes(on<Tick>([this](const Tick& tick, std::string_view tail) {
                          wrong += (gaps_allowed ? tick.number > last : tick.number == last + 1) ? 0u : 1u;
                          wrong += is_pattern(tick.number, tail) ? 0u : 1u;
                          last = tick.number;
                          ++ticks;
                      }),
                      on<qbipc::testing::Hello>(
                          [this](const qbipc::testing::Hello& hello) { wrong += hello.number == ++hellos ? 0u : 1u; }));
    }
};

inline std::string outcome(const std::error_code& error) { return error ? error.message() : "ok"; }
template <class R>
std::string outcome(const Result<R>& result) {
    return outcome(result ? std::error_code() : result.error());
}

/// Waits until the service has gone, one way or another, and says how often it was woken with nothing to do.
template <class C>
std::error_code wait_in_poll(C& client, Events& events) {
    for (;;) {
        pollfd one{client.fd(), POLLIN, 0};
        if (::poll(&one, 1, -1) < 0) continue;
        auto count = client.dispatch(events.selector());
        if (!count) return count.error();
    }
}

/// A child that was forked, not re-executed, tries to use what is its parent's; then the parent goes on.
template <class C>
std::string fork_in_the_middle(C& client) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        int wrong = 0;
        {
            C mine = std::move(client);
            Events events;
            const auto call = mine.call(Add{1, 1}, patience);
            wrong |= !call && call.error() == errc::used_after_fork ? 0 : 1;
            const auto send = mine.send(Clear{});
            wrong |= !send && send.error() == errc::used_after_fork ? 0 : 2;
            const auto dispatched = mine.dispatch(events.selector());
            wrong |= !dispatched && dispatched.error() == errc::used_after_fork ? 0 : 4;
            const auto received = mine.receive(events.selector(), patience);
            wrong |= !received && received.error() == errc::used_after_fork ? 0 : 8;
            const auto started = mine.start(Add{1, 1});
            wrong |= !started && started.error() == errc::used_after_fork ? 0 : 16;
            wrong |= mine.alive() ? 32 : 0;
            mine.disconnect();
        }
        ::_exit(wrong);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return "child " + std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/// Runs `more` calls, with new connections between them, under a storm of signals; gives the first error.
template <TransportPolicy T, class C>
std::string storm(C& client, const Address& address, std::uint64_t calls) {
    begin_storm();
    std::string trouble = "ok";
    const auto note = [&](const auto& result, const char* what) {
        if (!result && trouble == "ok") trouble = std::string(what) + ": " + result.error().message();
    };
    for (std::uint64_t i = 0; i < calls && trouble == "ok"; ++i) {
        note(client.call(Add{1, 0}, patience), "call");
        if (i % 100 == 0) {
            auto other = Client<T>::connect(address, patience);
            note(other, "connect");
            Events events;
            if (other) note(other->receive(events.selector(), patience), "receive");
            // A deadline is still one: some milliseconds, with a signal in each.
            if (other) {
                const auto late = other->call(AnswerByEvents{0}, std::chrono::milliseconds(5));
                if (late || late.error() != errc::timed_out) trouble = "deadline: " + outcome(late);
            }
            std::string large(100'000, 'x');
            note(client.call(with_tail(Echo{}, large), patience), "large call");
        }
    }
    end_storm();
    return trouble;
}

template <TransportPolicy T, class C>
int obey(C client, const Address& address, Lines& lines) {
    Events events;
    for (std::string line; lines.next(line);) {
        std::istringstream words(line);
        std::string verb, what;
        std::uint64_t count = 0;
        words >> verb;
        if (verb == "add") {
            const auto sum = client.call(Add{1, 0}, patience);
            std::cout << (sum ? "sum " + std::to_string(static_cast<int>(sum->value)) : outcome(sum)) << std::endl;
        } else if (verb == "connect") {  // another one, which is gone by the time that it is told
            const auto said = outcome(Client<T>::connect(address, patience));
            std::cout << said << std::endl;
        } else if (verb == "secret") {
            std::cout << outcome(client.call(Secret{}, patience)) << std::endl;
        } else if (verb == "wish") {
            Wish wish;
            words >> wish.count >> wish.size >> wish.patient;
            events.gaps_allowed = events.gaps_allowed || wish.patient == 0;
            std::cout << outcome(client.send(wish)) << std::endl;
        } else if (verb == "events") {  // until so many have come, or been missed
            words >> count;
            std::error_code error;
            // An event that found no room and was sent again is missed once, and comes all the same.
            while (!error && events.ticks + (events.gaps_allowed ? client.statistics().events_missed : 0) < count) {
                const auto got = client.receive(events.selector(), patience);
                if (!got) error = got.error();
            }
            std::cout << "ticks=" << events.ticks << " missed=" << client.statistics().events_missed
                      << " wrong=" << events.wrong << ' ' << outcome(error) << std::endl;
        } else if (verb == "take") {  // what is there now
            Result<std::size_t> got = 0;
            do got = client.dispatch(events.selector());
            while (got && *got != 0);
            std::cout << "ticks=" << events.ticks << std::endl;
        } else if (verb == "wait") {  // for ever
            words >> what;
            std::cout << "waiting" << std::endl;
            std::error_code error;
            if (what == "call") {
                const auto sum = client.call(AnswerByEvents{0}, forever);
                if (!sum) error = sum.error();
            } else if (what == "receive") {
                while (!error) {
                    const auto got = client.receive(events.selector(), forever);
                    if (!got) error = got.error();
                }
            } else {
                error = wait_in_poll(client, events);
            }
            std::cout << outcome(error) << " alive=" << client.alive() << std::endl;
        } else if (verb == "jots") {  // one-way, as many as fit, and then silence
            words >> count;
            for (std::uint64_t i = 1; i <= count; ++i)
                if (const auto sent = client.send(with_tail(Jot{1, i}, patterned(1 + i, i % 100)), patience); !sent)
                    break;
            std::cout << "jotted" << std::endl;
        } else if (verb == "fork") {
            const auto child = fork_in_the_middle(client);
            std::cout << child << ' ' << outcome(client.call(Add{0, 0}, patience)) << std::endl;
        } else if (verb == "leave") {  // a child that holds on to all descriptors until this input ends
            leave_a_child();
            std::cout << "left" << std::endl;
        } else if (verb == "disconnect") {
            client.disconnect();
            std::cout << "ok" << std::endl;
        } else if (verb == "exec") {
            (void)client.fd();  // with the descriptors that only a loop needs
            std::cout << execute_a_child() << std::endl;
        } else if (verb == "storm") {
            words >> count;
            std::cout << storm<T>(client, address, count) << std::endl;
        } else if (verb == "die") {
            std::cout << outcome(client.call(Die{0, SIGKILL}, patience)) << std::endl;
        } else if (verb == "crash") {
            ::_exit(3);
        }
    }
    client.disconnect();
    return 0;
}

/// Calls and one-way messages of random sizes, numbered; what was acknowledged stands in a file that survives its
/// death.
template <class C>
int write_ledger(C client, const Arguments& arguments) {
    const std::uint64_t me = arguments.number("client");
    Random random(me);
    const int file = ::open(arguments.text("acknowledged").c_str(), O_RDWR | O_CLOEXEC);
    void* const memory = ::mmap(nullptr, sizeof(std::uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file < 0 || memory == MAP_FAILED) return 1;
    auto& acknowledged = *static_cast<std::uint64_t*>(memory);
    const std::size_t most = arguments.number("most", 3000);
    (void)client.send(Wish{1'000'000, 100, 3, 1});
    Events events;
    for (std::uint64_t sequence = 1;; ++sequence) {
        const auto body = patterned(me + sequence, random.below(random.one_in(20) ? 20 * most : most));
        if (random.one_in(3)) {
            const auto sent = client.send(with_tail(Jot{me, sequence}, body), patience);
            if (!sent) return sent.error() == errc::disconnected ? 0 : 2;
        } else {
            const auto answer = client.call(with_tail(Note{me, sequence}, body), patience);
            if (!answer) return answer.error() == errc::disconnected ? 0 : 3;
            if ((*answer)->sequence != sequence || std::string_view(answer->tail()) != body) return 4;
            std::atomic_ref(acknowledged).store(sequence);
        }
        const auto got = client.dispatch(events.selector());
        if (!got && got.error() != errc::disconnected) return 5;
        if (events.wrong != 0) return 6;
    }
}

/// Connects, calls and disconnects until its input ends.
template <TransportPolicy T>
int connect_again_and_again(const Address& address, const Options& options) {
    std::uint64_t connected = 0, failed = 0;
    std::string first = "-";
    pollfd input{0, POLLIN, 0};
    do {
        const Deadline deadline(std::chrono::seconds(30));
        auto client = Client<T>::connect(address, deadline, {}, options);
        auto sum = client ? client->call(Add{1, 1}, deadline) : Result<Sum>(fail(client.error()));
        ++(sum ? connected : failed);
        if (!sum && failed == 1) first = std::string(client ? "call: " : "connect: ") + sum.error().message();
    } while (::poll(&input, 1, 0) == 0);
    std::cout << "connected=" << connected << " failed=" << failed << " first: " << first << std::endl;
    return 0;
}

template <TransportPolicy T, class Auth>
int visit(const std::string& verb, const std::string& place, const Arguments& arguments, Auth auth) {
    Options options;
    if (arguments.has("flag")) options.flag_file = arguments.text("flag");
    options.max_message = arguments.number("max_message", options.max_message);
    options.pages = pages_of(arguments);
    const Address address = address_of(place);
    if (verb == "connecting") return connect_again_and_again<T>(address, options);
    auto client = Client<T>::connect(address, patience, auth, options);
    std::cout << (client ? "connected" : "failed: " + client.error().message()) << std::endl;
    if (!client) return 1;
    if (verb == "ledger") return write_ledger(*std::move(client), arguments);
    Lines lines;
    return obey<T>(*std::move(client), address, lines);
}

}  // namespace qbipc::testing
