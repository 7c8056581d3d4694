// SPDX-License-Identifier: BSL-1.0
// The places at which a client's service dies.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>

#include <qbipc/client.hpp>
#include <qbipc/qbipc.hpp>

#include "process/messages.hpp"
#include "torture/orphan.hpp"

namespace qbipc::testing {

using namespace std::chrono_literals;

template <class T>
struct Places {
    using O = Orphan<T>;
    static constexpr std::uint64_t own = O::own;

    struct Place {
        const char* name;
        void (*run)(O&);
        bool owed = true;  ///< the client is connected, and what it is owed is published
        bool last = true;  ///< the end is looked at with the client that there is
    };

    static auto deadly(O& o) {
        return [&o](Fetch& fetch, std::span<char> text) { o.fill(fetch, Fetch{own, 10}, own, text); };
    }
    static auto deadly_jot(O& o) {
        return [&o](Jot& jot, std::span<char> text) { o.fill(jot, Jot{0, own}, own, text); };
    }
    static Result<Pending<Fetch>> fetch(O& o, std::uint64_t number, std::uint64_t size) {
        auto pending = o.client->start(Fetch{number, size});
        o.may_fail("start", pending);
        return pending;
    }
    /// The answer was there; or there is none.
    static void wait(O& o, Result<Pending<Fetch>>& pending, std::uint64_t number, bool there) {
        if (!pending) return;
        const auto answer = o.inside([&] { return o.client->wait(*pending, patience); });
        if (!there) return o.must_fail("wait", answer);
        if (!answer || !O::whole(**answer, answer->tail(), number)) o.fail("an answer isn't there for wait");
    }
    /// Of one frame, or of a row.
    static std::uint64_t some_size(O& o) { return o.random.one_in(2) ? 12'000 : 200'000; }
    /// In the look at an answer, with others behind it: `text` stays what it is.
    static void look(O& o, const Fetch& answer, std::span<const char> text) {
        o.see_answers(O::answered + 1 + O::kept);
        if (text.size() < 20'000) o.certain += O::kept;  // else they may still wait for room behind it
        o.react(errc::would_recurse);
        if (!O::whole(answer, text, own)) o.fail("an answer is broken while it is looked at");
    }
    template <class F>
    static void throws(O& o, F&& f) {
        try {
            while (!o.killed()) (void)f();
            o.fail("what a function threw is lost");
        } catch (const std::runtime_error&) {
        }
    }
    static void kill_and_throw(O& o) {
        o.kill();
        throw std::runtime_error("as asked");
    }
    static auto throwing(O& o) {
        return [&o](std::uint64_t number) {
            if (number == o.at) kill_and_throw(o);
        };
    }
    static auto reacting(O& o) {
        return [&o](std::uint64_t number) {
            if (number == o.at) o.react(errc::disconnected);
        };
    }
    static auto disconnecting(O& o) {
        return [&o](std::uint64_t number) {
            if (number == o.at) o.kill(), o.client->disconnect();
        };
    }

    /// The sending half's thread sends on and on; `receive` is the other one's.
    template <class Receive>
    static void split(O& o, bool deadly_build, Receive&& receive) {
        auto halves = std::move(*o.client).split();
        o.client.reset();
        std::optional<SendingHalf<T>> sender(std::move(halves.first));
        std::optional<ReceivingHalf<T>> receiver(std::move(halves.second));
        std::atomic<std::uint64_t> sent = 0;
        std::thread sending([&] {
            for (std::uint64_t n = 1, number = O::later;; ++n) {
                const auto text = patterned(n, 3'000);
                const auto done = sender->send(O::jot(n, text), patience);
                if (!done) return o.must_fail("the sending half", done);
                if (++sent % 8 == 0 && number < O::most) o.begin(*sender, number++, 300);
                auto fill = deadly_jot(o);
                if (deadly_build && n == 30) o.may_fail("build", sender->send(build<Jot>(5'000, fill), patience));
            }
        });
        receive(*receiver, [&](auto number) {
            if (number == o.at) o.see("gets what the other half sends", [&] { return sent > 30; });
            if (number == o.at) o.kill();
        });
        o.drain(*receiver);
        o.kill();
        sending.join();
        if (o.random.one_in(2)) sender.reset();
        receiver.reset();
    }

    static inline const Place all[] = {
        // Who it is has been asked, and nothing sent yet.
        {"policy",
         [](O& o) {
             const auto error = o.meet([&o](const Credentials&) { return o.kill(), true; });
             if (error != errc::disconnected) o.fail("connect gives: " + error.message());
         },
         false},
        {"policy_refuses",
         [](O& o) {
             const auto error = o.meet([&o](const Credentials&) { return o.kill(), false; });
             if (error != errc::wrong_service) o.fail("connect gives: " + error.message());
         },
         false},
        {"policy_next",  // another service stands up, and whoever waits for one comes to it
         [](O& o) {
             bool once = false;
             const auto first_dies = [&](const Credentials&) {
                 if (!std::exchange(once, true)) o.kill(), o.bear();
                 return true;
             };
             if (const auto error = o.meet(first_dies, true)) return o.fail("connect gives: " + error.message());
             if (o.client->service_credentials().pid != o.service()) o.fail("this is the wrong service");
             o.owe();
             o.kill();
         },
         false},

        // While a message is written where the service would read it, or in private memory for it.
        {"build_call",
         [](O& o) {
             auto fill = deadly(o);
             o.must_fail("call", o.inside([&] { return o.client->call(build<Fetch>(3'000, fill), patience); }));
         }},
        {"build_call_long",
         [](O& o) {
             auto fill = deadly(o);
             o.must_fail("call", o.inside([&] { return o.client->call(build<Fetch>(200'000, fill), patience); }));
         }},
        {"build_start",
         [](O& o) {
             auto fill = deadly(o);
             o.started(own, o.client->start(build<Fetch>(3'000, fill), patience, o.function(own)));
         }},
        {"build_token",
         [](O& o) {
             auto fill = deadly(o);
             auto pending = o.client->start(build<Fetch>(3'000, fill));
             o.may_fail("start", pending);
             wait(o, pending, own, false);
         }},
        {"build_one_way",
         [](O& o) {
             auto fill = deadly_jot(o);
             o.may_fail("send", o.client->send(build<Jot>(3'000, fill), patience));
         }},
        {"build_long",
         [](O& o) {
             auto fill = deadly_jot(o);
             o.may_fail("send", o.client->send(build<Jot>(200'000, fill), patience));
         }},
        {"build_long_at_once",
         [](O& o) {
             auto fill = deadly_jot(o);
             o.may_fail("send", o.client->send(build<Jot>(200'000, fill)));
         }},
        {"build_throws",
         [](O& o) {
             auto fill = [&o](Fetch&, std::span<char>) { kill_and_throw(o); };
             throws(o, [&] { return o.client->call(build<Fetch>(3'000, fill), patience); });
         }},

        // While an answer is looked at, with others behind it.
        {"view",
         [](O& o) {
             o.may_fail("call", o.inside([&] {
                 return o.client->call(Fetch{own, some_size(o), 1}, patience, [&o](const View<Fetch>& answer) {
                     look(o, *answer, {answer.tail().data(), answer.tail().size()});
                 });
             }));
         }},
        {"copy",
         [](O& o) {
             o.may_fail("call", o.inside([&] {
                 return o.client->call(Fetch{own, some_size(o), 1}, patience,
                                       [&o](const Fetch& answer, std::string_view text) { look(o, answer, text); });
             }));
         }},

        // In the function of a started call, with others behind it; whoever ran it.
        {"started_dispatch",
         [](O& o) {
             o.kill_in_function();
             o.dispatch();
         }},
        {"started_receive", [](O& o) { o.kill_in_function(); }},
        {"started_wait",
         [](O& o) {
             o.kill_in_function();
             auto pending = fetch(o, own, 800);
             o.see_answers(O::answered + 1);
             wait(o, pending, own, true);
         }},
        {"started_call",
         [](O& o) {
             o.kill_in_function();
             const auto answer = o.inside([&] { return o.client->call(Fetch{own, 800}, patience); });
             o.may_fail("call", answer);
             if (answer && !O::whole(**answer, answer->tail(), own)) o.fail("a broken answer");
         }},
        {"started_reacts", [](O& o) { o.in_function = reacting(o); }},
        {"started_throws",
         [](O& o) {
             o.in_function = throwing(o);
             throws(o, [&] { return o.client->receive(o.events(), patience); });
         }},
        {"started_disconnects",
         [](O& o) {
             o.certain = o.at, o.certain_ticks = 0;
             o.in_function = disconnecting(o);
         }},
        {"started_expires",  // its deadline comes, and it kills
         [](O& o) {
             o.expires = own;
             o.in_function = [&o](auto number) {
                 if (number == own) o.kill();
             };
             o.started(own, o.client->start(Fetch{own, never}, 1ms, o.function(own)));
         }},
        {"put_off",  // it was kept from running while a message waited for room
         [](O& o) {
             o.fill_up();
             o.must_fail("send", o.client->send(O::jot(1, O::long_text(1)), 20ms), errc::timed_out);
             o.kill_in_function();
         }},

        // In an event's function, with others behind it.
        {"event_receive", [](O& o) { o.kill_in_event(); }},
        {"event_dispatch",
         [](O& o) {
             o.kill_in_event();
             o.dispatch();
         }},
        {"event_loop", [](O& o) { o.kill_in_event(), o.loop(); }},
        {"event_reacts", [](O& o) { o.in_event = reacting(o); }},
        {"event_throws",
         [](O& o) {
             o.in_event = throwing(o);
             throws(o, [&] { return o.client->receive(o.events(), patience); });
         }},
        {"event_disconnects",
         [](O& o) {
             o.certain_ticks = o.at;
             o.in_event = disconnecting(o);
         }},

        // Between start() and wait().
        {"pending",
         [](O& o) {
             auto first = fetch(o, own, 2'000), second = fetch(o, own + 1, 3'000);
             auto third = fetch(o, own + 2, never), dropped = fetch(o, own + 3, never);
             o.see_answers(O::answered + 2);
             o.kill();
             wait(o, third, own + 2, false);
             wait(o, third, own + 2, false);
             wait(o, second, own + 1, true);
             wait(o, first, own, true);
             static std::optional<Pending<Fetch>> outlives;  // its client
             outlives.reset();
             if (third) outlives = std::move(*third);
         }},

        // Half of it has come.
        {"half_answer",
         [](O& o) {
             auto pending = fetch(o, own, 900'000);
             o.see_answers(O::answered + 1);
             o.kill();
             wait(o, pending, own, false);
         }},
        {"half_answer_function",
         [](O& o) {
             o.begin(*o.client, own, 900'000);
             o.see_answers(O::answered + 1);
             o.kill();
         }},
        {"half_answer_taken",
         [](O& o) {
             o.begin(*o.client, own, 900'000);
             o.see_answers(O::answered + 1);
             o.may_fail("dispatch", o.client->dispatch(o.events(), Budget{O::answered + 2}));
             o.kill();
         }},
        {"half_answer_in_call",
         [](O& o) {
             o.in_function = [&o](auto number) {
                 if (number != o.at) return;
                 o.see_answers(O::answered + 1);
                 o.kill();
             };
             o.must_fail("call", o.inside([&] { return o.client->call(Fetch{own, 900'000}, patience); }));
         }},
        {"half_event", [](O& o) { o.begin_event(), o.kill(); }},
        {"half_event_taken",
         [](O& o) {
             o.begin_event();
             o.may_fail("dispatch", o.client->dispatch(o.events(), Budget{O::events_owed + 2}));
             o.kill();
         }},

        // While it sleeps.
        {"call_waits",
         [](O& o) {
             o.asleep([&] {
                 o.must_fail("call", o.inside([&] { return o.client->call(Fetch{own, never}, patience); }));
             });
         }},
        {"wait_waits",
         [](O& o) {
             auto pending = fetch(o, own, never);
             o.asleep([&] { wait(o, pending, own, false); });
         }},
        {"receive_waits", [](O& o) { o.asleep([&] { o.drain(*o.client); }); }},
        {"loop_waits", [](O& o) { o.asleep([&] { o.loop(); }); }},
        {"room_call",
         [](O& o) {
             o.fill_up();
             o.asleep([&] {
                 const auto text = patterned(own, 200'000);
                 o.must_fail("call", o.inside([&] {
                     return o.client->call(with_tail(Fetch{own, 10}, text), patience);
                 }));
             });
         }},
        {"room_send",
         [](O& o) {
             o.fill_up();
             o.asleep([&] { o.may_fail("send", o.client->send(O::jot(1, O::long_text(1)), patience)); });
         }},
        {"room_start",
         [](O& o) {
             o.fill_up();
             o.asleep([&] { o.begin(*o.client, own, 10); });
         }},
        {"room_flush",
         [](O& o) {
             o.fill_up();
             o.asleep([&] { o.may_fail("flush", o.client->flush(patience)); });
         }},

        // At its own end.
        {"rest_kept", [](O& o) { o.fill_up(), o.kill(), o.certain = o.certain_ticks = 0; }, true, false},
        {"disconnect",
         [](O& o) {
             o.certain = o.certain_ticks = 0;
             o.in_function = [&o](auto) { o.kill(); };
             o.client->disconnect();
         }},
        {"destructor",
         [](O& o) {
             o.certain = o.certain_ticks = 0;
             o.in_function = [&o](auto) { o.kill(); };
         },
         true, false},

        // With two threads.
        {"split_event", [](O& o) { split(o, false, [&o](auto&, auto die) { o.in_event = die; }); }},
        {"split_started", [](O& o) { split(o, false, [&o](auto&, auto die) { o.in_function = die; }); }},
        {"split_build", [](O& o) { split(o, true, [](auto&, auto) {}); }},
        {"split_wait",
         [](O& o) {
             auto pending = fetch(o, own, never);
             if (!pending) return;
             split(o, true, [&](auto& receiver, auto) { o.must_fail("wait", receiver.wait(*pending, patience)); });
         }},
    };
};

}  // namespace qbipc::testing
