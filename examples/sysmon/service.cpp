// SPDX-License-Identifier: BSL-1.0
// service.cpp: the service. One thread serves; another reads /proc, which takes milliseconds, and posts what it read.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <mutex>
#include <stop_token>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <utility>

#include "commands.hpp"
#include "messages.hpp"
#include "proc.hpp"

namespace sysmon {
namespace {

using namespace std::chrono_literals;
using qbipc::Clock;

/// When the next reading is due: set by the serving thread, waited for by the sampling one.
class Alarm {
public:
    void set(Clock::time_point at) {
        const std::lock_guard lock(mutex_);
        at_ = at;
        changed_.notify_one();
    }

    /// Returns when the time has come, once for each set(); false: asked to stop.
    bool wait(const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        while (!stop.stop_requested()) {
            const auto at = at_;
            if (Clock::now() >= at) {
                at_ = never;
                return true;
            }
            if (at == never)
                changed_.wait(lock, stop, [&] { return at_ != at; });
            else
                changed_.wait_until(lock, stop, at, [&] { return at_ != at; });
        }
        return false;
    }

private:
    static constexpr auto never = Clock::time_point::max();
    std::mutex mutex_;
    std::condition_variable_any changed_;
    Clock::time_point at_ = never;
};

/// Private data, one per connection.
struct Watcher {
    std::string name;                          // of the process that connected; for the log
    std::chrono::milliseconds interval = 0ms;  // 0: wants no samples
    Clock::time_point due{};
    std::uint32_t missed = 0;
};

constexpr auto oldest_snapshot = 1s;

/// Sends the reading to each session whose time has come. A slow one misses samples, and is told how many.
void tell_watchers(auto&& sessions, const Reading& reading) {
    const auto now = Clock::now();
    for (auto& session : sessions) {
        if (session->interval == 0ms || session->due > now) continue;
        const auto sent = session.send(qbipc::with_tail(Sample{session->missed, reading.load}, reading.cores));
        session->missed = sent ? 0 : session->missed + 1;
        session->due = std::max(session->due + session->interval, now);
    }
}

Clock::time_point next_due(auto&& sessions) {
    auto next = Clock::now() + oldest_snapshot;
    for (auto& session : sessions)
        if (session->interval != 0ms) next = std::min(next, session->due);
    return next;
}

Watcher meet(const qbipc::Credentials& who) {
    const auto process = read_process(who.pid, 0);
    return {process ? printable(text_of(process->details.name)) : "?"};
}

/// "session 3: pid 4242 (sysmon), uid 1000"
std::string describe(auto& session) {
    const auto& who = session.credentials();
    return "session " + std::to_string(session.id()) + ": pid " + std::to_string(who.pid) + " (" + session->name +
           "), uid " + std::to_string(who.uid);
}

void log_arrival(auto& session) { std::fprintf(stderr, "%s: connected\n", describe(session).c_str()); }

const char* words_for(qbipc::EndReason reason) {
    switch (reason) {
        case qbipc::EndReason::bye:
            return "left";
        case qbipc::EndReason::lost:
            return "died";
        case qbipc::EndReason::violation:
            return "broke the protocol";
        case qbipc::EndReason::quota:
            return "asked too much at once";
        default:
            return "was disconnected";
    }
}

void log_departure(auto& session) {
    const auto done = session.statistics();
    std::fprintf(stderr, "%s: %s (requests: %llu, samples: %llu)\n", describe(session).c_str(),
                 words_for(session.reason()), static_cast<unsigned long long>(done.requests),
                 static_cast<unsigned long long>(done.events));
}

qbipc::Result<Reniced> set_nice(const Renice& wish) {
    if (wish.pid <= 0 || wish.nice < -20 || wish.nice > 19)
        return qbipc::fail(std::make_error_code(std::errc::invalid_argument));
    const auto pid = static_cast<id_t>(wish.pid);
    errno = 0;  // -1 is a nice value, too
    const int before = ::getpriority(PRIO_PROCESS, pid);
    if (errno != 0) return qbipc::fail_system(errno);
    if (::setpriority(PRIO_PROCESS, pid, wish.nice) != 0) return qbipc::fail_system(errno);
    return Reniced{before, ::getpriority(PRIO_PROCESS, pid)};
}

template <class Transport>
int serve_over(const Where& where, const char* transport) {
    Meter meter;
    Reading latest = meter.read();  // the serving thread's from here on
    Alarm alarm;

    auto service = qbipc::or_exit(
        qbipc::listen<Transport>(
            where.name,
            qbipc::routes<Watcher>(
                qbipc::on_accept(meet), qbipc::on_connect([](auto& session) { log_arrival(session); }),
                qbipc::on_disconnect([](auto& session) { log_departure(session); }),
                qbipc::on<Snapshot>([&](const Snapshot&, qbipc::Answer<Machine> answer) {
                    answer.send(qbipc::with_tail(Machine{latest.load}, latest.cores));
                }),
                qbipc::on<Process>([](auto& session, const Process& wish, qbipc::Answer<Details> answer) {
                    const auto found = read_process(wish.pid, session.credentials().uid);
                    if (found)
                        answer.send(qbipc::with_tail(found->details, found->text));
                    else
                        answer.fail(found.error());
                }),
                qbipc::on<SetInterval>([&](auto& session, const SetInterval& wish) {
                    const auto shortest = wish.milliseconds == 0 ? 0 : shortest_interval;
                    session->interval = std::chrono::milliseconds(std::max(wish.milliseconds, shortest));
                    session->due = Clock::now() + session->interval;
                    alarm.set(next_due(session.sessions()));
                }),
                qbipc::on<Renice>(set_nice).only(qbipc::same_user_or_root)),
            qbipc::anyone),  // what /proc tells everybody, this service does
        "sysmon");

    std::jthread sampling([&](const std::stop_token& stop) {
        while (alarm.wait(stop)) {
            auto posted = service.post([&, reading = meter.read()](auto& serving) mutable {
                latest = std::move(reading);
                tell_watchers(serving.sessions(), latest);
                alarm.set(next_due(serving.sessions()));
            });
            if (!posted) return;
        }
    });
    alarm.set(Clock::now() + oldest_snapshot);

    static const auto stop = service.stopper();  // may be called from a signal handler
    std::signal(SIGTERM, [](int) { stop(); });
    std::signal(SIGINT, [](int) { stop(); });

    std::fprintf(stderr, "sysmon serves \"%s\" over %s\n", where.name.c_str(), transport);
    qbipc::or_exit(service.run(), "sysmon");
    std::signal(SIGTERM, SIG_DFL);  // the stopper ends with the service
    std::signal(SIGINT, SIG_DFL);
    std::fprintf(stderr, "sysmon has stopped\n");
    return 0;
}

}  // namespace

int serve(const Where& where) {
    return where.transport == Transport::shm ? serve_over<qbipc::ShmRing>(where, "ShmRing")
                                             : serve_over<qbipc::UnixSocket>(where, "UnixSocket");
}

}  // namespace sysmon
