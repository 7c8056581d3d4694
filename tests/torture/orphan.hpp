// SPDX-License-Identifier: BSL-1.0
// A client whose service dies at a moment that the client chooses, and the books of what it was still owed.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <poll.h>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <qbipc/client.hpp>
#include <qbipc/qbipc.hpp>

#include "process/messages.hpp"
#include "support/random.hpp"
#include "torture/findings.hpp"
#include "torture/kin.hpp"

namespace qbipc::testing {

/// Whoever has to wait so long for a dead service has been forgotten.
constexpr auto patience = std::chrono::seconds(20);

/// Is answered by a patterned tail of `size` bytes; or not, where that is `never`. Its own tail is patterned too.
struct Fetch {
    static constexpr MessageId id = 60;
    using Reply = Fetch;
    using Tail = char;
    std::uint64_t number = 0, size = 0;
    std::uint64_t release = 0;  ///< 1: what is owed is answered behind this
};
inline constexpr std::uint64_t never = ~std::uint64_t{0};
/// Does nothing any more.
struct StandStill {
    static constexpr MessageId id = 61;
};

/// What the service certainly did, for as long as it lived.
struct Board {
    std::atomic<std::uint64_t> standing{0}, answered{0}, kept{0}, told{0}, still{0}, torn{0};
};

template <class T>
int serve(Board& board, const std::string& name) {
    std::vector<std::pair<Fetch, Answer<Fetch>>> owed;
    std::uint64_t ticks = 0;
    const auto give = [&board](const Fetch& fetch, Answer<Fetch>& answer, std::uint64_t size) {
        (void)answer.send(with_tail(Fetch{fetch.number, size}, patterned(fetch.number, size)));
        ++board.answered;
    };
    ServiceOptions options;
    options.lane_size = 64 << 10;
    auto service = listen<T>(name,
                             routes(on<Fetch>([&](const Fetch& fetch, std::string_view text, Answer<Fetch> answer) {
                                        if (!is_pattern(fetch.number, text)) ++board.torn;
                                        if (fetch.size == never) {
                                            owed.emplace_back(fetch, std::move(answer));
                                            ++board.kept;
                                            return;
                                        }
                                        give(fetch, answer, fetch.size);
                                        if (fetch.release == 0) return;
                                        for (auto& [earlier, late] : owed) give(earlier, late, 700);
                                    }),
                                    on<Jot>([&](const Jot& jot, std::string_view text) {
                                        if (!is_pattern(jot.sequence, text)) ++board.torn;
                                    }),
                                    on<Wish>([&](auto& session, const Wish& wish) {
                                        for (std::uint32_t i = 0; i < wish.count; ++i) {
                                            ++ticks;
                                            const auto text = patterned(ticks, wish.size);
                                            if (session.send(with_tail(Tick{ticks}, text))) ++board.told;
                                        }
                                    }),
                                    on<StandStill>([&](const StandStill&) {
                                        ++board.still;
                                        for (;;) ::pause();
                                    })),
                             {}, options);
    if (!service) return 1;
    ++board.standing;
    return service->run() ? 0 : 1;
}

/// What a function holds: gone with it.
class Token {
public:
    explicit Token(std::atomic<int>& count) : count_(&count) { ++*count_; }
    Token(Token&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
    Token& operator=(Token&&) = delete;
    ~Token() {
        if (count_ != nullptr) --*count_;
    }

private:
    std::atomic<int>* count_;
};

/// Before its service dies it is owed answers that are there already, answers that will never come, and events.
template <class T>
class Orphan {
public:
    static constexpr std::uint64_t answered = 4, kept = 4, events_owed = 5;
    static constexpr std::uint64_t own = answered + kept + 1;  ///< the first number that a place may use
    static constexpr std::uint64_t later = 20;                 ///< ... and others: of calls that come after the death
    static constexpr std::uint64_t most = 100;

    Orphan(Findings& findings, Board& board, Nursery& nursery, std::string name, char transport, std::string where,
           Random& dice)
        : at(1 + dice.below(answered)),
          random(dice),
          findings_(findings),
          board_(board),
          nursery_(nursery),
          name_(std::move(name)),
          where_(std::move(where)),
          transport_(transport) {}
    Orphan(const Orphan&) = delete;
    Orphan& operator=(const Orphan&) = delete;

    // ---- what a place is made of

    std::optional<Client<T>> client;
    /// Run in each function of a call, in each of an event, with its number.
    std::function<void(std::uint64_t)> in_function, in_event;
    const std::uint64_t at;  ///< in which of them the service dies
    Random& random;
    /// Whose answers, which events were certainly published before the death, and are read after it.
    std::uint64_t certain = 0, certain_ticks = 0;
    std::uint64_t expires = 0;  ///< this function's deadline comes first

    void fail(const std::string& what) {
        const std::lock_guard lock(failing_);
        findings_.fail(where_ + ": " + what);
    }
    template <class R>
    void must_fail(const std::string& what, const R& result, errc with = errc::disconnected) {
        if (result)
            fail(what + " succeeds");
        else if (result.error() != with)
            fail(what + " gives: " + result.error().message());
    }
    template <class R>
    void may_fail(const std::string& what, const R& result) {
        if (!result && result.error() != errc::disconnected) fail(what + " gives: " + result.error().message());
    }
    template <class F>
    void see(const char* what, F&& f) {
        if (!comes_true(f)) fail(std::string("the service never ") + what);
    }
    void see_answers(std::uint64_t count) {
        see("answers", [&] { return board_.answered >= count; });
    }

    void bear() {
        board_.standing = board_.answered = board_.kept = board_.told = board_.still = 0;
        service_ = nursery_.bear(transport_);
        killed_ = false;
        see("stands", [&] { return board_.standing == 1; });
    }
    void kill() {
        if (killed_.exchange(true)) return;
        if (!kill_and_see(service_)) fail("the service can't be killed");
    }
    bool killed() const { return killed_; }
    void kill_in_function() {
        in_function = [this](std::uint64_t number) {
            if (number == at) kill();
        };
    }
    void kill_in_event() {
        in_event = [this](std::uint64_t number) {
            if (number == at) kill();
        };
    }
    pid_t service() const { return service_; }

    template <class Auth>
    std::error_code meet(Auth auth, bool patient = false) {
        Options options;
        options.lane_size = 64 << 10;
        options.wait_for_service = patient;
        auto made = Client<T>::connect(name_, patience, auth, options);
        if (!made) return made.error();
        client.emplace(std::move(*made));
        return {};
    }
    /// What is owed has been published when this comes back, and nothing of it was taken.
    void owe() {
        for (std::uint64_t n = 1; n < own; ++n) begin(*client, n, n <= answered ? random.below(5'000) : never);
        may_fail("wish", client->send(Wish{events_owed, static_cast<std::uint32_t>(random.below(5'000))}));
        see_answers(answered);
        see("keeps calls", [&] { return board_.kept == kept; });
        see("sends events", [&] { return board_.told == events_owed; });
        certain = answered, certain_ticks = events_owed;
    }
    /// The service reads no more, and there is no room.
    void fill_up() {
        may_fail("stand still", client->send(StandStill{}, patience));
        see("stands still", [&] { return board_.still == 1; });
        for (std::uint64_t n = 1; n < 100; ++n)
            if (const auto sent = client->send(jot(n, long_text(n))); !sent)
                return must_fail("what fills the lane", sent, errc::lane_full);
        fail("a lane is never full");
    }
    /// An event longer than what the connection takes is on its way.
    void begin_event() {
        may_fail("wish", client->send(Wish{1, 900'000}));
        see("sends the long event", [&] { return board_.told == events_owed + 1; });
    }

    template <class By>
    void begin(By& by, std::uint64_t number, std::uint64_t size) {
        const auto text = patterned(number, number * 3);
        started(number, by.start(with_tail(Fetch{number, size}, text), patience, function(number)));
    }
    void started(std::uint64_t number, const Result<void>& result) {
        begun_[number] = result.has_value();
        may_fail("start", result);
    }
    /// For start(): what runs must run once, with the answer whole or the right error.
    auto function(std::uint64_t number) {
        return [this, number, token = Token(tokens_)](Result<Copy<Fetch>> answer) {
            if (++ran_[number] > 1) fail("a function runs twice: " + std::to_string(number));
            if (answer) {
                if (number <= last_) fail("answers out of order");
                last_ = number;
                if (!whole(**answer, answer->tail(), number)) fail("a function gets a broken answer");
                good_[number] = true;
            } else if (answer.error() != (number == expires ? errc::timed_out : errc::disconnected)) {
                fail("a function gets: " + answer.error().message());
            }
            if (in_function) in_function(number);
        };
    }
    auto events() {
        return routes(on<Tick>([this](const Tick& tick, std::string_view text) {
            if (inside_) fail("an event's function runs in a call");
            if (tick.number != ticks_ + 1 || !is_pattern(tick.number, text)) fail("events out of order, or broken");
            ++ticks_;
            if (in_event) in_event(tick.number);
        }));
    }
    static bool whole(const Fetch& fetch, std::span<const char> text, std::uint64_t number) {
        return fetch.number == number && text.size() == fetch.size && is_pattern(number, text);
    }
    /// call() and wait(), in which no event's function may run.
    template <class F>
    auto inside(F&& f) {
        const bool before = std::exchange(inside_, true);
        auto result = f();
        inside_ = before;
        return result;
    }
    template <class Text>
    static auto jot(std::uint64_t number, const Text& text) {
        return with_tail(Jot{0, number}, text);
    }
    static const std::string& long_text(std::uint64_t number) {
        static thread_local std::string text;
        return text = patterned(number, 200'000);
    }
    /// Fills a message, and the service dies when half of it is written.
    template <class M>
    void fill(M& message, const M& with, std::uint64_t number, std::span<char> text) {
        message = with;
        for (std::size_t i = 0; i < text.size(); ++i) {
            if (i == text.size() / 2) kill();
            text[i] = pattern_at(number, i);
        }
    }

    /// All that a function may do, and may not, when its service is dead.
    void react(errc to_call) {
        kill();
        if (client->alive()) fail("alive, from within a function");
        const auto text = patterned(1, 100);
        may_fail("send in a function", client->send(jot(1, text)));
        may_fail("waiting send in a function", client->send(jot(1, text), patience));
        must_fail("call in a function", inside([&] { return client->call(with_tail(Fetch{}, text), patience); }),
                  to_call);
        begin(*client, next_++, 10);
        must_fail("receive in a function", client->receive(none(), patience), errc::would_recurse);
        must_fail("dispatch in a function", client->dispatch(none()), errc::would_recurse);
    }
    static auto none() {
        return routes(on<Tick>([](const Tick&) {}));
    }

    /// The service dies once this thread sleeps in `f`.
    template <class F>
    void asleep(F&& f) {
        const pid_t me = ::gettid();
        std::thread killer([&] {
            if (!comes_true([&] { return state_of(me) == 'S'; })) fail("never sleeps");
            kill();
        });
        f();
        killer.join();
    }

    /// Takes what there is to its end.
    template <class By>
    void drain(By& by) {
        for (std::uint64_t turn = 0; turn < 1'000; ++turn)
            if (const auto got = by.receive(events(), patience); !got) return must_fail("receive", got);
        fail("receive goes on and on");
    }
    /// The same without waiting. By itself it needn't notice the end: waits and the descriptor do.
    void dispatch() {
        for (std::uint64_t turn = 0; turn < 1'000; ++turn) {
            const auto got = client->dispatch(events());
            if (!got) return must_fail("dispatch", got);
            if (*got == 0 && killed_) return;
        }
        fail("dispatch doesn't find what is there");
    }
    /// The same by the descriptor, little by little: it has to stay readable until all was taken.
    void loop() {
        for (std::uint64_t turn = 0; turn < 1'000; ++turn) {
            pollfd one{client->fd(), POLLIN, 0};
            if (::poll(&one, 1, 20'000) != 1) return fail("the descriptor isn't readable");
            if (const auto got = client->dispatch(events(), Budget{2}); !got) return must_fail("dispatch", got);
        }
        fail("dispatch goes on and on");
    }

    // ---- afterwards

    /// Nothing works any more, and everything says so.
    void settle() {
        if (!client) return;
        drain(*client);
        if (client->alive()) fail("alive");
        must_fail("call", inside([&] { return client->call(Fetch{}, patience); }));
        must_fail("send", client->send(jot(1, std::string_view("x"))));
        must_fail("send with a limit", client->send(jot(1, std::string_view("x")), patience));
        must_fail("start", client->start(Fetch{}));
        must_fail("start with a function", client->start(Fetch{}, patience, function(0)));
        must_fail("dispatch", client->dispatch(events()));
        may_fail("flush", client->flush(patience));
    }
    /// Whether it took as long as for a service that lives and doesn't read.
    bool end() {
        const auto before = std::chrono::steady_clock::now();
        client.reset();
        return std::chrono::steady_clock::now() - before >= std::chrono::milliseconds(900);
    }
    void audit() {
        if (!killed_) fail("the service wasn't killed");
        kill();
        for (std::uint64_t n = 0; n < most; ++n) {
            if (ran_[n] != (begun_[n] ? 1 : 0))
                fail("function " + std::to_string(n) + " of " + (begun_[n] ? "a" : "no") + " started call ran " +
                     std::to_string(ran_[n]) + " times");
            if (n >= 1 && n <= certain && !good_[n]) fail("answer " + std::to_string(n) + " is lost");
        }
        if (ticks_ < certain_ticks) fail(std::to_string(certain_ticks - ticks_) + " events are lost");
        if (ticks_ > events_owed) fail("an event of which half was there is delivered");
        if (tokens_ != 0) fail(std::to_string(tokens_) + " functions aren't destroyed");
        if (board_.torn != 0) fail("the service got a broken message");
    }

private:
    Findings& findings_;
    Board& board_;
    Nursery& nursery_;
    const std::string name_, where_;
    const char transport_;
    pid_t service_ = -1;
    std::mutex failing_;
    std::atomic<bool> killed_{false};
    bool inside_ = false;
    std::uint64_t last_ = 0, ticks_ = 0, next_ = later;
    std::atomic<int> tokens_{0};
    std::array<std::atomic<int>, most> ran_{};
    std::array<bool, most> begun_{}, good_{};
};

}  // namespace qbipc::testing
