// SPDX-License-Identifier: BSL-1.0
// poll_loop.cpp: an egg timer. Service and client live in loops of their own: each is one descriptor and one
// dispatch().
#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <poll.h>
#include <string>
#include <sys/signalfd.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <qbipc/qbipc.hpp>

#include "program.hpp"

using namespace std::chrono_literals;
using qbipc::Clock;

namespace eggs {

struct Done {};
struct Boil {
    static constexpr qbipc::MessageId id = 1;
    using Reply = Done;
    std::uint32_t milliseconds;
};

}  // namespace eggs

/// How long poll() may sleep: rounded up, so as not to come too early.
int milliseconds_until(Clock::time_point at) {
    if (at == Clock::time_point::max()) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(at - Clock::now()).count();
    return static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(left, 0, 60'000));
}

int serve(const qbipc::Address& address) {
    struct Egg {
        Clock::time_point due;
        qbipc::Answer<eggs::Done> answer;
    };
    std::vector<Egg> boiling;
    auto service = qbipc::or_exit(
        qbipc::listen<qbipc::UnixSocket>(
            address, qbipc::routes(qbipc::on<eggs::Boil>([&](const eggs::Boil& boil, qbipc::Answer<eggs::Done> answer) {
                boiling.push_back({Clock::now() + boil.milliseconds * 1ms, std::move(answer)});
            }))),
        "listen");

    sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGTERM);
    ::sigaddset(&signals, SIGINT);
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    const int told = ::signalfd(-1, &signals, SFD_CLOEXEC);

    std::array<pollfd, 2> watched = {{{service.fd(), POLLIN, 0}, {told, POLLIN, 0}}};
    while (watched[1].revents == 0) {
        auto next = Clock::time_point::max();
        for (const auto& egg : boiling) next = std::min(next, egg.due);
        ::poll(watched.data(), watched.size(), milliseconds_until(next));

        if (watched[0].revents != 0) qbipc::or_exit(service.dispatch(), "dispatch");
        const auto now = Clock::now();
        for (auto& egg : boiling)
            if (egg.due <= now) egg.answer.send(eggs::Done{});  // straight into the lane: this is the service's thread
        std::erase_if(boiling, [](const Egg& egg) { return !egg.answer.pending(); });
    }
    ::close(told);
    return 0;
}

int ask(const qbipc::Address& address) {
    auto client = qbipc::or_exit(qbipc::Client<qbipc::UnixSocket>::connect(address, 5s), "connect");

    // An answer for a loop goes to a function, which runs once whatever happens: dispatch() also brings it the
    // deadline.
    std::string story;
    qbipc::or_exit(client.start(eggs::Boil{60'000}, 100ms,
                                [&](qbipc::Result<eggs::Done> done) {
                                    story += !done && done.error() == qbipc::errc::timed_out ? "too long " : "? ";
                                }),
                   "start");
    qbipc::or_exit(
        client.start(eggs::Boil{20}, 30s, [&](qbipc::Result<eggs::Done> done) { story += done ? "done " : "? "; }),
        "start");

    const auto no_events = [](auto&, auto&) { return false; };
    pollfd watched{client.fd(), POLLIN, 0};
    const qbipc::Deadline until = 30s;
    while (story != "done too long " && story != "too long done " && !until.passed()) {
        ::poll(&watched, 1, milliseconds_until(until.at()));
        qbipc::or_exit(client.dispatch(no_events), "dispatch");  // never blocks, and may be called for nothing
    }
    std::printf("%s\n", story.c_str());
    example::expect(story.find("done ") != story.npos, "one egg was done in time");
    example::expect(story.find("too long ") != story.npos, "the other took too long");
    return 0;
}

int main(int argc, char** argv) { return example::run(argc, argv, serve, ask); }
