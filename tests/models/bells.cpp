// SPDX-License-Identifier: BSL-1.0
// Why a session has two sockets. A client that calls and has a loop, or is split in two threads; a service that answers
// and sends events; every order of their steps. The flags are the real ones; the sockets are counted bytes.
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <qbipc/detail/bell.hpp>

#include "explorer.hpp"
#include "support/catch.hpp"

using namespace qbipc;
using namespace qbipc::detail;
using namespace qbipc::testing;

namespace {

constexpr std::uint8_t each = 2;  // answers, and events

enum class Threads { one, two };  ///< the client calls and loops in one thread, or in two
enum class Sockets { one, two };  ///< the loop's bell rings on C, or on E
struct Setup {
    Threads threads;
    Sockets sockets;
};

enum Flow : std::uint8_t { answers, events };

/// The flags' words; each state puts its own here before it acts.
std::array<std::uint64_t, 2> words;

struct Party {
    std::uint8_t at = 0;
    std::uint8_t got = 0;
};
enum CallerStep : std::uint8_t { idle, take_answer, look_answer, poll_call };
enum LoopStep : std::uint8_t { poll_event, disarm, take_event, arm, look_event };

struct State {
    std::array<std::uint64_t, 2> flags{};
    std::array<Sleeper<PlainMemory>, 2> sleepers{Sleeper<PlainMemory>(&words[0]), Sleeper<PlainMemory>(&words[1])};
    std::array<Ringer<PlainMemory>, 2> ringers{Ringer<PlainMemory>(&words[0]), Ringer<PlainMemory>(&words[1])};
    std::array<Generation, 2> generations{};  ///< of C and E
    std::array<std::uint8_t, 2> bytes{};      ///< in C and E
    std::array<std::uint8_t, 2> most{};
    std::array<std::uint8_t, 2> sent{};  ///< answers, events
    std::uint8_t to_look = 2;            ///< the service published into this lane and hasn't looked at its flag
    std::uint8_t to_ring = 2;            ///< it has looked, and is to ring this socket
    Party caller, loop{disarm, 0};

    std::string key() const {
        std::string text;
        const auto add = [&](const auto& part) { text.append(reinterpret_cast<const char*>(&part), sizeof part); };
        add(flags);
        add(sleepers);
        add(ringers);
        add(generations);
        add(bytes);
        add(sent);
        for (const std::uint8_t part : {to_look, to_ring, caller.at, caller.got, loop.at, loop.got})
            text += static_cast<char>(part);
        return text;
    }
};

struct Model {
    Setup setup;

    std::size_t loop_socket() const { return setup.sockets == Sockets::one ? 0 : 1; }

    std::string operator()(const State& now, std::vector<State>& next) const {
        const auto step = [&](auto act) {
            State after = now;
            words = now.flags;
            act(after);
            after.flags = words;
            next.push_back(after);
        };
        serve(now, step);
        // In one thread the caller runs only while the loop isn't in the middle of a turn, and the loop only between
        // calls.
        const bool one = setup.threads == Threads::one;
        if (!one || now.loop.at == poll_event) call(now, step);
        if (!one || now.caller.at == idle) loop(now, step);
        if (now.bytes[0] > 2 * 2 || now.bytes[1] > 2 * 2) return "bells pile up";
        const bool done = now.caller.got == each && now.loop.got == each;
        return next.empty() && !done ? "a wake-up was lost" : "";
    }

private:
    template <class Do>
    static void serve(const State& now, const Do& step) {
        if (now.to_ring != 2) {
            step([](State& s) {
                ++s.bytes[s.to_ring];
                s.to_ring = 2;
            });
        } else if (now.to_look != 2) {
            step([](State& s) {
                const Bell due = s.ringers[s.to_look].due();
                s.to_look = 2;
                if (due != Bell::none) s.to_ring = due == Bell::call ? 0 : 1;
            });
        } else {
            for (const std::uint8_t lane : {answers, events}) {
                if (now.sent[lane] == each) continue;
                step([lane](State& s) {
                    ++s.sent[lane];
                    s.to_look = lane;
                });
            }
        }
    }
    template <class Do>
    void call(const State& now, const Do& step) const {
        const bool there = now.sent[answers] > now.caller.got;
        switch (static_cast<CallerStep>(now.caller.at)) {
            case idle:
                if (now.caller.got < each) step([](State& s) { s.caller.at = take_answer; });
                return;
            case take_answer:
                step([there](State& s) {
                    if (there) ++s.caller.got;
                    if (!there) s.sleepers[answers].arm(Bell::call, s.generations[0]);
                    s.caller.at = there ? idle : look_answer;
                });
                return;
            case look_answer:
                step([there](State& s) {
                    if (there) s.sleepers[answers].disarm();
                    s.caller.at = there ? take_answer : poll_call;
                });
                return;
            case poll_call:
                if (now.bytes[0] == 0) return;
                step([](State& s) {
                    s.bytes[0] = 0;
                    s.generations[0].drained();
                    s.sleepers[answers].disarm();
                    s.caller.at = take_answer;
                });
                return;
        }
    }
    template <class Do>
    void loop(const State& now, const Do& step) const {
        const std::size_t socket = loop_socket();
        const bool there = now.sent[events] > now.loop.got;
        switch (static_cast<LoopStep>(now.loop.at)) {
            case poll_event:
                if (now.bytes[socket] == 0) return;
                step([socket](State& s) {
                    s.bytes[socket] = 0;
                    s.generations[socket].drained();
                    s.loop.at = disarm;
                });
                return;
            case disarm:
                step([](State& s) {
                    s.sleepers[events].disarm();
                    s.loop.at = take_event;
                });
                return;
            case take_event:
                step([there](State& s) {
                    if (there) ++s.loop.got;
                    if (!there) s.loop.at = arm;
                });
                return;
            case arm:
                step([socket](State& s) {
                    s.sleepers[events].arm(socket == 0 ? Bell::call : Bell::event, s.generations[socket]);
                    s.loop.at = look_event;
                });
                return;
            case look_event:
                step([there](State& s) { s.loop.at = there ? disarm : poll_event; });
                return;
        }
    }
};

Explored search(Threads threads, Sockets sockets) { return explore(State{}, Model{{threads, sockets}}); }

}  // namespace

TEST_CASE("with one socket for calls and events a wake-up is lost", "[model]") {
    const Threads threads = GENERATE(Threads::one, Threads::two);
    CHECK(search(threads, Sockets::one).error == "a wake-up was lost");
}

TEST_CASE("with two sockets none is lost, and bells don't pile up", "[model]") {
    const Threads threads = GENERATE(Threads::one, Threads::two);
    const Explored found = search(threads, Sockets::two);
    CHECK(found.error.empty());
    CHECK(found.complete);
    CHECK(found.states > 500);
}
