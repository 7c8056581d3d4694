// SPDX-License-Identifier: BSL-1.0
// Clients that die while their service is at work for them: in every hook and handler, while an answer is written,
// while answers and events wait for room, before a deferred answer is sent, from whichever thread. Built with
// AddressSanitizer too.
//   torture-handlers [--full] [--seed N]
//
// The handler kills its client itself, and waits until the kernel says that it is gone: each death is at one place.
#include <array>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>
#include <poll.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <qbipc/client.hpp>
#include <qbipc/qbipc.hpp>
#include <qbipc/transport/shm_ring.hpp>
#include <qbipc/transport/unix_socket.hpp>

#include "process/arguments.hpp"
#include "process/messages.hpp"
#include "torture/findings.hpp"
#include "torture/kin.hpp"

using namespace qbipc;
using namespace qbipc::testing;
using namespace std::chrono_literals;

namespace {

constexpr auto never_mind = 60s;

/// Where the client dies.
enum class Place : std::uint32_t {
    before_answer,        ///< in the handler, which then answers
    answer_built,         ///< while the answer is written where the client would read it
    answer_kept,          ///< long answers wait for room
    answer_then_handler,  ///< the same, while the next of its calls is handled
    event_before,         ///< in the handler, which then sends it events until there is no room
    event_built,          ///< while an event is written
    event_kept,           ///< an event longer than its lane waits for room
    deferred,             ///< its answer is sent within the handler's turn, after its death
    deferred_late,        ///< ... after its session has ended
    deferred_dropped,     ///< ... never
    deferred_by_thread,   ///< ... by another thread, before its session may have ended
    handler_throws,       ///< the handler throws afterwards
    handler_disconnects,  ///< the handler ends the session afterwards
    one_way,              ///< in the function of a message without answer, with more of them behind it
    half_a_message,       ///< when half of a long message has come
    on_accept,            ///< in the handshake
    on_connect,           ///< which then sends it an event
    to_the_others,        ///< while a handler of another session sends it an event
    end
};
constexpr std::array names{"before_answer",       "answer_built",     "answer_kept",        "answer_then_handler",
                           "event_before",        "event_built",      "event_kept",         "deferred",
                           "deferred_late",       "deferred_dropped", "deferred_by_thread", "handler_throws",
                           "handler_disconnects", "one_way",          "half_a_message",     "on_accept",
                           "on_connect",          "to_the_others"};
static_assert(names.size() == static_cast<std::size_t>(Place::end));

struct Value {
    std::uint64_t value = 0;
};
/// "Kill me there."
struct KillMe {
    static constexpr MessageId id = 50;
    using Reply = Value;
    std::uint32_t place = 0;
};
struct LongAnswer {
    static constexpr MessageId id = 51;
    using Reply = LongAnswer;
    using Tail = char;
    std::uint32_t place = 0;
};
struct More {
    static constexpr MessageId id = 52;
    using Tail = char;
    std::uint32_t place = 0;
};

// ---- the clients' side

template <class T>
int be_killed(const std::string& name, Place place) {
    Options options;
    options.lane_size = 64 << 10;
    const auto it = static_cast<std::uint32_t>(place);
    auto client = Client<T>::connect(name, never_mind, {}, options);
    if (!client) return 1;
    const std::string text = patterned(it, 60'000);
    switch (place) {
        case Place::end:  // isn't killed
            break;
        case Place::answer_built:
        case Place::answer_kept:
        case Place::answer_then_handler:
            for (int i = 0; i < 6; ++i) (void)client->send(with_tail(More{99}, std::string_view("x")), never_mind);
            for (int i = 0; i < 6; ++i) (void)client->start(with_tail(LongAnswer{it}, std::string_view("y")));
            break;
        case Place::one_way:
            for (int i = 0; i < 20; ++i) (void)client->send(with_tail(More{it}, text), never_mind);
            break;
        case Place::half_a_message:
            (void)client->call(KillMe{it}, never_mind);
            break;
        case Place::to_the_others: {
            auto other = Client<T>::connect(name, never_mind, {}, options);
            if (other) (void)other->call(KillMe{it}, never_mind);
            break;
        }
        default:
            (void)client->call(KillMe{it}, never_mind);
    }
    ::pause();
    return 0;
}

// ---- the service's side

struct Books {
    Place place{};
    pid_t client = -1;
    bool killed = false;
    int connects = 0, disconnects = 0, data = 0, completions = 0, wrong_ends = 0, failures_to_kill = 0;
    std::vector<Answer<Value>> owed;

    void kill() {
        if (std::exchange(killed, true)) return;
        if (!kill_and_see(client)) ++failures_to_kill;
    }
    bool is(Place here) const { return place == here && !killed; }
};

struct Account {
    explicit Account(Books& to) : books(&to) { ++books->data; }
    Account(Account&& other) noexcept : books(std::exchange(other.books, nullptr)) {}
    Account& operator=(Account&&) = delete;
    ~Account() {
        if (books == nullptr) return;
        --books->data;
        value = 0xdead;
    }
    Books* books;
    std::uint64_t value = 1;
};

template <class Session>
void send_until_full(Session& session, std::size_t size) {
    const auto text = patterned(1, size);
    for (std::uint64_t i = 1; i < 1000; ++i)
        if (!session.send(with_tail(Tick{i}, text))) return;
}

auto selector_of(Books& books) {
    return routes<Account>(
        on_accept([&books](const Credentials&) {
            if (books.is(Place::on_accept)) books.kill();
            return Account(books);
        }),
        on_connect([&books](auto& session) {
            ++books.connects;
            if (books.is(Place::on_connect)) books.kill();
            (void)session.send(with_tail(Tick{1}, patterned(1, 10)));
        }),
        on_disconnect([&books](auto& session) {
            ++books.disconnects;
            const auto why = session.reason();
            if (why != EndReason::lost &&
                !(books.place == Place::handler_disconnects && why == EndReason::disconnected) &&
                !(books.place == Place::event_kept && why == EndReason::quota))
                ++books.wrong_ends;
            if (session->value != 1) ++books.wrong_ends;
            (void)session.send(Tick{2});  // refused, and harmless
        }),
        on<KillMe>([&books](auto& session, const KillMe&, Answer<Value> answer) {
            const auto place = books.place;
            if (place == Place::to_the_others) {
                for (auto& other : session.sessions()) {
                    if (other.id() != session.id()) books.kill();
                    (void)other.send(with_tail(Tick{1}, patterned(1, 3'000)));
                }
            } else if (place == Place::event_built) {
                const auto sent = session.send(build<Tick>(100, [&](Tick& tick, std::span<char> text) {
                    tick.number = 1;
                    text[0] = 'a';
                    books.kill();
                    text[99] = 'z';
                }));
                (void)sent;
            } else if (place == Place::event_kept) {
                (void)session.send(with_tail(Tick{1}, patterned(1, 200'000)));  // its lane holds 64 KiB
                books.kill();
                send_until_full(session, 100);
            } else {
                books.kill();
            }
            if (place == Place::event_before) send_until_full(session, 5'000);
            if (place == Place::handler_throws) throw std::runtime_error("as asked");
            if (place == Place::handler_disconnects) session.disconnect();
            if (place == Place::deferred_late || place == Place::deferred_dropped ||
                place == Place::deferred_by_thread) {
                books.owed.push_back(std::move(answer));
            } else {
                const auto sent = answer.send(Value{session->value});
                if (!sent && sent.error() != errc::disconnected) ++books.wrong_ends;
                ++books.completions;
            }
        }),
        on<LongAnswer>([&books](auto& session, const LongAnswer&, std::string_view, Answer<LongAnswer> answer) {
            if (books.place == Place::answer_built) {
                (void)answer.send(build<LongAnswer>(10'000, [&](LongAnswer&, std::span<char> text) {
                    text[0] = 'a';
                    books.kill();
                    text[9'999] = 'z';
                }));
            } else {
                const auto text = patterned(session->value, 50'000);
                // The first fills the lane, the second has to wait.
                if (books.place == Place::answer_then_handler && session.statistics().responses == 1) books.kill();
                (void)answer.send(with_tail(LongAnswer{}, text));
                if (books.place == Place::answer_kept && session.statistics().lane_full > 0) books.kill();
            }
            ++books.completions;
        }),
        on<More>([&books](auto& session, const More& more, std::string_view text) {
            if (more.place == 99) return;
            if (!is_pattern(more.place, text) || session->value != 1) ++books.wrong_ends;
            books.kill();
        }));
}

template <class T>
class Ward {
public:
    Ward(const char* transport, Findings& findings) : transport_(transport), findings_(findings) {}

    void run(long times) {
        const auto name = "torture-" + std::to_string(::getpid()) + "-handlers-" + transport_;
        Nursery nursery([&](char place) { return be_killed<T>(name, static_cast<Place>(place)); });
        ServiceOptions options;
        options.lane_size = 64 << 10;
        options.limits.sessions = options.limits.sessions_per_user = 3;
        options.limits.half_open = options.limits.half_open_per_user = 1;
        options.limits.session_bytes = options.limits.user_bytes = 512 << 10;
        auto service = listen<T>(name, selector_of(books_), {}, options);
        if (!service) return findings_.fail("listen: " + service.error().message());
        // One who is in all the time: what a session takes of its user's memory would go with the user's last.
        books_.place = Place::end;
        books_.client = nursery.bear(static_cast<char>(Place::end));
        if (books_.client < 0) return findings_.fail("no witness");
        const auto end = std::chrono::steady_clock::now() + 20s;
        while (books_.connects == 0 && std::chrono::steady_clock::now() < end) turn(*service);
        const int descriptors = open_descriptors();
        mappings_ = session_mappings();
        for (std::size_t place = 0; place < names.size(); ++place)
            for (long time = 0; time < times && !findings_.hopeless(); ++time)
                one(*service, static_cast<Place>(place), nursery, descriptors);
    }

private:
    template <class S>
    void turn(S& service) {
        pollfd one{service.fd(), POLLIN, 0};
        ::poll(&one, 1, 10);
        if (!service.dispatch()) findings_.fail("dispatch");
    }

    template <class S>
    void one(S& service, Place place, Nursery& nursery, int descriptors) {
        const auto fail = [&](const std::string& what) {
            findings_.fail(std::string(transport_) + ' ' + names[static_cast<std::size_t>(place)] + ": " + what);
        };
        books_ = Books{};
        books_.place = place;
        books_.client = nursery.bear(static_cast<char>(place));
        if (books_.client < 0) return fail("no client");
        const auto until = [&](auto&& what) {
            const auto end = std::chrono::steady_clock::now() + 20s;
            while (!what()) {
                if (std::chrono::steady_clock::now() > end) return false;
                turn(service);
            }
            return true;
        };
        if (!until([&] { return books_.killed; })) {
            fail("the client wasn't killed");
            books_.kill();
        }
        std::thread thread;
        if (place == Place::deferred_by_thread)
            thread = std::thread([&] {
                for (auto& answer : books_.owed) (void)answer.send(Value{1});
            });
        const bool quiet = until([&] {
            return service.statistics().sessions == 1 && books_.data == 0 && books_.connects == books_.disconnects &&
                   open_descriptors() == descriptors;
        });
        if (thread.joinable()) thread.join();
        if (!quiet)
            fail("left: " + std::to_string(service.statistics().sessions) + " sessions, private data of " +
                 std::to_string(books_.data) + ", " + std::to_string(open_descriptors() - descriptors) +
                 " descriptors");
        if (place == Place::deferred_late) {
            if (books_.owed.empty()) fail("nothing is owed");
            for (auto& answer : books_.owed) {
                const auto sent = answer.send(Value{1});
                if (sent || sent.error() != errc::disconnected) fail("an answer to a dead client is accepted");
            }
        }
        books_.owed.clear();
        turn(service);  // what a thread posted
        if (session_mappings() != mappings_) fail("mappings are left");
        if (place != Place::on_accept && books_.connects < 1) fail("there was no session");
        if (place == Place::before_answer && books_.completions != 1) fail("answered not once");
        if (books_.wrong_ends != 0) fail("the end has a wrong reason, or data are gone too early");
        if (books_.failures_to_kill != 0) fail("the client can't be killed");
        ++findings_.kills;
    }

    const char* transport_;
    Findings& findings_;
    Books books_;
    int mappings_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    const Words words(argc, argv);
    const long times = words.number("--times", words.full() ? 1'000 : 15);
    Findings findings;
    Ward<ShmRing>("shm", findings).run(times);
    Ward<UnixSocket>("unix", findings).run(times);
    return findings.end("handlers", std::to_string(names.size()) + " places in both transports" + how_built());
}
