// SPDX-License-Identifier: BSL-1.0
// The helper's service: answers all of messages.hpp, keeps a ledger, and says how it is doing.
#pragma once

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include <qbipc/answer.hpp>
#include <qbipc/qbipc.hpp>

#include "process/arguments.hpp"
#include "process/messages.hpp"

namespace qbipc::testing {

/// One session's.
struct Account {
    double total = 0;
    std::uint64_t ticks = 0;  ///< number of the last event
    Wish wish{};              ///< what of it is still to be sent
};

/// The whole service's.
struct Books {
    std::uint64_t connects = 0, disconnects = 0, torn = 0, gaps = 0, jots = 0, refused_events = 0;
    std::map<EndReason, std::uint64_t> reasons;
    std::map<std::uint64_t, std::uint64_t> last;  ///< of each client the last sequence number
    std::deque<Answer<Sum>> owed;
    int file = -1;
    std::function<void()> wants_pump;

    void enter(std::uint64_t client, std::uint64_t sequence, std::string_view tail) {
        auto& before = last[client];
        gaps += sequence != before + 1;
        before = sequence;
        LedgerEntry entry{client, sequence};
        if (!is_pattern(client + sequence, tail)) {
            ++torn;
            entry.sequence = qbipc::testing::torn;
        }
        if (file >= 0 && ::write(file, &entry, sizeof entry) != sizeof entry) ++torn;
    }
};

/// Sends what is wished for; true when all of it is out.
template <class S>
bool pump(Books& books, S& session) {
    auto& wish = session->wish;
    for (; wish.count != 0; --wish.count) {
        const std::uint64_t number = session->ticks + 1;
        const bool with = wish.every == 0 || number % wish.every == 0;
        const auto sent = session.send(with_tail(Tick{number}, patterned(number, with ? wish.size : 0)));
        if (!sent && sent.error() == errc::lane_full && wish.patient != 0) return false;
        if (!sent && sent.error() == errc::disconnected) {
            wish.count = 0;
            break;
        }
        if (!sent) ++books.refused_events;
        session->ticks = number;
    }
    return true;
}

/// As what a function leaves on its stack may be: nothing but poison between the members.
inline Gaps poisoned_gaps() {
    alignas(Gaps) unsigned char memory[sizeof(Gaps)];
    std::memset(memory, 0xa5, sizeof memory);
    auto& gaps = *reinterpret_cast<Gaps*>(memory);
    gaps.small = 1;
    gaps.large = 2;
    gaps.last = 3;
    asm volatile("" : : "r"(memory) : "memory");  // all of it counts
    return gaps;
}

inline auto selector_of(Books& books) {
    const auto tick = [](auto& session, std::uint32_t count) {
        for (std::uint32_t i = 0; i < count; ++i)
            (void)session.send(with_tail(Tick{++session->ticks}, std::string_view()));
    };
    return routes<Account>(
        on_connect([&books](auto& session) {
            ++books.connects;
            for (std::uint32_t i = 1; i <= 3; ++i) session.send(qbipc::testing::Hello{i});
        }),
        on_disconnect([&books](auto& session) {
            ++books.disconnects;
            ++books.reasons[session.reason()];
        }),
        on<Add>([](auto& session, const Add& add) { return Sum{session->total += add.a + add.b}; }),
        on<Clear>([](auto& session, const Clear&) { session->total = 0; }),
        on<Echo>([](const Echo&, std::string_view text) { return Copy<Echo>(Echo{}, text); }),
        on<Who>([](auto& session, const Who&) {
            Identity identity{session.credentials().uid, session.credentials().gid, session.credentials().pid, 0};
            for ([[maybe_unused]] auto& other : session.sessions()) ++identity.sessions;
            return identity;
        }),
        on<AnswerByEvents>([&books, tick](auto& session, const AnswerByEvents& request, Answer<Sum> answer) {
            books.owed.push_back(std::move(answer));
            tick(session, request.events);
        }),
        on<Die>([tick](auto& session, const Die& die, Answer<Sum>) {
            tick(session, die.events);
            if (die.how != 0) ::kill(::getpid(), static_cast<int>(die.how));
            ::_exit(0);
        }),
        on<Secret>([](const Secret&) { return Sum{42}; }).only(uids<0, 2002>),
        on<Throw>([](const Throw&) -> Sum { throw std::runtime_error("as asked"); }),
        on<Gaps>([](const Gaps&) { return poisoned_gaps(); }),
        on<Note>([&books](const Note& note, std::string_view tail) {
            books.enter(note.client, note.sequence, tail);
            return Copy<Note>(note, tail);
        }),
        on<Jot>([&books](const Jot& jot, std::string_view tail) {
            ++books.jots;
            books.enter(jot.client, jot.sequence, tail);
        }),
        on<Wish>([&books](auto& session, const Wish& wish) {
            if (wish.count != 0) session->wish = wish;
            if (!pump(books, session)) books.wants_pump();
        }),
        on<Leave>([](auto& session, const Leave&) { session.disconnect(); }));
}

/// Bytes of all sessions' memory files together, as the file system counts them; -1 where this process may not look.
inline long long memory_in_use() {
    std::ifstream maps("/proc/self/maps");
    std::map<ino_t, long long> files;  // a file may have several mappings
    for (std::string line; std::getline(maps, line);) {
        if (line.find("memfd:qbipc") == line.npos) continue;
        struct stat status {};
        if (::stat(("/proc/self/map_files/" + line.substr(0, line.find(' '))).c_str(), &status) != 0) return -1;
        files[status.st_ino] = 512LL * status.st_blocks;
    }
    long long sum = 0;
    for (const auto& [file, bytes] : files) sum += bytes;
    return sum;
}

template <class S>
void report(S& service, const Books& books) {
    const auto statistics = service.statistics();
    const auto reason = [&](EndReason why) { return books.reasons.count(why) ? books.reasons.at(why) : 0; };
    std::cout << "connects=" << books.connects << " disconnects=" << books.disconnects
              << " bye=" << reason(EndReason::bye) << " lost=" << reason(EndReason::lost)
              << " violation=" << reason(EndReason::violation) << " disconnected=" << reason(EndReason::disconnected)
              << " torn=" << books.torn << " gaps=" << books.gaps << " jots=" << books.jots
              << " refused_events=" << books.refused_events << " sessions=" << statistics.sessions
              << " half_open=" << statistics.half_open << " accepted=" << statistics.accepted
              << " refused=" << statistics.refused << " events=" << statistics.events
              << " requests=" << statistics.requests << " lane_full=" << statistics.lane_full
              << " waiting=" << statistics.calls_waiting << " fds=" << open_descriptors()
              << " maps=" << session_mappings() << " memory=" << memory_in_use() << " sleeps=" << sleeps() << std::endl;
}

/// Leaves a child that holds on to copies of all descriptors, its parent's death included, until this input ends.
inline void leave_a_child() {
    if (::fork() != 0) return;
    pollfd input{0, 0, 0};
    ::poll(&input, 1, -1);
    ::_exit(0);
}

/// Runs this program anew, and gives what it says of the descriptors that it was born with.
inline std::string execute_a_child() {
    int out[2];
    if (::pipe2(out, O_CLOEXEC) != 0) return "no pipe";
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    std::string program = "/proc/self/exe", verb = "descriptors";
    char* const words[] = {program.data(), verb.data(), nullptr};
    pid_t child = -1;
    ::posix_spawn(&child, words[0], &actions, nullptr, words, environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(out[1]);
    std::string said;
    char letter = 0;
    while (::read(out[0], &letter, 1) == 1 && letter != '\n') said += letter;
    ::close(out[0]);
    ::waitpid(child, nullptr, 0);
    return said;
}

/// A child that was forked, not re-executed, tries to use its parent's service.
template <class S>
std::string fork_a_service(S& service) {
    static int forks = 0;
    const bool disconnects = ++forks % 2 == 0;
    const pid_t child = ::fork();
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        int wrong = 0;
        using Ref = decltype((*service.sessions().begin()).ref());
        std::vector<Ref> kept;
        for (auto& session : service.sessions()) kept.push_back(session.ref());
        {
            S mine = std::move(service);
            const auto dispatched = mine.dispatch();
            wrong |= !dispatched && dispatched.error() == errc::used_after_fork ? 0 : 1;
            const auto ran = mine.run();
            wrong |= !ran && ran.error() == errc::used_after_fork ? 0 : 2;
            for (auto& session : mine.sessions()) {
                const auto sent = session.send(qbipc::testing::Hello{1});
                wrong |= !sent && sent.error() == errc::used_after_fork ? 0 : 4;
                if (disconnects) session.disconnect();
            }
        }
        for (const auto& ref : kept) wrong |= ref.connected() ? 8 : 0;
        ::_exit(wrong);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return "child " + std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/// As on a kernel that doesn't know SO_PASSRIGHTS: whoever connects may send descriptors.
inline void let_descriptors_in() {
    const int some = 1;
    for (int fd = 0; fd < 64; ++fd) {
        int listens = 0;
        socklen_t size = sizeof listens;
        if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0)
            ::setsockopt(fd, SOL_SOCKET, qbipc::detail::so_passrights, &some, sizeof some);
    }
}

inline std::optional<Stopper> stop_by_signal;

/// Interrupts every blocking call, a thousand times a second, as a program with a profiling timer does.
inline void begin_storm() {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &action, nullptr);  // no SA_RESTART
    const itimerval each_millisecond{{0, 1000}, {0, 1000}};
    ::setitimer(ITIMER_REAL, &each_millisecond, nullptr);
}
inline void end_storm() {
    const itimerval never{};
    ::setitimer(ITIMER_REAL, &never, nullptr);
}

/// Until its input ends, or SIGTERM. Says "ready", answers "status", and says "stopped" in the end.
template <TransportPolicy T, class Auth>
int serve(const std::string& address, const Arguments& arguments, Auth auth) {
    ServiceOptions options;
    Books books;
    if (arguments.has("ledger"))
        books.file = ::open(arguments.text("ledger").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (arguments.has("flag")) options.flag_file = arguments.text("flag");
    options.pages = pages_of(arguments);
    if (arguments.has("mode")) options.mode = static_cast<mode_t>(arguments.number("mode"));
    if (arguments.has("owner")) options.owner = static_cast<uid_t>(arguments.number("owner"));
    if (arguments.has("owner_group")) options.group = static_cast<gid_t>(arguments.number("owner_group"));
    options.max_message = arguments.number("max_message", options.max_message);
    options.min_message = arguments.number("min_message", options.min_message);
    options.watch_processes = arguments.number("watch_processes", 1) != 0;
    auto& limits = options.limits;
    limits.handshake = std::chrono::milliseconds(arguments.number("handshake", 30'000));
    limits.half_open = arguments.number("half_open", limits.half_open);
    limits.half_open_per_user = arguments.number("half_open_per_user", limits.half_open_per_user);
    limits.sessions = arguments.number("sessions", limits.sessions);
    limits.sessions_per_user = arguments.number("sessions_per_user", limits.sessions_per_user);
    limits.session_bytes = arguments.number("session_bytes", limits.session_bytes);
    limits.user_bytes = arguments.number("user_bytes", limits.user_bytes);

    auto service = listen<T>(address_of(address), selector_of(books), auth, options);
    if (!service) {
        std::cout << "failed: " << service.error().message() << std::endl;
        return 1;
    }
    if (arguments.has("takes_descriptors")) let_descriptors_in();
    books.wants_pump = [&] {
        (void)service->post([&](auto& s) {
            bool all = true;
            for (auto& session : s.sessions()) all = pump(books, session) && all;
            ::sched_yield();
            if (!all) books.wants_pump();
        });
    };
    stop_by_signal = service->stopper();
    std::signal(SIGTERM, [](int) { (*stop_by_signal)(); });
    if (arguments.has("storm")) begin_storm();

    Lines lines;
    std::string line;
    std::cout << "ready" << std::endl;
    if (arguments.has("poll")) {
        for (bool more = true; more;) {
            pollfd both[]{{service->fd(), POLLIN, 0}, {0, POLLIN, 0}};
            ::poll(both, 2, -1);
            if (both[0].revents != 0 && !service->dispatch()) return 1;
            if (both[1].revents != 0) more = lines.fill();
            while (lines.take(line)) {
                if (line == "fork")
                    std::cout << fork_a_service(*service) << std::endl;
                else if (line == "exec")
                    std::cout << execute_a_child() << std::endl;
                else if (line == "leave a child")
                    leave_a_child(), std::cout << "left" << std::endl;
                else
                    report(*service, books);
            }
        }
    } else {
        const int done = ::eventfd(0, EFD_CLOEXEC);
        std::thread commands([&] {
            sigset_t none;
            ::sigfillset(&none);
            ::pthread_sigmask(SIG_BLOCK, &none, nullptr);
            while (lines.next(line, done)) (void)service->post([&](auto& s) { report(s, books); });
            service->stopper()();
        });
        const auto ran = service->run();
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto told = ::write(done, &one, sizeof one);
        commands.join();
        ::close(done);
        if (!ran) std::cout << "run: " << ran.error().message() << std::endl;
    }
    books.owed.clear();
    std::cout << "stopped" << std::endl;
    return 0;
}

}  // namespace qbipc::testing
