// SPDX-License-Identifier: BSL-1.0
// cases.hpp: one measurement of each kind. Each prints its rows.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <time.h>
#include <vector>

#include "arguments.hpp"
#include "clock.hpp"
#include "pair.hpp"
#include "statistics.hpp"

namespace bench {

inline void print_row(const std::string& which, std::size_t size, double value, const char* unit) {
    std::printf("%s,%zu,%.6g,%s\n", which.c_str(), size, value, unit);
}

/// What a case is about, from the command line; the service's cpu is the second.
struct Run {
    const Arguments& arguments;
    Setup setup;

    int client_cpu() const { return arguments.cpus[0]; }
    int service_cpu() const { return arguments.cpus[1]; }

    template <class P>
    Pair<P> pair(Mode mode) {
        setup.mode = mode;
        return Pair<P>(setup, client_cpu(), arguments.which == "rtt_one_core" ? client_cpu() : service_cpu());
    }
    void print(double value, const char* unit) const { print_row(arguments.which, setup.size, value, unit); }
};

template <class P>
void round_trips(Run& run) {
    auto pair = run.pair<P>(Mode::echo);
    const auto client = pair.connect();
    run.print(median_ns([&] { client->call(); }, run.arguments.seconds), "ns");
}

template <class P>
void single_round_trips(Run& run) {
    auto pair = run.pair<P>(Mode::echo);
    const auto client = pair.connect();
    const auto sorted = every_ns([&] { client->call(); }, run.arguments.seconds);
    const std::pair<const char*, double> shares[] = {
        {"p50", .5}, {"p90", .9}, {"p99", .99}, {"p99.9", .999}, {"max", 1}};
    for (const auto& [name, share] : shares) print_row(name, run.setup.size, percentile(sorted, share), "ns");
}

/// Messages a second: the time ends when the service has taken the last one.
template <class P>
void one_way(Run& run) {
    auto pair = run.pair<P>(Mode::consume);
    const auto client = pair.connect();
    std::uint64_t sent = 0;
    const auto send_for = [&](double seconds) {
        const std::uint64_t before = sent, started = now_ns(), end = started + ns_of(seconds);
        std::uint64_t batch = 1;
        for (std::uint64_t now = started; now < end;) {
            for (std::uint64_t i = 0; i < batch; ++i) client->send();
            sent += batch;
            const std::uint64_t later = now_ns();
            batch = later - now < 100'000 ? std::min<std::uint64_t>(2 * batch, 10'000)
                                          : std::max<std::uint64_t>(batch / 2, 1);
            now = later;
        }
        if constexpr (traits::Flushes<P>) client->flush();
        const std::uint64_t give_up = now_ns() + ns_of(20);
        while (run.setup.shared->consumed.load(std::memory_order_acquire) < sent) {
            pause();
            expect(now_ns() < give_up, "messages were sent and never received");
        }
        expect(run.setup.shared->consumed.load() == sent, "more messages were received than sent");
        return static_cast<double>(sent - before) * 1e9 / static_cast<double>(now_ns() - started);
    };
    (void)send_for(run.arguments.seconds / 5);
    run.print(send_for(run.arguments.seconds), "1/s");
}

/// Events a second, counted by the client that takes them.
template <class P>
void events(Run& run) {
    auto pair = run.pair<P>(Mode::push);
    const auto client = pair.connect();
    const auto take = [&](std::uint64_t wanted) {
        run.setup.shared->wanted.store(wanted);
        const std::uint64_t started = now_ns();
        client->poke();
        std::uint64_t taken = 0;
        while (taken < wanted) taken += client->take();
        expect(taken == wanted, "more events came than were sent");
        return static_cast<double>(now_ns() - started) / 1e9;
    };
    std::uint64_t wanted = 500;  // warmed up with what takes a fifth of the time
    double took = take(wanted);
    while (took < run.arguments.seconds / 5) took = take(wanted *= 2);
    wanted = static_cast<std::uint64_t>(static_cast<double>(wanted) * run.arguments.seconds / took);
    took = take(wanted);
    run.print(static_cast<double>(wanted) / took, "1/s");
}

/// The service's own time for one event to each of N clients, which read theirs afterwards.
template <class P>
void publish(Run& run) {
    auto pair = run.pair<P>(Mode::publish);
    std::vector<std::unique_ptr<typename P::Client>> clients;
    for (std::size_t i = 0; i < run.setup.sessions; ++i) clients.push_back(pair.connect());
    Shared& shared = *run.setup.shared;
    constexpr std::uint64_t together = 16;  // few enough for every client's lane or queue
    shared.wanted.store(together);
    std::vector<double> each;
    const std::uint64_t started = now_ns(), warm = started + ns_of(run.arguments.seconds / 5);
    for (const std::uint64_t end = warm + ns_of(run.arguments.seconds); now_ns() < end;) {
        shared.publish_ns.store(0);
        clients.front()->poke();
        std::uint64_t took = 0;
        while ((took = shared.publish_ns.load(std::memory_order_acquire)) == 0) pause();
        if (now_ns() > warm) each.push_back(static_cast<double>(took) / static_cast<double>(together));
        for (const auto& client : clients)
            for (std::uint64_t taken = 0; taken < together;) taken += client->take();
    }
    expect(!each.empty(), "not one round of events in the time given");
    print_row(run.arguments.which, run.setup.sessions, median(std::move(each)), "ns");
}

template <class P>
void connects(Run& run) {
    auto pair = run.pair<P>(Mode::echo);
    print_row(run.arguments.which, run.setup.max_message,
              median_ns([&] { pair.connect().reset(); }, run.arguments.seconds), "ns");
}

/// A round trip while N other clients are connected and do nothing.
template <class P>
void among_idle_sessions(Run& run) {
    const std::size_t idle = run.arguments.count;
    run.setup.sessions = idle + 1;
    auto pair = run.pair<P>(Mode::echo);
    std::vector<std::unique_ptr<typename P::Client>> clients;
    for (std::size_t i = 0; i <= idle; ++i) clients.push_back(pair.connect());
    for (const auto& client : clients) client->call();  // each has been used once
    auto& busy = *clients[idle / 2];
    print_row(run.arguments.which, idle, median_ns([&] { busy.call(); }, run.arguments.seconds), "ns");
}

inline double processor_seconds(pid_t process) {
    clockid_t clock{};
    timespec time{};
    expect(::clock_getcpuclockid(process, &clock) == 0 && ::clock_gettime(clock, &time) == 0, "the service's clock");
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

inline void let_pass(double seconds) {
    const timespec time{static_cast<time_t>(seconds), static_cast<long>((seconds - std::floor(seconds)) * 1e9)};
    ::nanosleep(&time, nullptr);
}

/// What the service's process uses of its processor while N clients do nothing.
template <class P>
void idle(Run& run) {
    auto pair = run.pair<P>(Mode::echo);
    std::vector<std::unique_ptr<typename P::Client>> clients;
    for (std::size_t i = 0; i < run.setup.sessions; ++i) clients.push_back(pair.connect());
    for (const auto& client : clients) client->call();
    let_pass(std::min(0.5, run.arguments.seconds));
    const double before = processor_seconds(pair.service());
    let_pass(run.arguments.seconds);
    const double used = processor_seconds(pair.service()) - before;
    print_row(run.arguments.which, run.setup.sessions, used * 1e3 * 10 / run.arguments.seconds, "ms/10s");
}

/// Calls a second of N clients, each a process. The first is on the client's cpu, the others on those that follow the
/// service's, and where there are none, on the client's as well.
template <class P>
void throughput(Run& run) {
    const auto& cpus = run.arguments.cpus;
    const std::size_t count = run.setup.sessions;
    auto pair = run.pair<P>(Mode::echo);
    Shared& shared = *run.setup.shared;
    std::vector<Child> clients;
    clients.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        const int cpu = cpus.size() == 2 || i % (cpus.size() - 1) == 0 ? cpus[0] : cpus[1 + i % (cpus.size() - 1)];
        clients.emplace_back([&](auto&& ready) {
            pin(cpu);
            auto client = pair.connect();
            client->call();
            ready();
            while (shared.go.load() == 0) client->call();  // warms up
            std::uint64_t calls = 0;
            for (; shared.go.load(std::memory_order_relaxed) == 1; ++calls) client->call();
            shared.calls += calls;
            client.reset();
        });
    }
    let_pass(run.arguments.seconds / 5);
    const std::uint64_t started = now_ns();
    shared.go.store(1);
    let_pass(run.arguments.seconds);
    shared.go.store(2);
    const std::uint64_t ended = now_ns();
    for (auto& client : clients) expect(client.wait() == 0, "a client failed");
    print_row(run.arguments.which, count,
              static_cast<double>(shared.calls.load()) * 1e9 / static_cast<double>(ended - started), "1/s");
}

}  // namespace bench
