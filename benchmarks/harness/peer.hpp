// SPDX-License-Identifier: BSL-1.0
// peer.hpp: what a peer is. Whoever writes one needs to read this file, and peers/socket_peer.hpp as an example.
//
// A peer is one file, peers/NAME.cpp with _ for - (and a line in benchmarks/meson.build: its name and what it depends
// on):
//
//     #include "../harness/main.hpp"
//
//     struct Peer {
//         static constexpr std::size_t largest = 1 << 20;       // the largest message it carries; smallest: see below
//         struct Service {
//             explicit Service(const bench::Setup&);            // in a child; clients can connect once it has returned
//             void serve();                                     // until the process is killed
//         };
//         struct Client {
//             explicit Client(const bench::Setup&);             // connects; both sides know of each other when it
//             returns ~Client();                                        // disconnects void call(); // a request of
//             setup.size bytes there, as many back
//         };
//     };
//     int main(int argc, char** argv) { return bench::run<Peer>(argc, argv); }
//
// What it has beyond that decides which cases it takes part in:
//
// | in Client             | case        | in the service, by setup.mode                                               |
// | --------------------- | ----------- | --------------------------------------------------------------------------- |
// | call()                | rtt, rtt_one_core, percentiles, connect; with `sessions`: sessions, idle, throughput |
// Mode::echo: answers | | send(), maybe flush() | oneway      | Mode::consume: counts what came: bench::count(setup)
// per message            | | poke(), take()        | events      | Mode::push: on each poke, pushes
// setup.shared->wanted events of setup.size bytes to that client; waits for room itself | | poke(), take(), `sessions`
// | publish | Mode::publish: on each poke, sends setup.shared->wanted events to every session, and says how long by
// bench::published(setup, ns) |
//
// - send() waits for room where there is none. flush() makes sure that all of it has left.
// - poke() is any small one-way message. take() waits for at least one event and gives how many it took.
//
// Constants of Peer, all with these defaults where absent:
//
//     static constexpr std::size_t smallest = 1;      // the smallest message it carries
//     static constexpr bool sleeps = true;            // false: it only spins; no rtt_one_core, nor more clients than
//     cpus static constexpr bool connects = true;          // false: there is nothing like a connection; no case
//     connect static constexpr std::size_t sessions = 1;      // how many clients its service can have at once, at most
//     static constexpr bool stops_itself = false;     // true: serve() returns after SIGTERM (the peer installs the
//                                                     // handler), for peers that would leave files behind otherwise.
//                                                     // After 3 s it is killed all the same
//
// A `static constexpr bool takes_part(std::string_view which)` can refuse cases that would otherwise be its.
//
// With a nested `struct Common { explicit Common(const bench::Setup&); }`, one is made before the fork, and both
// constructors get it as their second argument: memory and descriptors that a peer shares without a handshake.
//
// - setup.address is a name that is unique to this run; put what prefix the peer needs before it. Files go to the
//   directory bench::scratch_directory(setup), which is removed afterwards.
// - One Service serves setup.sessions clients at once; several clients may be made in one process (cases sessions,
// idle,
//   publish), or one in each of several (throughput), and in the case connect one after the other.
// - setup.max_message is for peers that must know sizes beforehand (at least 4096; 1 MiB in the case connect).
// - The service does what a real one must: it checks the size, and where the peer's interface hands out a copy or takes
//   one, it copies: what came into a buffer of its own, and the answer out of it. In place, the sender
//   writes every byte of a message once, an echo copies them once from request to answer, and who receives last needn't
//   read them.
// - Each peer as its documentation recommends for latency.
// - bench::expect(condition, "what") ends the program where something failed (exit code 1). bench::unavailable("why")
//   where it can't be had here (77), from any of the constructors.
// - Hot functions are not virtual and do nothing besides: the harness calls them in a plain loop.
#pragma once

#include <concepts>
#include <cstddef>

#include "scratch.hpp"
#include "setup.hpp"

namespace bench {

template <class P>
concept PeerType = requires(typename P::Service& service, typename P::Client& client) {
    { P::largest } -> std::convertible_to<std::size_t>;
    service.serve();
    client.call();
};

namespace traits {

template <class P>
concept HasCommon = requires { typename P::Common; };
template <class P>
concept Sends = requires(typename P::Client& client) { client.send(); };
template <class P>
concept Flushes = requires(typename P::Client& client) { client.flush(); };
template <class P>
concept TakesEvents = requires(typename P::Client& client) {
    client.poke();
    { client.take() } -> std::convertible_to<std::size_t>;
};

template <class P>
constexpr std::size_t smallest() {
    if constexpr (requires { P::smallest; }) return P::smallest;
    return 1;
}
template <class P>
constexpr bool sleeps() {
    if constexpr (requires { P::sleeps; }) return P::sleeps;
    return true;
}
template <class P>
constexpr bool connects() {
    if constexpr (requires { P::connects; }) return P::connects;
    return !HasCommon<P>;
}
template <class P>
constexpr std::size_t sessions() {
    if constexpr (requires { P::sessions; }) return P::sessions;
    return 1;
}
template <class P>
constexpr bool stops_itself() {
    if constexpr (requires { P::stops_itself; }) return P::stops_itself;
    return false;
}

}  // namespace traits

/// Mode::consume: one more message was taken.
inline void count(const Setup& setup, std::uint64_t messages = 1) {
    auto& consumed = setup.shared->consumed;  // one writer: no read-modify-write
    consumed.store(consumed.load(std::memory_order_relaxed) + messages, std::memory_order_release);
}

/// Mode::publish: all the wanted events were sent to everybody.
inline void published(const Setup& setup, std::uint64_t ns) {
    setup.shared->publish_ns.store(ns != 0 ? ns : 1, std::memory_order_release);
}

}  // namespace bench
