// SPDX-License-Identifier: BSL-1.0
// battle.hpp: who is attacked, who must not notice, and what must hold after each move.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "attacker/proc.hpp"
#include "support/child.hpp"

namespace attacker {

using namespace std::chrono_literals;
using qbipc::testing::Child;

inline constexpr auto patience = 60s;

/// What ends a move: something that should hold didn't.
struct NotWithstood : std::runtime_error {
    using std::runtime_error::runtime_error;
};
inline void need(bool holds, const std::string& what) {
    if (!holds) throw NotWithstood(what);
}

/// Looks again and again until it is true; false after a minute.
template <class F>
bool eventually(F&& f) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!f()) {
        if (std::chrono::steady_clock::now() >= end) return false;
        std::this_thread::sleep_for(2ms);
    }
    return true;
}

using Numbers = std::map<std::string, long long>;
inline Numbers numbers_in(const std::string& line) {
    Numbers numbers;
    std::istringstream words(line);
    for (std::string word; words >> word;)
        if (const auto equals = word.find('='); equals != word.npos)
            numbers[word.substr(0, equals)] = std::atoll(word.c_str() + equals + 1);
    return numbers;
}

/// A service's process and its eight honest clients.
class Fortress {
public:
    static constexpr int friends = 8;
    /// Half-open connections are dropped after this.
    static constexpr auto handshake_limit = 5000ms;

    explicit Fortress(bool shared_memory, const std::string& run)
        : transport(shared_memory ? "shm" : "unix"), name("attacked-" + run + '-' + transport) {}

    bool open();
    Numbers status();
    bool comes_to(const std::string& what, long long value);
    /// How many sessions the service has cut because they broke the protocol.
    long long cuts() { return status()["violation"]; }

    /// What the service holds once everybody else has left.
    long long descriptors_at_rest() {
        need(comes_to("sessions", friends) && comes_to("half_open", 0), "somebody stays");
        return status()["fds"];
    }

    /// The descriptors that a session costs the service.
    long long each() const { return each_; }

    /// Before a move, and after it: nothing of it is left, and nobody has noticed.
    void remember();
    void must_stand();
    /// The service ends as it should: no sanitizer has anything to say.
    void must_end_well();
    long resident_kib() const { return kib_of(service_->pid(), "VmRSS:"); }
    pid_t pid() const { return service_->pid(); }
    long long slowest_call_us();

    const std::string transport;
    const std::string name;

private:
    void friends_must_go_on();

    std::optional<Child> service_, friends_;
    Numbers before_;
    long long each_ = 0;
};

/// A client that visits hostile services.
class Visitor {
public:
    explicit Visitor(bool shared_memory);
    /// "connected", or "failed: " and why; must come when the time is up at the latest.
    void begin(const std::string& command);
    std::string outcome();
    std::string does(const std::string& command) { return begin(command), outcome(); }
    bool alive() { return does("alive") == "alive"; }
    void remember();
    void must_stand();
    void must_end_well();
    pid_t pid() const { return child_.pid(); }
    const bool shared_memory;

private:
    Child child_;
    int descriptors_ = 0, mappings_ = 0;
};

/// What a move finds.
struct Battle {
    std::string run;  ///< a part of names that no other run uses
    Fortress shm{true, run}, stream{false, run};
    Visitor visitor{true}, stream_visitor{false};
    bool release = true;  ///< no sanitizer: what memory costs can be asked
    std::vector<std::string> remarks{};
};

struct Move {
    const char* sentence;
    void (*make)(Battle&);
};

extern const std::vector<Move> handshake_moves, descriptor_moves, bell_moves, frame_moves, memory_moves, stream_moves,
    leak_moves, greeting_moves, service_moves;

}  // namespace attacker
