// SPDX-License-Identifier: BSL-1.0
// Sets up one death: a victim at the beginning of a region, a survivor who waits for it; then looks at who is left.
#pragma once

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <functional>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include "process/arguments.hpp"
#include "torture/findings.hpp"
#include "torture/kin.hpp"
#include "torture/stepped.hpp"
#include "torture/tracee.hpp"

namespace qbipc::testing {

/// A stretch of code between two markers, and what its victim's death may leave behind.
struct Region {
    const char* name;
    Body body;
    /// A client's: what the service takes of it, from `least` (death at the first instruction) to `most` (at the last);
    /// once it is taken, whoever dies later has it taken too.
    Board::Count Board::*taken = nullptr;
    std::uint64_t least = 0, most = 0;
    bool service_stopped = false;  ///< from the first marker until the death
    /// A service's: what the client does.
    Order order = Order::call;
    bool opens = true;    ///< the service warms up before the region, not in it
    bool alone = false;   ///< no client is there
    bool ordered = true;  ///< the path is the same each time, so that what comes of it grows with k
};

template <class T>
std::vector<Region> client_regions() {
    using D = Dying<T>;
    return {
        {.name = "publish", .body = D::publish, .taken = &Board::jots, .least = 0, .most = 1},
        {.name = "publish_quietly",
         .body = D::publish_quietly,
         .taken = &Board::jots,
         .least = 1,
         .most = 2,
         .service_stopped = true},
        {.name = "publish_long", .body = D::publish_long, .taken = &Board::jots, .least = 0, .most = 1},
        {.name = "publish_longer_than_the_lane",
         .body = D::publish_longer_than_the_lane,
         .taken = &Board::jots,
         .least = 0,
         .most = 1,
         .ordered = false},
        {.name = "call", .body = D::call, .taken = &Board::calls, .least = 0, .most = 1, .ordered = false},
        {.name = "take_answer", .body = D::take_answer, .taken = &Board::calls, .least = 1, .most = 1},
        {.name = "take_long_answer", .body = D::take_long_answer, .taken = &Board::calls, .least = 1, .most = 1},
        {.name = "take_events", .body = D::take_events, .taken = &Board::warm, .least = 1, .most = 1},
        {.name = "client_sleep", .body = D::sleep, .taken = &Board::warm, .least = 1, .most = 1, .ordered = false},
        {.name = "client_loop", .body = D::loop, .taken = &Board::warm, .least = 1, .most = 1},
        {.name = "connect", .body = D::connect, .taken = &Board::connects, .least = 0, .most = 1, .ordered = false},
        {.name = "disconnect", .body = D::disconnect, .taken = &Board::bye, .least = 0, .most = 1},
    };
}

template <class T>
std::vector<Region> service_regions() {
    using D = DyingService<T>;
    return {
        {.name = "answer", .body = D::answer, .order = Order::call},
        {.name = "answer_long", .body = D::answer, .order = Order::call_long},
        {.name = "service_sleep", .body = D::sleep, .order = Order::stop_later, .ordered = false},
        {.name = "accept", .body = D::accept, .order = Order::keep_quiet, .opens = false, .ordered = false},
        {.name = "listen", .body = D::listen_, .alone = true},
        {.name = "close", .body = D::close, .order = Order::keep_quiet},
    };
}

/// What is wrong with the one who was left; the times of notice.
class Verdicts {
public:
    Verdicts(Findings& findings) : findings_(findings) {}

    void fail(const std::string& where, const std::string& what) { findings_.fail(where + ": " + what); }
    void noticed_after(std::chrono::steady_clock::duration time) { times_.push_back(time); }
    void killed() { ++findings_.kills; }
    /// In milliseconds, of all who were killed so far.
    std::string notice() {
        if (times_.empty()) return "never";
        std::sort(times_.begin(), times_.end());
        const auto ms = [](auto time) { return std::chrono::duration<double, std::milli>(time).count(); };
        char text[96];
        std::snprintf(text, sizeof text, "noticed after %.2f ms (median), %.2f (99 %%), %.2f (most)",
                      ms(times_[times_.size() / 2]), ms(times_[times_.size() * 99 / 100]), ms(times_.back()));
        return text;
    }

private:
    Findings& findings_;
    std::vector<std::chrono::steady_clock::duration> times_;
};

/// What the tormentor does with a victim at the region's beginning: kills it somewhere. Gives where, for a failure.
using Torment = std::function<std::string(Tracee&)>;

/// Whoever survives is one process for all deaths, so that what leaks adds up.
template <class T>
class Bench {
public:
    Bench(const char* transport, Findings& findings)
        : verdicts(findings), client_name_(torture_name("s", transport)), service_name_(torture_name("c", transport)) {
        service_ = Kin([&] { return serve_for_ever<T>(*board, client_name_); });
        if (!comes_true([&] { return board->began > 0 && asleep(service_); }))
            findings.fail("the service doesn't stand");
        int pair[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) std::abort();
        client_ = Kin([&] { return SurvivingClient<T>(*board, service_name_, pair[1]).obey(); });
        socket_ = pair[0];
        (void)comes_true([&] { return asleep(client_); });
        service_has_ = open_descriptors(std::to_string(service_.pid()));
        client_has_ = open_descriptors(std::to_string(client_.pid()));
    }

    bool is_service(const Region& region) const { return region.taken == nullptr; }

    /// One victim, one death. `finished`: the torment let it live to the end.
    void round(const Region& region, const Torment& torment) {
        clear();
        if (is_service(region))
            service_dies(region, torment);
        else
            client_dies(region, torment);
    }

    Shared<Board> board;
    Verdicts verdicts;
    pid_t service_pid() const { return service_.pid(); }
    pid_t client_pid() const { return client_.pid(); }

    /// The most that came of a region so far; where k grows, less than that is wrong.
    std::uint64_t most_taken = 0;
    std::uint64_t came = 0;  ///< as much as that, the last time
    /// Less than before was taken, though the region is one in which ever more is. The caller's to judge: it may have
    /// died elsewhere than he meant, for malloc() doesn't take the same way each time.
    std::string lost;
    void begin(const Region&) { most_taken = 0; }

private:
    static bool asleep(const Kin& kin) { return kin.state() == 'S'; }

    /// What leaked once stays away: nobody waits for it again as long as for the first time.
    template <class F>
    bool settles(F&& f) {
        if (comes_true(f, patience_)) return true;
        patience_ = 1s;
        return false;
    }

    void clear() {
        Board& b = *board;
        for (Board::Count* count :
             {&b.connects, &b.disconnects, &b.bye, &b.other_end, &b.calls, &b.jots, &b.torn, &b.data, &b.began, &b.warm,
              &b.gate, &b.published, &b.seen_size, &b.seen, &b.result})
            *count = 0;
    }

    std::string where(const Region& region, const std::string& there) { return std::string(region.name) + ' ' + there; }

    void grows(const Region& region, const std::string& there, std::uint64_t now) {
        came = now;
        lost.clear();
        if (now < most_taken && region.ordered)
            lost = where(region, there) + ": what was published before is lost: " + std::to_string(now) + " of " +
                   std::to_string(most_taken);
        most_taken = std::max(most_taken, now);
    }

    void client_dies(const Region& region, const Torment& torment) {
        Tracee victim([&] { return region.body(client_name_, *board); });
        if (victim.run() != Tracee::Stop::marker)
            return verdicts.fail(where(region, "before"), "it didn't come so far");
        const bool slept = comes_true([&] { return asleep(service_); });
        if (region.service_stopped) service_.stop();
        const bool begins = victim.run() == Tracee::Stop::marker;
        const auto there = begins ? torment(victim) : "before";
        victim.kill();
        const auto death = std::chrono::steady_clock::now();
        if (region.service_stopped) service_.resume();
        if (!slept || !begins) return verdicts.fail(where(region, there), "it didn't come so far");
        verdicts.killed();

        const auto pid = std::to_string(service_.pid());
        const auto quiet = [&] {
            // Asleep: who had connected before he died is in nobody's queue, to be let in during the next round.
            return open_descriptors(pid) == service_has_ && board->connects == board->disconnects && board->data == 0 &&
                   asleep(service_);
        };
        if (!settles(quiet))
            verdicts.fail(where(region, there), "the service has " + std::to_string(open_descriptors(pid)) +
                                                    " descriptors instead of " + std::to_string(service_has_) + ", " +
                                                    std::to_string(board->connects - board->disconnects) +
                                                    " sessions, private data of " + std::to_string(board->data));
        verdicts.noticed_after(std::chrono::steady_clock::now() - death);
        if (const int left = session_mappings(pid); left != 0)
            verdicts.fail(where(region, there), std::to_string(left) + " mappings are left");
        if (board->torn != 0) verdicts.fail(where(region, there), "half a message was delivered");
        if (board->other_end != 0) verdicts.fail(where(region, there), "the session ended for a wrong reason");
        const std::uint64_t taken = (*board).*region.taken;
        if (taken < region.least || taken > region.most)
            verdicts.fail(where(region, there), "delivered: " + std::to_string(taken));
        grows(region, there, taken);
    }

    void service_dies(const Region& region, const Torment& torment) {
        Tracee victim([&] { return region.body(service_name_, *board); });
        if (victim.run() != Tracee::Stop::marker)
            return verdicts.fail(where(region, "before"), "it didn't come so far");
        bool begins = true, nudged = false;
        if (!region.alone) {
            ::send(socket_, &region.order, 1, MSG_NOSIGNAL);
            if (region.opens) {
                begins = victim.run() == Tracee::Stop::marker;
                board->gate = 1;
                begins = begins && comes_true([&] { return board->published > 0; });
            } else {
                board->gate = 1;
                begins = comes_true([&] { return board->began > 0; });
            }
            begins = begins && comes_true([&] { return asleep(client_); });
        }
        begins = begins && victim.run() == Tracee::Stop::marker;
        const auto nudge = [&] {
            if (!std::exchange(nudged, true)) ::send(socket_, &region.order, 1, MSG_NOSIGNAL);
        };
        if (region.order == Order::stop_later) victim.nudge = nudge;
        const auto there = begins ? torment(victim) : "before";
        victim.kill();
        const auto death = std::chrono::steady_clock::now();
        verdicts.killed();
        if (!begins) verdicts.fail(where(region, there), "it didn't come so far");
        if (region.alone) return;
        if (region.order == Order::stop_later && !nudged) {
            const Order quiet = Order::keep_quiet;
            ::send(socket_, &quiet, 1, MSG_NOSIGNAL);
        }
        Outcome outcome;
        pollfd told{socket_, POLLIN, 0};
        while (::poll(&told, 1, 250'000) < 0 && errno == EINTR) {
        }
        if (told.revents == 0 || ::read(socket_, &outcome, sizeof outcome) != sizeof outcome)
            return verdicts.fail(where(region, there), "the client doesn't notice it");
        if (!begins)
            return verdicts.fail(where(region, there), "the client's connect: " + std::to_string(outcome.connect) +
                                                           ", call: " + std::to_string(outcome.first) + ", error " +
                                                           std::to_string(outcome.number));
        const auto pid = std::to_string(client_.pid());
        if (!settles([&] { return open_descriptors(pid) == client_has_; }))
            verdicts.fail(where(region, there), "the client has " + std::to_string(open_descriptors(pid)) +
                                                    " descriptors instead of " + std::to_string(client_has_));
        verdicts.noticed_after(std::chrono::steady_clock::now() - death);
        if (const int left = session_mappings(pid); left != 0)
            verdicts.fail(where(region, there), std::to_string(left) + " mappings are left");
        judge(region, there, outcome);
    }

    void judge(const Region& region, const std::string& there, const Outcome& outcome) {
        const auto wrong = [&](const char* what, std::uint64_t value) {
            verdicts.fail(where(region, there),
                          "the client's " + std::string(what) + " is " + std::to_string(value) +
                              (outcome.number ? ", error " + std::to_string(outcome.number) : ""));
        };
        if (outcome.connect != Outcome::none) {
            if (region.opens || outcome.connect != Outcome::disconnected) wrong("connect", outcome.connect);
            return;
        }
        if (outcome.first != Outcome::none && outcome.first != Outcome::disconnected) wrong("call", outcome.first);
        if (outcome.value_wrong) wrong("answer", outcome.value_wrong);
        if (outcome.events_wrong) wrong("torn events", outcome.events_wrong);
        if (outcome.events > 1) wrong("events", outcome.events);
        if (outcome.alive) wrong("alive", outcome.alive);
        const bool looked = region.opens || outcome.first == Outcome::none;
        if (looked && outcome.last != Outcome::disconnected) wrong("last error", outcome.last);
        if (region.order == Order::call || region.order == Order::call_long)
            grows(region, there, (outcome.first == Outcome::none ? 1u : 0u) + outcome.events);
    }

    const std::string client_name_, service_name_;
    Kin service_, client_;
    int socket_ = -1;
    std::chrono::milliseconds patience_ = 20s;
    int service_has_ = 0, client_has_ = 0;
};

}  // namespace qbipc::testing
