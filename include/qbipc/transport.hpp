// SPDX-License-Identifier: BSL-1.0
// transport.hpp: what a transport is: a policy that carries frames between one client and one service.
//
// A transport has four parts. A Listener stands at an address and gives Visitors; a Visitor is one who has connected
// and not yet been let in; admitted, it becomes a ServiceEnd; the other end is a ClientEnd. Frames go through both ends
// alike: reserve, fill, commit on the sending side; peek, copy, release on the receiving one. Rows of pieces,
// correlation, answers that find no room and private data are made above the transport, alike for all.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <system_error>

#include <qbipc/address.hpp>
#include <qbipc/credentials.hpp>
#include <qbipc/error.hpp>
#include <qbipc/frame.hpp>
#include <qbipc/kernel.hpp>
#include <qbipc/memory.hpp>
#include <qbipc/options.hpp>
#include <qbipc/time.hpp>

namespace qbipc {

/// What a wait waits for, and what an armed descriptor announces: frames on incoming lanes, and room on outgoing ones
/// for the frame that reserve() refused last. The peer's death is always included.
struct Interest {
    LaneSet frames;
    LaneSet room;
    friend constexpr bool operator==(const Interest&, const Interest&) noexcept = default;
};

/// Who waits on a client's end. After split() the two halves wait in two threads and must not take each other's bells.
enum class Party : std::uint8_t { whole, sender, receiver };

/// Sending and receiving, the same on both ends. One thread drives the outgoing lanes, one (maybe another) the
/// incoming.
///
/// - `reserve(lane, n)`: room for a payload of n <= max_frame() bytes, 16-aligned; null when there is none:
/// refused(lane)
///   says why (lane_full, disconnected, or what the kernel said). Never blocks. A second reserve replaces the first.
/// - `commit(lane, header)`: sends it; header.size <= n. Wakes the peer if it sleeps. `cancel(lane)`: as if never
/// reserved.
/// - `peek(lane, frame)`: the lane's next frame, which stays until `release(lane)`. False: nothing there now, or
/// nothing
///   any more: ended() tells. What the peer sent before it died is still given, one lap of the lane at most.
/// - `ended()`: no error while the connection stands; else disconnected or protocol_violation; sticky. Costs no system
/// call.
///   `said_bye()`: whether the end was the peer's orderly disconnect.
/// - `max_message()`: negotiated, for rows. `max_frame()`: for one frame. `peer()`: who the other side is.
/// - `shutdown()`: says bye and ends both directions at once; a waiter in another thread returns. Callable from any
/// thread.
template <class E>
concept TransportEnd =
    std::movable<E> && requires(E end, const E& view, Lane lane, std::size_t size, Header header, Frame frame) {
        { end.reserve(lane, size) } -> std::same_as<std::byte*>;
        { view.refused(lane) } -> std::same_as<std::error_code>;
        end.commit(lane, header);
        end.cancel(lane);
        { end.peek(lane, frame) } -> std::same_as<bool>;
        end.release(lane);
        { view.ended() } -> std::same_as<std::error_code>;
        { view.said_bye() } -> std::same_as<bool>;
        { view.max_message() } -> std::convertible_to<std::size_t>;
        { view.max_frame() } -> std::convertible_to<std::size_t>;
        { view.peer() } -> std::same_as<const Credentials&>;
        end.shutdown();
    };

/// A client's end: it waits by itself, or is watched by a loop.
///
/// - `wait(interest, party, limit, alarm)`: returns when something of the interest may be there (spurious returns are
///   allowed), when the connection has ended (no error: ended() tells), when descriptor `alarm` is readable (-1: none),
///   or with timed_out. Spins, blocks or learns as its wait strategy says.
/// - `descriptors()`: a range of ints that a loop watches for reading, the same for life, or -errno where one can't be
///   had; they become readable after arm().
/// - `quiet()`: drains the loop's bells, takes the flags down, and notices the end, also where nothing was armed.
///   `arm(interest)`: puts them up; false if something of the interest is there already, or the connection has ended:
///   then don't sleep.
/// - `sent_in_part()`: whether the last frame committed isn't all out. It goes on with the next wait() or quiet();
///   arm() has a loop told when. The sending thread's.
/// - `alive()`: asks the kernel now.
template <class E>
concept TransportClientEnd = TransportEnd<E> && requires(E end, Interest interest, Party party, TimeLimit limit) {
    { end.wait(interest, party, limit, -1) } -> std::same_as<Result<void>>;
    { *end.descriptors().begin() } -> std::convertible_to<int>;
    end.quiet();
    { end.arm(interest) } -> std::same_as<bool>;
    { end.sent_in_part() } -> std::same_as<bool>;
    { end.alive() } -> std::same_as<bool>;
};

/// A service's end of one session: watched by the service's loop, never waits.
///
/// - `attach(epoll, tag)`: registers its descriptors with the service's epoll descriptor, level-triggered, under this
/// tag; it
///   changes the registration itself when it must learn of room in a socket. Its destructor takes them out.
/// - `drain()`: after its tag was announced: takes the bell, notices the end, takes the flags down.
/// - `arm(interest)`: puts the flags up; then, after one fence() for any number of ends, `look(interest)` says whether
///   something of the interest is there already, or the connection has ended.
/// - `established()`: true once the client confirmed that it has what it needs; asked after drain() while it is
/// half-open.
/// - `sent_in_part()`: whether a frame that was committed isn't all out, and goes on with drain().
template <class E>
concept TransportServiceEnd = TransportEnd<E> && requires(E end, Interest interest) {
    { end.attach(-1, std::uint64_t{}) } -> std::same_as<Result<void>>;
    end.drain();
    end.arm(interest);
    E::fence();
    { end.look(interest) } -> std::same_as<bool>;
    { end.established() } -> std::same_as<bool>;
    { end.sent_in_part() } -> std::same_as<bool>;
};

/// One who has connected and waits to be let in.
///
/// - `peer()`: filled before the listener gives the visitor. `attach(epoll, tag)`: as above, but
///   announced once, and again once hello() has found too little and may get further.
/// - `hello()`: reads all there is; false: not yet the whole; true: said what it wants, and it fits; an error: it can't
/// be served, and was told.
/// - `admit(options)`: makes what the session needs, within the options' caps, and tells the client. Only after
/// hello().
/// - `refuse(code)`: tells the client why not. Dropping a visitor just hangs up.
template <class V>
concept TransportVisitor =
    std::movable<V> && requires(V visitor, const V& view, const ServiceOptions& options, std::error_code why) {
        { view.peer() } -> std::same_as<const Credentials&>;
        { visitor.attach(-1, std::uint64_t{}) } -> std::same_as<Result<void>>;
        { visitor.hello() } -> std::same_as<Result<bool>>;
        { visitor.admit(options) } -> std::same_as<Result<typename V::End>>;
        visitor.refuse(why);
    };

/// Stands at an address. `fd()` is readable when accept() has something to do; `accept()` never blocks: a visitor,
/// none, or an error that concerns one connection only. It backs off by itself when descriptors run out.
template <class L>
concept TransportListener = std::movable<L> && requires(L listener, const L& view) {
    { view.fd() } -> std::same_as<int>;
    { listener.accept() } -> std::same_as<Result<std::optional<typename L::Visitor>>>;
};

/// A transport: its parts and how to get them.
///
/// - `vouches`: what of Credentials it fills in.
/// - `listen(address, options)`: address_in_use, bad_name, name_too_long, no_runtime_directory, or what the kernel
/// said.
/// - `connect(address, options, limit, check)`: no_service, timed_out, incompatible, not_supported,
/// descriptors_refused, the
///   refusal of `check` for the service's credentials (asked before anything is sent), or the service's own refusal.
template <class T>
concept TransportPolicy = TransportListener<typename T::Listener> && TransportVisitor<typename T::Listener::Visitor> &&
                          TransportServiceEnd<typename T::ServiceEnd> && TransportClientEnd<typename T::ClientEnd> &&
                          requires(const Address& address, const Options& options,
                                   const ServiceOptions& service_options, TimeLimit limit, CredentialCheck check) {
                              { T::vouches } -> std::convertible_to<Vouch>;
                              { T::listen(address, service_options) } -> std::same_as<Result<typename T::Listener>>;
                              {
                                  T::connect(address, options, limit, check)
                              } -> std::same_as<Result<typename T::ClientEnd>>;
                          };

namespace detail {

template <class T>
struct TransportMemory {
    using type = PlainMemory;
};
template <class T>
    requires requires { typename T::Memory; }
struct TransportMemory<T> {
    using type = typename T::Memory;
};

template <class T>
struct TransportKernel {
    using type = LinuxKernel;
};
template <class T>
    requires requires { typename T::Kernel; }
struct TransportKernel<T> {
    using type = typename T::Kernel;
};

}  // namespace detail

/// The Memory through which a transport's payloads are read and written: `T::Memory`, or PlainMemory.
template <class T>
using MemoryOf = typename detail::TransportMemory<T>::type;

/// The Kernel that a transport's clients and services ask: `T::Kernel`, or LinuxKernel.
template <class T>
using KernelOf = typename detail::TransportKernel<T>::type;

}  // namespace qbipc
