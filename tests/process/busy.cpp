// SPDX-License-Identifier: BSL-1.0
// A process that has much to do while it forks, or executes programs.
//   busy exec shm|unix NAME N    serves, connects and disconnects in threads, and executes N programs meanwhile
//   busy fork shm|unix NAME N    a client of the service at NAME that forks N times, in whatever state it is
//   busy once shm|unix NAME N    serves, has a client that calls N times, and ends all of it
//   busy back shm|unix NAME N    serves N clients one after the other; its policy forks, and the child comes back from
//                                it; its handler forks as well
//   busy descriptors             says which descriptors it has
#include <atomic>
#include <iostream>
#include <optional>
#include <poll.h>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <type_traits>
#include <vector>

#include "process/peer_service.hpp"

using namespace qbipc;
using namespace qbipc::testing;

namespace {

constexpr auto patience = std::chrono::seconds(60);

auto add_up() {
    return routes(on<Add>([](const Add& add) { return Sum{add.a + add.b}; }));
}

int list_descriptors() {
    std::string found;
    for (int fd = 0; fd < 1024; ++fd)
        if (::fcntl(fd, F_GETFD) >= 0) found += ' ' + std::to_string(fd);
    std::cout << "descriptors" << found << std::endl;
    return 0;
}

/// Whatever a thread does in this very moment, the programs have only what this one was given.
template <TransportPolicy T>
int execute_meanwhile(const std::string& name, int times) {
    const std::string given = execute_a_child();
    auto service = listen<T>(name, add_up());
    if (!service) return 1;
    std::jthread serving([&](std::stop_token stop) { (void)service->run(stop); });
    std::atomic<int> connects = 0, failed = 0;
    int other = 0;
    {
        std::vector<std::jthread> visitors;
        for (int i = 0; i < 2; ++i) {
            visitors.emplace_back([&](std::stop_token stop) {
                while (!stop.stop_requested()) {
                    auto client = Client<T>::connect(name, patience);
                    if (client && client->fd() >= 0 && client->call(Add{1, 1}, patience))
                        ++connects;
                    else
                        ++failed;
                }
            });
        }
        for (int i = 0; i < times || connects + failed == 0; ++i) other += execute_a_child() != given;
    }
    std::cout << "connects=" << connects << " failed=" << failed << " other=" << other << std::endl;
    return 0;
}

/// In a forked child: which of the client's functions gave anything but the error that has this name.
template <class C>
int use_in_child(C& client) {
    const auto selector = [] { return routes(on<Tick>([](const Tick&, std::string_view) {})); };
    const auto gives = [](const auto& result) { return !result && result.error() == errc::used_after_fork; };
    int wrong = 0;
    wrong |= gives(client.call(Add{1, 1}, patience)) ? 0 : 1;
    wrong |= gives(client.send(Clear{})) ? 0 : 2;
    wrong |= gives(client.start(Add{1, 1})) ? 0 : 4;
    wrong |= gives(client.dispatch(selector())) ? 0 : 8;
    wrong |= gives(client.receive(selector(), patience)) ? 0 : 16;
    wrong |= client.alive() ? 32 : 0;
    return wrong;
}

/// Forks; true where the child found what it should. Where `may_destroy`, it also destroys its copy.
template <class C>
bool child_is_refused(C& client, bool may_destroy) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::alarm(60);
        const int wrong = use_in_child(client);
        if (may_destroy) {
            client.disconnect();
            [[maybe_unused]] const C mine = std::move(client);
        }
        ::_exit(wrong);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

template <TransportPolicy T>
int fork_in_each_state(const std::string& name, int times) {
    auto client = Client<T>::connect(name, patience);
    if (!client) return 1;
    int children = 0, parents = 0;  // whom it didn't go well for
    double sum = 0;
    std::uint64_t last = 0, gaps = 0;
    const auto selector = [&](bool fork) {
        return routes(on<Tick>([&, fork](const Tick& tick, std::string_view) {
                          gaps += tick.number != ++last;
                          if (fork && tick.number % 8 == 0) children += !child_is_refused(*client, false);
                      }),
                      on<qbipc::testing::Hello>([](const qbipc::testing::Hello&) {}));
    };
    for (int i = 0; i < times; ++i) {
        switch (i % 6) {
            case 0:  // nothing going on
                children += !child_is_refused(*client, true);
                break;
            case 1: {  // a call on its way
                auto pending = client->start(Add{1, 0});
                children += !child_is_refused(*client, true);
                const auto got = pending ? client->wait(*pending, patience) : Result<Sum>(fail(pending.error()));
                parents += !got || got->value != ++sum;
                break;
            }
            case 2:  // events that nobody has taken
                parents += !client->send(Wish{8, 100, 0, 1});
                children += !child_is_refused(*client, true);
                break;
            case 3:  // in an event's function
                for (const auto until = last / 8 * 8 + 8; last < until;)
                    if (!client->receive(selector(true), patience)) return ++parents, 1;
                break;
            case 4:  // more one-way messages than the service has taken by now
                for (int j = 0; j < 50; ++j)
                    parents += !client->send(with_tail(Jot{7, 0}, std::string(1000, 'x')), patience);
                children += !child_is_refused(*client, true);
                break;
            case 5: {  // watched by a loop
                pollfd loop{client->fd(), POLLIN, 0};
                children += !child_is_refused(*client, true);
                // Whatever the child tried, the parent's loop comes to rest.
                int turns = 0;
                while (::poll(&loop, 1, 0) > 0 && ++turns < 1000) (void)client->dispatch(selector(false));
                parents += turns == 1000;
                break;
            }
        }
        const auto got = client->call(Add{1, 0}, patience);
        parents += !got || got->value != ++sum;
    }
    std::cout << "children=" << children << " parents=" << parents << " gaps=" << gaps << std::endl;
    return 0;
}

template <TransportPolicy T>
int once(const std::string& name, int times) {
    auto service = listen<T>(name, add_up());
    if (!service) return 1;
    {
        std::jthread serving([&](std::stop_token stop) { (void)service->run(stop); });
        for (int i = 0; i < 3; ++i) {
            auto client = Client<T>::connect(name, patience);
            if (!client || client->fd() < 0) return 2;
            for (int j = 0; j < times; ++j)
                if (!client->call(Add{1, 1}, patience)) return 3;
        }
    }
    std::cout << "done" << std::endl;
    return 0;
}

template <TransportPolicy T>
int come_back(const std::string& name, int times) {
    bool is_child = false;
    int children = 0;
    const auto fork_now = [&] {
        const pid_t child = ::fork();
        is_child = is_child || child == 0;
        children += child > 0;
        if (child == 0) ::alarm(20);
        // It is to do what it does while the parent's clients still want something.
        else
            ::usleep(20'000);
    };
    auto service = listen<T>(name,
                             routes<int>(on_accept([&](const Credentials&) -> Result<int> {
                                             fork_now();
                                             return 1;
                                         }),
                                         on<Add>([&](const Add& add) {
                                             if (add.b != 0) fork_now();
                                             // In a handler it has to: the lanes aren't mapped here. Over sockets it
                                             // may as well come back.
                                             if (is_child && std::is_same_v<T, ShmRing>) ::_exit(0);
                                             return Sum{add.a + add.b};
                                         })),
                             [&](const Credentials&) {
                                 fork_now();
                                 return true;
                             });
    if (!service) return 1;
    std::atomic<int> served = 0;
    const auto stop = service->stopper();
    std::thread visits([&] {
        for (int i = 0; i < times; ++i) {
            (void)service->post([&](auto&) { fork_now(); });
            auto client = Client<T>::connect(name, patience);
            const auto sum = client ? client->call(Add{1, 1}, patience) : Result<Sum>(fail(client.error()));
            const auto again = client ? client->call(Add{2, 0}, patience) : Result<Sum>(fail(client.error()));
            if (!sum || !again || sum->value != 2 || again->value != 2) break;  // whoever waits for it needn't wait on
            ++served;
        }
        stop();
    });
    const auto ended = service->run();
    if (is_child) ::_exit(!ended && ended.error() == errc::used_after_fork ? 0 : 1);
    visits.join();
    int wrong = 0;
    for (int i = 0; i < children; ++i) {
        int status = 0;
        while (::wait(&status) < 0 && errno == EINTR) {
        }
        wrong += status != 0;
    }
    std::cout << "served=" << served << " children=" << children << " wrong=" << wrong << std::endl;
    return 0;
}

template <TransportPolicy T>
int run(const std::string& verb, const std::string& name, int times) {
    if (verb == "exec") return execute_meanwhile<T>(name, times);
    if (verb == "fork") return fork_in_each_state<T>(name, times);
    if (verb == "back") return come_back<T>(name, times);
    return once<T>(name, times);
}

}  // namespace

int main(int argc, char** argv) {
    const std::string verb = argc > 1 ? argv[1] : "";
    if (verb == "descriptors") return list_descriptors();
    if (argc < 5) return 2;
    const std::string transport = argv[2];
    return transport == "shm" ? run<ShmRing>(verb, argv[3], std::atoi(argv[4]))
                              : run<UnixSocket>(verb, argv[3], std::atoi(argv[4]));
}
