// SPDX-License-Identifier: BSL-1.0
// setup.hpp: what both sides of a peer are told, and how they say that something is wrong.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace bench {

/// What a service does with a message that comes.
enum class Mode {
    echo,     ///< answer it, with as many bytes
    consume,  ///< take it, and count it in Shared::consumed
    push,     ///< send Shared::wanted events to the client it came from
    publish,  ///< send Shared::wanted events to every client, and store how long that took
};

/// A little memory that all processes of one measurement share. Words that a peer writes while it is measured have a
/// pair of cache lines for themselves.
struct Shared {
    alignas(128) std::atomic<std::uint64_t> consumed{0};    ///< Mode::consume: messages taken so far
    alignas(128) std::atomic<std::uint64_t> wanted{0};      ///< Mode::push, publish: events that a poke asks for
    alignas(128) std::atomic<std::uint64_t> publish_ns{0};  ///< Mode::publish: what sending them all took
    alignas(128) std::atomic<std::uint64_t> ready{0};       ///< the harness's: clients that stand
    alignas(128) std::atomic<std::uint64_t> go{0};          ///< the harness's: 1 they may start, 2 they shall stop
    alignas(128) std::atomic<std::uint64_t> calls{0};       ///< the harness's: of all clients, in the measured time
};

struct Setup {
    Mode mode = Mode::echo;
    std::size_t size = 0;         ///< bytes of a message, in both directions
    std::size_t max_message = 0;  ///< for peers that want to know the largest message beforehand
    std::size_t sessions = 1;     ///< clients that are connected at once
    std::string address;          ///< a name of letters, digits and dashes that nobody else uses
    Shared* shared = nullptr;
};

/// The end of a measurement that can't be made here: a line on stderr, and the exit code that means "skip me".
[[noreturn]] inline void unavailable(const char* why) {
    std::fprintf(stderr, "%s\n", why);
    std::_Exit(77);
}

[[noreturn]] inline void broken(const char* what) {
    std::fprintf(stderr, "%s (errno: %s)\n", what, std::strerror(errno));
    std::_Exit(1);
}

/// What must be so for the figures to mean something.
inline void expect(bool is_so, const char* what) {
    if (!is_so) [[unlikely]]
        broken(what);
}

}  // namespace bench
