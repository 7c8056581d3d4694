// SPDX-License-Identifier: BSL-1.0
// What is done between two markers by who dies there, and what the one who survives does meanwhile.
#pragma once

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <optional>
#include <poll.h>
#include <string>
#include <unistd.h>
#include <vector>

#include <qbipc/client.hpp>
#include <qbipc/qbipc.hpp>
#include <qbipc/transport/shm_ring.hpp>
#include <qbipc/transport/unix_socket.hpp>

#include "process/messages.hpp"
#include "torture/kin.hpp"
#include "torture/tracee.hpp"

namespace qbipc::testing {

using namespace std::chrono_literals;

/// Nobody spins: a spin is thousands of instructions that only look.
using Ring = BasicShmRing<Block>;

inline constexpr auto never_mind = 120s;          ///< a wait this long has failed
inline constexpr std::size_t long_size = 25'000;  ///< in pieces: a lane's frames end at 16 KiB here
inline constexpr std::uint32_t few_events = 2;
inline constexpr std::size_t flipped_size = 40;  ///< of texts that are changed while they are read

/// What the survivor and the victim tell who torments them.
struct Board {
    using Count = std::atomic<std::uint64_t>;
    // a service's
    Count connects = 0, disconnects = 0, bye = 0, other_end = 0;
    Count calls = 0, jots = 0, torn = 0;
    Count data = 0;  ///< private data alive
    // what the one waits for before the other goes on
    Count began = 0, warm = 0, gate = 0, published = 0;
    /// Seen by a victim whose shared words are changed under its eyes.
    Count seen_size = 0, seen = 0, result = 0;
};

/// Names of this run; a dead service's is its successor's.
inline std::string torture_name(const char* what, const char* transport) {
    static const pid_t first = ::getpid();
    return std::string("torture-") + std::to_string(first) + '-' + what + '-' + transport;
}

template <class T>
Options small_lanes() {
    Options options;
    options.lane_size = 64 << 10;
    return options;
}

/// One of everything: what a session that died doesn't give back is missed by the next.
template <class T>
ServiceOptions tight() {
    ServiceOptions options;
    static_cast<Options&>(options) = small_lanes<T>();
    options.limits.sessions = options.limits.sessions_per_user = 1;
    options.limits.half_open = options.limits.half_open_per_user = 1;
    options.limits.session_bytes = options.limits.user_bytes = 256 << 10;
    return options;
}

/// Private data that counts itself.
struct Counted {
    explicit Counted(Board& on) : board(&on) { ++board->data; }
    Counted(Counted&& other) noexcept : board(std::exchange(other.board, nullptr)) {}
    Counted& operator=(Counted&&) = delete;
    ~Counted() {
        if (board != nullptr) --board->data;
    }
    Board* board;
    std::uint64_t handled = 0;  ///< requests that were messages of ours
};

/// Takes what the regions send, and answers at once. `thorough`: looks at every byte, which is a way too long to be
/// stepped.
template <class Stop>
auto selector_of(Board& board, bool thorough, Stop stop) {
    return routes<Counted>(on_accept([&board](const Credentials&) { return Counted(board); }),
                           on_connect([&board](auto&) { ++board.connects; }), on_disconnect([&board](auto& session) {
                               if (session.reason() == EndReason::bye)
                                   ++board.bye;
                               else if (session.reason() != EndReason::lost)
                                   ++board.other_end;
                               // What isn't there as a whole may be taken for something that has no function.
                               if (session.statistics().requests != session->handled) ++board.torn;
                               ++board.disconnects;
                           }),
                           on<Add>([&board](auto& session, const Add& add) {
                               ++session->handled;
                               if (add.b == 0) {
                                   ++board.warm;
                               } else {
                                   ++board.calls;
                                   (void)session.send(with_tail(Tick{1}, patterned(1, 30)));
                               }
                               return Sum{add.a + add.b};
                           }),
                           on<Echo>([&board, thorough](auto& session, const Echo&, std::string_view text) {
                               ++session->handled;
                               ++board.calls;
                               if (thorough && text.size() == long_size && !is_pattern(7, text)) ++board.torn;
                               if (text.size() != long_size && text.size() != flipped_size) ++board.torn;
                               return Copy<Echo>(Echo{}, text);
                           }),
                           on<Jot>([&board](auto& session, const Jot& jot, std::string_view text) {
                               ++session->handled;
                               ++board.jots;
                               board.seen_size = text.size();
                               if (!is_pattern(jot.sequence, text) || text.size() != jot.client) ++board.torn;
                           }),
                           on<Wish>([](auto& session, const Wish& wish) {
                               ++session->handled;
                               for (std::uint32_t i = 1; i <= wish.count; ++i)
                                   (void)session.send(with_tail(Tick{i}, patterned(i, wish.size)));
                           }),
                           on<Clear>([stop](auto& session, const Clear&) {
                               ++session->handled;
                               stop();
                           }));
}

/// Patterned text, which says how long it is to be; made before the region that sends it.
struct Jotting {
    Jotting(std::uint64_t number, std::size_t size) : sequence(number), text(patterned(number, size)) {}
    template <class C>
    Result<void> send(C& client) const {
        return client.send(with_tail(Jot{text.size(), sequence}, text), never_mind);
    }
    std::uint64_t sequence;
    std::string text;
};

/// What a client got of the events.
struct Ticks {
    std::uint64_t good = 0, wrong = 0;
    auto selector() {
        return routes(on<Tick>([this](const Tick& tick, std::string_view text) {
            ++(tick.number == good + 1 && is_pattern(tick.number, text) && !text.empty() ? good : wrong);
        }));
    }
};

// ---- the service that survives

template <class T>
int serve_for_ever(Board& board, const std::string& name) {
    auto service = listen<T>(name, selector_of(board, true, [] {}), {}, tight<T>());
    if (!service) return 1;
    ++board.began;
    return service->run() ? 0 : 1;
}

// ---- the client that dies: each is one region

/// A client that has called once.
template <class T>
Client<T> warm_client(const std::string& name) {
    auto client = or_exit(Client<T>::connect(name, never_mind, {}, small_lanes<T>()), "connect");
    if (!client.call(Add{1, 0}, never_mind)) ::_exit(11);
    return client;
}

using Body = int (*)(const std::string& name, Board&);

template <class T>
struct Dying {
    static int publish(const std::string& name, Board&) {
        auto client = warm_client<T>(name);
        const Jotting jotting(3, 20);
        marker(), marker();
        const auto sent = jotting.send(client);
        marker();
        return sent ? 0 : 1;
    }
    /// The service stands still from the first marker: the first message rings, this one doesn't.
    static int publish_quietly(const std::string& name, Board&) {
        auto client = warm_client<T>(name);
        const Jotting first(2, 20), second(3, 100);
        marker();
        if (!first.send(client)) return 2;
        marker();
        const auto sent = second.send(client);
        marker();
        return sent ? 0 : 1;
    }
    static int publish_long(const std::string& name, Board&) {
        auto client = warm_client<T>(name);
        const Jotting jotting(3, long_size);
        marker(), marker();
        const auto sent = jotting.send(client);
        marker();
        return sent ? 0 : 1;
    }
    /// Room for it comes only while it is sent.
    static int publish_longer_than_the_lane(const std::string& name, Board&) {
        auto client = warm_client<T>(name);
        const Jotting jotting(3, 3 * long_size);
        marker(), marker();
        const auto sent = jotting.send(client);
        marker();
        return sent ? 0 : 1;
    }
    static int call(const std::string& name, Board&) {
        auto client = warm_client<T>(name);
        marker(), marker();
        const auto sum = client.call(Add{1, 2}, never_mind);
        marker();
        return sum && sum->value == 3 ? 0 : 1;
    }
    static int take_answer(const std::string& name, Board& board) {
        auto client = warm_client<T>(name);
        auto pending = client.start(Add{1, 2});
        if (!pending) return 2;
        marker(), marker();
        auto sum = client.wait(*pending, never_mind);
        marker();
        board.result = sum ? 1 : 2;
        return sum && sum->value == 3 ? 0 : 1;
    }
    static int take_long_answer(const std::string& name, Board&) {
        auto client = warm_client<T>(name);
        const auto text = patterned(7, long_size);
        auto pending = client.start(with_tail(Echo{}, text));
        if (!pending) return 2;
        marker(), marker();
        auto echo = client.wait(*pending, never_mind);
        marker();
        return echo && std::string_view(echo->tail()) == text ? 0 : 1;
    }
    static int take_events(const std::string& name, Board& board) {
        auto client = warm_client<T>(name);
        if (!client.send(Wish{few_events, 40, 0, 0})) return 2;
        Ticks ticks;
        auto selector = ticks.selector();
        marker(), marker();
        const auto got = client.receive(selector, never_mind);
        marker();
        board.result = got ? 1 : 2;
        return ticks.good == few_events ? 0 : 1;
    }
    /// Arms, sleeps until its time is over, is awake again.
    static int sleep(const std::string& name, Board&) {
        auto client = warm_client<T>(name);
        Ticks ticks;
        auto selector = ticks.selector();
        marker(), marker();
        const auto got = client.receive(selector, 2ms);
        marker();
        return !got && got.error() == errc::timed_out ? 0 : 1;
    }
    /// The loop's way: arms for it, is found readable, takes, arms again.
    static int loop(const std::string& name, Board&) {
        auto client = warm_client<T>(name);
        if (!client.send(Wish{few_events, 40, 0, 0})) return 2;
        Ticks ticks;
        auto selector = ticks.selector();
        marker(), marker();
        pollfd one{client.fd(), POLLIN, 0};
        if (::poll(&one, 1, 10'000) != 1) return 3;
        const auto got = client.dispatch(selector);
        marker();
        return got && ticks.good == few_events ? 0 : 1;
    }
    static int connect(const std::string& name, Board&) {
        marker(), marker();
        auto client = Client<T>::connect(name, never_mind, {}, small_lanes<T>());
        marker();
        return client ? 0 : 1;
    }
    static int disconnect(const std::string& name, Board&) {
        auto client = warm_client<T>(name);
        marker(), marker();
        client.disconnect();
        marker();
        return 0;
    }
};

// ---- the client that survives

/// What a client makes of its service's death.
struct Outcome {
    enum Error : std::uint32_t { none, disconnected, no_service, other };
    Error connect = none;  ///< of connect()
    Error first = none;    ///< of the call that was outstanding
    Error last = none;     ///< of receiving for ever after
    std::uint32_t value_wrong = 0, alive = 0;
    std::uint64_t events = 0, events_wrong = 0;
    int number = 0;  ///< of an `other` error
};

inline Outcome::Error kind_of(const std::error_code& error, Outcome& outcome) {
    if (!error) return Outcome::none;
    if (error == errc::disconnected) return Outcome::disconnected;
    if (error == errc::no_service) return Outcome::no_service;
    outcome.number = error.value();
    return Outcome::other;
}

enum class Order : char { call, call_long, jot, keep_quiet, stop_later };

/// Connects, asks, sees the service die, and tells what it saw; again and again. Beginning and end of each are orders
/// and outcomes on one socket.
template <class T>
class SurvivingClient {
public:
    SurvivingClient(Board& board, std::string name, int socket)
        : board_(board), name_(std::move(name)), socket_(socket) {}

    int obey() {
        for (Order order{}; ::read(socket_, &order, 1) == 1;) {
            const Outcome outcome = perform(order);
            if (::write(socket_, &outcome, sizeof outcome) != sizeof outcome) return 1;
        }
        return 0;
    }

private:
    Outcome perform(Order order) {
        Outcome outcome;
        ++board_.began;
        Options options = small_lanes<T>();
        options.wait_for_service = false;
        auto client = Client<T>::connect(name_, never_mind, {}, options);
        if (!client) {
            outcome.connect = kind_of(client.error(), outcome);
            return outcome;
        }
        const auto warm = client->call(Add{1, 0}, never_mind);
        if (!warm) {
            outcome.first = kind_of(warm.error(), outcome);
            return outcome;
        }
        // In the same turn of the service as the first it would be, otherwise.
        (void)comes_true([&] { return board_.gate > 0; });
        if (order == Order::call) {
            auto pending = client->start(Add{1, 2});
            ++board_.published;
            if (pending) take(*client, *pending, outcome, [](const Received<Sum>& sum) { return sum.value == 3; });
        } else if (order == Order::call_long) {
            const auto text = patterned(7, long_size);
            auto pending = client->start(with_tail(Echo{}, text));
            ++board_.published;
            if (pending)
                take(*client, *pending, outcome,
                     [&](const Received<Echo>& echo) { return std::string_view(echo.tail()) == text; });
        } else if (order == Order::jot) {
            (void)Jotting(5, flipped_size).send(*client);
            ++board_.published;
        } else {
            ++board_.published;
            if (order == Order::stop_later) {
                char now = 0;
                if (::read(socket_, &now, 1) == 1 && now == static_cast<char>(Order::stop_later))
                    (void)client->send(Clear{});
            }
        }
        Ticks ticks;
        auto selector = ticks.selector();
        const Deadline limit(never_mind);
        std::uint64_t received = 0;
        for (;;) {
            const auto got = client->receive(selector, limit);
            if (got) {
                received += *got;
                continue;
            }
            outcome.last = kind_of(got.error(), outcome);
            break;
        }
        outcome.events = ticks.good;
        // What isn't there as a whole may be taken for something that nobody waits for.
        outcome.events_wrong = ticks.wrong + (received - ticks.good - ticks.wrong) + client->statistics().late_answers;
        outcome.alive = client->alive() ? 1 : 0;
        return outcome;
    }

    template <class M, class Good>
    static void take(Client<T>& client, Pending<M>& pending, Outcome& outcome, Good good) {
        auto answer = client.wait(pending, never_mind);
        outcome.first = kind_of(answer ? std::error_code() : answer.error(), outcome);
        outcome.value_wrong = answer && !good(*answer) ? 1 : 0;
    }

    Board& board_;
    const std::string name_;
    const int socket_;
};

// ---- the service that dies

template <class T>
struct DyingService {
    /// Serves until a client has called once.
    template <class S>
    static void warm_up(S& service, Board& board) {
        while (board.warm == 0) {
            pollfd one{service.fd(), POLLIN, 0};
            (void)::poll(&one, 1, -1);
            if (!service.dispatch()) ::_exit(12);
        }
    }
    /// A request lies there: takes it, sends an event, answers, wakes the client.
    static int answer(const std::string& name, Board& board) {
        auto service = or_exit(listen<T>(name, selector_of(board, false, [] {}), {}, tight<T>()), "listen");
        marker();
        warm_up(service, board);
        marker(), marker();
        const auto taken = service.dispatch();
        marker();
        board.result = taken ? *taken : 0;
        return taken ? 0 : 1;
    }
    /// Arms, sleeps, is woken, and stops.
    static int sleep(const std::string& name, Board& board) {
        std::optional<Stopper> stopper;
        auto service =
            or_exit(listen<T>(name, selector_of(board, false, [&] { (*stopper)(); }), {}, tight<T>()), "listen");
        stopper = service.stopper();
        marker();
        warm_up(service, board);
        marker(), marker();
        const auto ran = service.run();
        marker();
        return ran ? 0 : 1;
    }
    /// Lets a client in.
    static int accept(const std::string& name, Board& board) {
        auto service = or_exit(listen<T>(name, selector_of(board, false, [] {}), {}, tight<T>()), "listen");
        marker(), marker();
        warm_up(service, board);
        marker();
        return 0;
    }
    static int listen_(const std::string& name, Board& board) {
        marker(), marker();
        auto service = listen<T>(name, selector_of(board, false, [] {}), {}, tight<T>());
        marker();
        return service ? 0 : 1;
    }
    /// Ends with a client in.
    static int close(const std::string& name, Board& board) {
        std::optional service = or_exit(listen<T>(name, selector_of(board, false, [] {}), {}, tight<T>()), "listen");
        marker();
        warm_up(*service, board);
        marker(), marker();
        service.reset();
        marker();
        return 0;
    }
};

}  // namespace qbipc::testing
