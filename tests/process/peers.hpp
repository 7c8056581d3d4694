// SPDX-License-Identifier: BSL-1.0
// What the process tests have in common: names that no other run uses, services and clients in processes of their own.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <unistd.h>
#include <utility>
#include <vector>

#include <qbipc/client.hpp>
#include <qbipc/qbipc.hpp>
#include <qbipc/transport/shm_ring.hpp>
#include <qbipc/transport/unix_socket.hpp>

#include "process/arguments.hpp"
#include "process/messages.hpp"
#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/patience.hpp"
#include "support/random.hpp"
#include "support/temporary_directory.hpp"

namespace qbipc::testing {

using namespace std::chrono_literals;

using Transports = std::tuple<ShmRing, UnixSocket>;

/// A test that waits this long has failed.
inline constexpr auto patience = patience_of(60s);

template <class T>
constexpr const char* word_for() {
    return std::is_same_v<T, ShmRing> ? "shm" : "unix";
}
template <class T>
constexpr detail::TransportId id_of() {
    return std::is_same_v<T, ShmRing> ? detail::TransportId::shm_ring : detail::TransportId::unix_socket;
}

/// A name of this test of this run.
inline std::string unique_name() {
    static int count = 0;
    return "test-" + std::to_string(::getpid()) + '-' + std::to_string(run_seed() & 0xffffff) + '-' +
           std::to_string(++count);
}

/// Looks again and again until it is true; false after a minute.
template <class F>
bool eventually(F&& f) {
    const auto end = std::chrono::steady_clock::now() + patience;
    for (;;) {
        if (f()) return true;
        if (std::chrono::steady_clock::now() >= end) return false;
        std::this_thread::sleep_for(2ms);
    }
}

inline bool is_root() {
    if (::geteuid() == 0) return true;
    WARN("not tested: other users, for only root can become one");
    return false;
}

/// Root's children can become anybody; others' stay who they are.
inline std::vector<std::string> as_user(unsigned long user) {
    return ::geteuid() == 0 ? std::vector<std::string>{"user=" + std::to_string(user)} : std::vector<std::string>{};
}

inline bool exited_well(int status) { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }
inline bool was_killed(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; }
inline std::string text_of(errc code) { return make_error_code(code).message(); }

/// A program that plays a service or a client.
template <class T>
class Peer : public Child {
public:
    Peer(const std::string& verb, const std::string& address, std::vector<std::string> more = {},
         const Child::With& with = {})
        : Child("peer", words(verb, address, std::move(more)), with) {}

private:
    static std::vector<std::string> words(const std::string& verb, const std::string& address,
                                          std::vector<std::string> more) {
        std::vector<std::string> all{verb, word_for<T>(), address};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
};

using Status = std::map<std::string, long long>;

/// A service in its own process, at an address of its own unless one is given.
template <class T>
class ServicePeer : public Peer<T> {
public:
    explicit ServicePeer(std::vector<std::string> more = {}, std::string address = unique_name(),
                         const Child::With& with = {})
        : Peer<T>("serve", address, std::move(more), with), name(std::move(address)), said(this->line()) {}

    bool ready() const { return said == "ready"; }

    Status status() {
        Status status;
        std::istringstream words(this->ask("status"));
        for (std::string word; words >> word;) {
            const auto equals = word.find('=');
            if (equals != word.npos) status[word.substr(0, equals)] = std::atoll(word.c_str() + equals + 1);
        }
        return status;
    }
    /// Waits until one of its numbers is what it should be.
    bool comes_to(const std::string& what, long long value) {
        // It may be there for a moment only, on its way to another one.
        const auto is = [&](Status now) { return !now.empty() && now[what] == value; };
        bool there = false;
        (void)eventually([&] {
            const auto now = status();
            there = is(now) && is(status());
            return there || now.empty();
        });
        return there;
    }
    /// As a service manager would: SIGTERM. Whether it ended as it should.
    bool stop() {
        this->signal(SIGTERM);
        while (true) {
            const auto last = this->line();
            if (last == "stopped") break;
            if (last.empty()) return false;
        }
        return exited_well(this->wait());
    }

    std::string name;
    std::string said;
};

/// A client in its own process.
template <class T>
class ClientPeer : public Peer<T> {
public:
    explicit ClientPeer(const std::string& address, std::vector<std::string> more = {}, const Child::With& with = {})
        : Peer<T>("client", address, std::move(more), with), said(this->line()) {}
    bool connected() const { return said == "connected"; }

    std::string said;
};

/// What a client in the test's own process gets of the service's events.
struct Events {
    std::uint64_t last = 0, ticks = 0, hellos = 0, wrong = 0, largest = 0;

    auto selector() {
        return routes(on<Tick>([this](const Tick& tick, std::string_view tail) {
                          wrong += tick.number == last + 1 && is_pattern(tick.number, tail) ? 0u : 1u;
                          last = tick.number;
                          largest = std::max<std::uint64_t>(largest, tail.size());
                          ++ticks;
                      }),
                      on<qbipc::testing::Hello>(
                          [this](const qbipc::testing::Hello& hello) { wrong += hello.number == ++hellos ? 0u : 1u; }));
    }

    /// Takes them in until `count` ticks have come; the error that came first.
    template <class C>
    std::error_code take(C& client, std::uint64_t count) {
        while (ticks < count) {
            const auto got = client.receive(selector(), patience);
            if (!got) return got.error();
        }
        return {};
    }
};

template <class R>
std::error_code error_of(const Result<R>& result) {
    return result ? std::error_code() : result.error();
}

/// Everything of ours that a process could have left behind where others see it.
inline std::set<std::string> left_behind() {
    std::set<std::string> found;
    std::error_code ignored;
    const auto user = std::to_string(::geteuid());
    for (const std::string& folder :
         {std::string("/dev/shm"), std::string("/tmp"), std::string("/run/qbipc"), "/run/user/" + user + "/qbipc"})
        for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
            const auto name = entry.path().string();
            // Others are at work there too: what is ours carries the test's name, or the library's.
            const bool named = name.find("test-" + std::to_string(::getpid())) != name.npos;
            if (named || (folder == "/dev/shm" && name.find("qbipc") != name.npos)) found.insert(name);
        }
    return found;
}

}  // namespace qbipc::testing
