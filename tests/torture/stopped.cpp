// SPDX-License-Identifier: BSL-1.0
// One of eight clients stands still, at any point of its work: the others go on, the service has nothing to do with it,
// and it goes on where it was.
//   torture-stopped [--full] [--seed N]
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <qbipc/client.hpp>
#include <qbipc/qbipc.hpp>
#include <qbipc/transport/shm_ring.hpp>
#include <qbipc/transport/unix_socket.hpp>

#include "process/arguments.hpp"
#include "process/messages.hpp"
#include "torture/findings.hpp"
#include "torture/kin.hpp"

using namespace qbipc;
using namespace qbipc::testing;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t clients = 8;
constexpr auto never_mind = 300s;

constexpr std::size_t long_answer = 60'000;  ///< nearly a lane
struct Long {
    static constexpr MessageId id = 60;
    using Reply = Long;
    using Tail = char;
    std::uint64_t number = 0;
};

struct Board {
    std::array<std::atomic<std::uint64_t>, clients> calls{}, wrong{};
    std::array<std::atomic<int>, clients> error{};
    std::atomic<std::uint64_t> standing = 0, sessions = 0, ended = 0, torn = 0, disconnects = 0;
    std::atomic<bool> pause = false;
    std::array<std::atomic<bool>, clients> pausing{};
    /// Who is to stand still with answers that don't fit its lane on their way.
    std::array<std::atomic<bool>, clients> stand_still{};
};

Options small_lanes() {
    Options options;
    options.lane_size = 64 << 10;
    return options;
}

template <class T>
int serve(Board& board, const std::string& name) {
    ServiceOptions options;
    static_cast<Options&>(options) = small_lanes();
    struct Account {
        std::uint64_t last = 0, ticks = 0;
    };
    auto service =
        listen<T>(name,
                  routes<Account>(
                      on_connect([&](auto&) { ++board.sessions; }), on_disconnect([&](auto&) { ++board.disconnects; }),
                      on<Note>([&](auto& session, const Note& note, std::string_view text) {
                          if (note.sequence != session->last + 1 || !is_pattern(note.sequence, text)) ++board.torn;
                          session->last = note.sequence;
                          // Best effort: whoever stands still misses some.
                          if (note.sequence % 16 == 0)
                              for (auto& each : session.sessions()) {
                                  ++each->ticks;
                                  (void)each.send(with_tail(Tick{each->ticks}, patterned(each->ticks, 300)));
                              }
                          return Copy<Note>(note, text);
                      }),
                      on<Long>([](const Long& request, std::string_view) {
                          return Copy<Long>(request, patterned(request.number, long_answer));
                      })),
                  {}, options);
    if (!service) return 1;
    ++board.standing;
    return service->run() ? 0 : 1;
}

template <class T>
int work(Board& board, const std::string& name, std::size_t me) {
    auto client = Client<T>::connect(name, never_mind, {}, small_lanes());
    if (!client) return 1;
    std::uint64_t last = 0;
    auto ticks = routes(on<Tick>([&](const Tick& tick, std::string_view text) {
        if (tick.number <= last || !is_pattern(tick.number, text)) ++board.wrong[me];
        last = tick.number;
    }));
    Random random(100 + me);
    for (std::uint64_t sequence = 1;; ++sequence) {
        while (board.pause) {
            board.pausing[me] = true;
            ::usleep(1'000);
        }
        board.pausing[me] = false;
        if (board.stand_still[me].exchange(false)) {
            std::vector<Pending<Long>> pending;
            for (std::uint64_t i = 1; i <= 4; ++i) {
                auto started = client->start(with_tail(Long{i}, std::string_view()));
                if (started) pending.push_back(std::move(*started));
            }
            ::raise(SIGSTOP);
            if (pending.size() != 4) ++board.wrong[me];
            for (std::uint64_t i = 1; i <= pending.size(); ++i) {
                const auto answer = client->wait(pending[i - 1], never_mind);
                if (!answer || std::string_view(answer->tail()) != patterned(i, long_answer)) ++board.wrong[me];
            }
        }
        // Answers that don't fit a lane stop it, and its service, in the middle of one.
        const auto text = patterned(sequence, random.one_in(50) ? 90'000 : random.below(400));
        const auto answer = client->call(with_tail(Note{me, sequence}, text), never_mind);
        if (!answer) {
            board.error[me] = answer.error().value();
            return 1;
        }
        if ((*answer)->sequence != sequence || std::string_view(answer->tail()) != text) ++board.wrong[me];
        const auto got = client->dispatch(ticks);
        if (!got) {
            board.error[me] = got.error().value();
            return 1;
        }
        ++board.calls[me];
    }
}

/// What a process has used: nanoseconds of a processor, and how often it went to sleep.
struct Used {
    long long time = 0;
    long sleeps = 0;
    static Used of(pid_t pid) {
        Used used;
        std::ifstream("/proc/" + std::to_string(pid) + "/schedstat") >> used.time;
        used.sleeps = testing::sleeps(std::to_string(pid));
        return used;
    }
};

/// What a process that should have nothing to do used for a while.
struct Idle {
    double busy = 0;  ///< of a processor
    long sleeps = 0, sleeps_a_second = 0;
    bool used_too_much() const { return busy > 0.01 || sleeps > 5; }

    static Idle of(pid_t pid, std::chrono::milliseconds time) {
        const auto start = std::chrono::steady_clock::now();
        const auto before = Used::of(pid);
        std::this_thread::sleep_for(time);
        const auto after = Used::of(pid);
        const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        const auto sleeps = after.sleeps - before.sleeps;
        return {1e-9 * static_cast<double>(after.time - before.time) / seconds, sleeps,
                static_cast<long>(static_cast<double>(sleeps) / seconds)};
    }
};

template <class T>
class Ward {
public:
    Ward(const char* transport, Findings& findings)
        : transport_(transport),
          findings_(findings),
          random_(std::string_view(transport) == "shm" ? 40 : 41),
          name_("torture-" + std::to_string(::getpid()) + "-stopped-" + transport) {}

    void run(long times, std::chrono::milliseconds still, std::chrono::milliseconds last) {
        service_ = Kin([&] { return serve<T>(*board_, name_); });
        if (!comes_true([&] { return board_->standing == 1; })) return fail("no service");
        for (std::size_t i = 0; i < clients; ++i) clients_[i] = Kin([&, i] { return work<T>(*board_, name_, i); });
        if (!comes_true([&] { return everybody_but(clients, 10); })) fail("they don't begin");
        for (long time = 0; time < times + 1 && findings_.failures() == 0; ++time) one(time < times ? still : last);
        for (std::size_t i = 0; i < clients; ++i) {
            const auto who = "client " + std::to_string(i);
            if (board_->error[i] != 0) fail(who + " has error " + std::to_string(board_->error[i]));
            if (board_->wrong[i] != 0) fail(who + " got something wrong");
            calls_ += board_->calls[i];
            clients_[i].kill();
            ++findings_.kills;
        }
        if (board_->torn != 0) fail("the service got something wrong");
        if (!comes_true([&] { return board_->disconnects == clients; })) fail("sessions stay");
        std::printf(
            "  %-5s %ld stops, %llu calls; idle beside one who stands still: %.3f %% of a processor, %ld sleeps "
            "a second at most\n",
            transport_, times + 1, calls_, 100 * busiest_, most_sleeps_);
    }

private:
    void fail(const std::string& what) { findings_.fail(std::string(transport_) + ": " + what); }

    using Calls = std::array<std::uint64_t, clients>;
    Calls calls() const {
        Calls now{};
        for (std::size_t i = 0; i < clients; ++i) now[i] = board_->calls[i];
        return now;
    }
    /// Whether all, or all but one, have made so many calls more.
    bool everybody_but(std::size_t one, std::uint64_t more, const Calls& then = {}) const {
        for (std::size_t i = 0; i < clients; ++i)
            if (i != one && board_->calls[i] < then[i] + more) return false;
        return true;
    }

    void one(std::chrono::milliseconds still) {
        const auto which = random_.below(clients);
        ::usleep(static_cast<useconds_t>(random_.below(20'000)));  // in whatever it is doing then
        if (random_.one_in(2)) {
            clients_[which].stop();
        } else {
            board_->stand_still[which] = true;
            if (!clients_[which].stands_still()) fail("it doesn't stand still");
        }
        const auto then = calls();
        if (!comes_true([&] { return everybody_but(which, 100, then); }, 60s))
            fail("beside one who stands still the others don't go on");

        // All others rest: so does the service.
        board_->pause = true;
        const bool resting = comes_true([&] {
            for (std::size_t i = 0; i < clients; ++i)
                if (i != which && !board_->pausing[i]) return false;
            return true;
        });
        if (!resting) fail("the others don't come to rest");
        if (!comes_true([&] { return service_.state() == 'S'; })) fail("the service doesn't come to rest");
        // The last of what they wanted may still be on its way: it rests, or it never does.
        const auto time = std::max<std::chrono::milliseconds>(still, 100ms);
        Idle idle = Idle::of(service_.pid(), time);
        for (int again = 0; idle.used_too_much() && again < 2; ++again) idle = Idle::of(service_.pid(), time);
        busiest_ = std::max(busiest_, idle.busy);
        most_sleeps_ = std::max(most_sleeps_, idle.sleeps_a_second);
        if (idle.used_too_much())
            fail("beside one who stands still the idle service uses " + std::to_string(100 * idle.busy) +
                 " % of a processor, and sleeps " + std::to_string(idle.sleeps) + " times");
        board_->pause = false;
        if (!comes_true([&] { return everybody_but(which, 120, then); }, 60s)) fail("the others don't go on");
        clients_[which].resume();
        if (!comes_true([&] { return board_->calls[which] >= then[which] + 20; }, 60s))
            fail("who stood still doesn't go on");
        if (board_->disconnects != 0) fail("a session was ended");
    }

    const char* transport_;
    Findings& findings_;
    Random random_;
    const std::string name_;
    Shared<Board> board_;
    Kin service_;
    std::array<Kin, clients> clients_;
    unsigned long long calls_ = 0;
    double busiest_ = 0;
    long most_sleeps_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    const Words words(argc, argv);
    Findings findings;
    const long times = words.number("--times", words.full() ? 50 : 6);
    const auto still = words.full() ? 2'000ms : 100ms;
    Ward<ShmRing>("shm", findings).run(times, still, words.full() ? 60'000ms : 1'000ms);
    Ward<UnixSocket>("unix", findings).run(times, still, 1'000ms);
    return findings.end("stopped", std::to_string(2 * (times + 1)) + " stops");
}
