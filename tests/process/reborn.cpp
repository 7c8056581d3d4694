// SPDX-License-Identifier: BSL-1.0
// Processes whose numbers come back, as the first process of a pid namespace (apart pid reborn shm|unix NAME ROUNDS).
// A client of user 2001 connects and is killed; the next process has its number, is user 2002's, and connects too.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <qbipc/qbipc.hpp>
#include <qbipc/transport/shm_ring.hpp>
#include <qbipc/transport/unix_socket.hpp>

#include "process/messages.hpp"

using namespace qbipc;
using namespace qbipc::testing;

namespace {

constexpr auto patience = std::chrono::seconds(60);

template <TransportPolicy T>
int serve(const std::string& name, int ready) {
    auto service = listen<T>(
        name, routes(on<Who>([](auto& session, const Who&) {
            Identity identity{session.credentials().uid, session.credentials().gid, session.credentials().pid, 0};
            for ([[maybe_unused]] auto& one : session.sessions()) ++identity.sessions;
            return identity;
        })),
        anyone);
    if (!service) return 1;
    (void)!::write(ready, "x", 1);
    (void)service->run();
    return 0;
}

/// In a child: connects as this user, says who the service thinks it is, and stays.
template <TransportPolicy T>
int visit(const std::string& name, uid_t user, int out) {
    if (::setresgid(user, user, user) != 0 || ::setresuid(user, user, user) != 0) return 1;
    auto client = Client<T>::connect(name, patience, anyone);
    Identity identity{};
    // Until the one who had this number before is gone from the service's list.
    for (int i = 0; client && i < 10'000; ++i) {
        const auto who = client->call(Who{}, patience);
        if (!who) break;
        identity = *who;
        if (identity.sessions == 1) break;
        ::usleep(1000);
    }
    (void)!::write(out, &identity, sizeof identity);
    ::pause();
    return 0;
}

template <class F>
pid_t child(F&& f) {
    const pid_t pid = ::fork();
    if (pid != 0) return pid;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::_Exit(f());
}

void end(pid_t pid) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
}

template <TransportPolicy T>
int run(const std::string& name, int rounds) {
    int pipe[2];
    if (::pipe(pipe) != 0) return 1;
    const pid_t service = child([&] { return serve<T>(name, pipe[1]); });
    char ready = 0;
    if (::read(pipe[0], &ready, 1) != 1) return 1;
    int reused = 0, wrong = 0;
    for (int i = 0; i < rounds; ++i) {
        Identity first{}, second{};
        const pid_t one = child([&] { return visit<T>(name, 2001, pipe[1]); });
        if (::read(pipe[0], &first, sizeof first) != sizeof first) return 1;
        end(one);
        std::ofstream("/proc/sys/kernel/ns_last_pid") << one - 1 << std::flush;
        const pid_t other = child([&] { return visit<T>(name, 2002, pipe[1]); });
        if (::read(pipe[0], &second, sizeof second) != sizeof second) return 1;
        reused += other == one;
        wrong += first.uid != 2001 || first.pid != one || first.sessions != 1;
        wrong += second.uid != 2002 || second.pid != other || second.sessions != 1;
        end(other);
    }
    end(service);
    std::cout << "reused=" << reused << " wrong=" << wrong << std::endl;
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) return 2;
    const std::string transport = argv[1];
    return transport == "shm" ? run<ShmRing>(argv[2], std::atoi(argv[3]))
                              : run<UnixSocket>(argv[2], std::atoi(argv[3]));
}
