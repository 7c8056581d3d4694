// SPDX-License-Identifier: BSL-1.0
// life.hpp: a whole life of a service and of its clients, put through one fault: what must stand whatever fails.
//
// The rules: what was called gives a value, which is right, or an error that the fault explains; never timed_out, for
// then something was lost. A function is run once or never. The neighbour, another client, doesn't notice. Afterwards
// nothing is held.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <poll.h>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <qbipc/client.hpp>

#include "conformance/messages.hpp"
#include "faults/report.hpp"
#include "faults/serving.hpp"
#include "faults/suffering.hpp"
#include "support/footprint.hpp"

namespace faults {

template <class T>
class Life {
public:
    using Client = qbipc::Client<T>;

    Life(Suffering& fault, Sufferer sufferer, Drive drive, qbipc::Address address, qbipc::ServiceOptions options = {})
        : fault_(fault),
          sufferer_(sufferer),
          drive_(drive),
          address_(std::move(address)),
          options_(std::move(options)),
          flag_file_(options_.flag_file),
          pages_(options_.pages) {}

    /// Lives it. True: the fault happened; false: it would come later than this life is long.
    bool live() {
        const auto before = qbipc::testing::Footprint::now();
        const bool happened = between();
        const auto after = qbipc::testing::Footprint::now();
        if (after != before) report.finding("afterwards " + after.text() + ", before " + before.text());
        if (!happened && errors_ != 0) report.finding("without a fault: " + error_texts_);
        return happened;
    }

private:
    bool between() {
        Serving<T> serving(address_, drive_, sufferer_ == Sufferer::listening ? &fault_ : nullptr, options_);
        if (!serving.listens()) {
            serving.stop();
            if (!serving.happened() || !fault_.explains(serving.refused()))
                report.finding("listen(): " + serving.refused().message());
            return true;
        }
        bool happened = false;
        {
            std::optional<Client> neighbour = connect_neighbour();
            if (!neighbour) return true;
            if (sufferer_ == Sufferer::serving && !serving.suffer(fault_)) {
                report.finding("the service doesn't run what was posted");
                return true;
            }
            if (sufferer_ == Sufferer::client) fault_.plan();
            script(serving);
            check(*neighbour);
            if (sufferer_ == Sufferer::client) happened = fault_.over();
            while (serving.kept.take()) continue;
        }
        serving.stop();
        return happened || serving.happened();
    }

    // ---- the neighbour

    std::optional<Client> connect_neighbour() {
        for (int attempt = 0;; ++attempt) {
            auto client = Client::connect(address_, patience, qbipc::same_user_or_root, small_lanes());
            auto error = client ? std::error_code() : client.error();
            if (client) {
                const auto answer = client->call(Double{1}, patience);
                if (answer) return std::move(*client);
                error = answer.error();
            }
            // A service that suffers from birth on may fail its first client.
            if (sufferer_ == Sufferer::listening && attempt < 4 && fault_.explains(error)) continue;
            report.finding("the neighbour can't connect: " + error.message());
            return {};
        }
    }
    void check(Client& neighbour) {
        const auto answer = neighbour.call(Double{21}, patience);
        // From birth on it may be the neighbour's own session that the fault has ended; then others get in.
        if (!answer && sufferer_ == Sufferer::listening && fault_.explains(answer.error()))
            (void)connect_neighbour();
        else if (!answer)
            report.finding("the neighbour isn't served: " + answer.error().message());
        else if (answer->value != 42)
            report.finding("the neighbour got a wrong answer");
    }

    // ---- what the suffering client does

    /// A client finds the service by the flag that the service was given, and wishes for its kind of pages.
    qbipc::Options as_told() const {
        qbipc::Options options;
        options.flag_file = flag_file_;
        options.pages = pages_;
        return options;
    }
    qbipc::Options small_lanes() const {
        qbipc::Options options = as_told();
        options.lane_size = std::size_t{64} << 10;
        return options;
    }

    /// Does one thing; its error is noted.
    template <class F>
    auto attempt(const char* what, F&& f) -> decltype(f()) {
        try {
            auto result = within(std::forward<F>(f));
            if (!result) note(what, result.error());
            return result;
        } catch (const std::bad_alloc&) {
            report.finding(std::string("bad_alloc left ") + what);
            return qbipc::fail(qbipc::errc::disconnected);
        }
    }
    template <class F>
    auto within(F&& f) -> decltype(f()) {
        if (sufferer_ != Sufferer::client) return f();
        const Within here(fault_);
        return f();
    }
    void note(const char* what, std::error_code error) {
        // Each later one may only follow from the first; how they follow tells what happened.
        if (errors_++ < 8) error_texts_ += (errors_ > 1 ? "; " : "") + std::string(what) + ": " + error.message();
        if (!fault_.explains(error)) report.finding(std::string(what) + ": " + error.message());
    }
    static void must(bool truth, const char* what) {
        if (!truth) report.finding(what);
    }

    /// The arguments are the caller's own, and so is the memory for them.
    qbipc::Result<Client> connect(const char* what, qbipc::Options options) {
        return attempt(
            what, [&] { return Client::connect(address_, patience, qbipc::same_user_or_root, std::move(options)); });
    }

    void script(Serving<T>& serving) {
        {
            auto client = connect("connect()", as_told());
            if (client) {
                calls(*client);
                events(*client);
                started(*client, serving);  // and disconnects
                within([&] { client->disconnect(); });
            }
            attempt("post()", [&] { return serving.service().post([](auto& service) { (void)service.fd(); }); });
            within([&, gone = std::move(client)]() mutable { gone = qbipc::fail(qbipc::errc::disconnected); });
        }
        auto small = connect("connect(), small lanes", small_lanes());
        if (!small) return;
        crowded(*small);
        halves(std::move(*small));
    }

    void calls(Client& client) {
        static const auto few = patterned(1, 1'000), many = patterned(2, 300'000);
        if (auto sum = attempt("call()", [&] { return client.call(Double{2}, patience); }))
            must(sum->value == 4, "call(): a wrong answer");
        for (const auto* tail : {&few, &many}) {
            auto echo =
                attempt("call() with a tail", [&] { return client.call(qbipc::with_tail(Echo{7}, *tail), patience); });
            if (echo) must(echo->tail().size() == tail->size(), "call() with a tail: a wrong answer");
        }
        const auto fill = [](Echo& message, std::span<std::byte> tail) {
            message.number = 3;
            std::fill(tail.begin(), tail.end(), std::byte{3});
        };
        for (const std::size_t size : {std::size_t{100}, std::size_t{900'000}})
            attempt("call() of what is built", [&] {
                return client.call(qbipc::build<Echo>(size, fill), patience, [](const qbipc::View<Echoed>&) {});
            });
        attempt("send()", [&] { return client.send(Note{1}); });
        attempt("send() that waits", [&] { return client.send(qbipc::with_tail(Parcel{1}, many), patience); });
        attempt("flush()", [&] { return client.flush(patience); });
    }

    void started(Client& client, Serving<T>& serving) {
        static const auto tail = patterned(3, 200'000);
        if (auto token = attempt("start()", [&] { return client.start(Double{4}); }))
            if (auto sum = attempt("wait()", [&] { return client.wait(*token, patience); }))
                must(sum->value == 8, "wait(): a wrong answer");
        // start() doesn't wait for the room that what was sent before may still take.
        const auto start_long = [&] {
            auto made = client.start(qbipc::with_tail(Echo{5}, tail));
            for (int i = 0; i < 1000 && !made && made.error() == qbipc::errc::lane_full; ++i) {
                (void)client.call(Double{1}, patience);  // takes the answers that stand in the service's way
                made = client.start(qbipc::with_tail(Echo{5}, tail));
            }
            return made;
        };
        if (auto token = attempt("start() of a long one", start_long))
            if (auto echo = attempt("wait() for a long one", [&] { return client.wait(*token, patience); }))
                must(echo->tail().size() == tail.size(), "wait(): a wrong answer");

        int ran = 0, expected = 0;
        const std::string long_capture(100, 'c');
        for (int i = 0; i < 3; ++i) {
            const auto then = [&, long_capture](qbipc::Result<qbipc::Copy<Echoed>> answer) {
                ++ran;
                if (!answer) note("a function's answer", answer.error());
            };
            if (attempt("start() with a function",
                        [&] { return client.start(qbipc::with_tail(Echo{6}, tail), patience, then); }))
                ++expected;
        }
        // A message in between, during which their answers come: they wait until it is out.
        attempt("send() in between", [&] { return client.send(qbipc::with_tail(Parcel{2}, tail), patience); });
        attempt("call() in between", [&] { return client.call(Double{1}, patience); });
        for (const auto end = std::chrono::steady_clock::now() + patience; ran < expected && client.alive();) {
            (void)attempt_quietly([&] { return client.call(Double{1}, patience); });
            if (std::chrono::steady_clock::now() > end) break;
        }

        deferred(client, serving);
        if (client.alive()) must(ran == expected, "a function of start() didn't run, or twice");
        within([&] { client.disconnect(); });
        must(ran == expected, "a function of start() didn't run at the end, or twice");
    }

    /// Errors that the connection has already are repeated by each call.
    template <class F>
    auto attempt_quietly(F&& f) -> decltype(f()) {
        try {
            return within(std::forward<F>(f));
        } catch (const std::bad_alloc&) {
            report.finding("bad_alloc left a function");
            return qbipc::fail(qbipc::errc::disconnected);
        }
    }

    /// Answers that come later, from the service's thread and from this one.
    void deferred(Client& client, Serving<T>& serving) {
        for (const bool from_here : {true, false}) {
            auto token = attempt("start() of a deferred one", [&] { return client.start(Later{1}); });
            if (!token) continue;
            // The service has taken it once it answers what came behind it; and it may be that call which fails.
            for (int i = 0; i < 100 && client.alive(); ++i)
                if (attempt("call() behind it", [&] { return client.call(Double{1}, patience); })) break;
            if (from_here) {
                if (auto answer = serving.kept.take())
                    attempt("Answer::send()", [&] { return answer->send(Number{9}); });
            } else {
                attempt("post()", [&] {
                    return serving.service().post([&serving](auto&) {
                        if (auto answer = serving.kept.take()) (void)answer->send(Number{9});
                    });
                });
            }
            // Where the handler failed there is an error; where post() did, nobody answers.
            if (!from_here)
                if (auto answer = serving.kept.take()) (void)answer->send(Number{9});
            if (auto number = attempt("wait() for a deferred one", [&] { return client.wait(*token, patience); }))
                must(number->value == 9, "a deferred answer is wrong");
        }
        static const auto name = std::vector<char>(150'000, 'n');
        attempt("call() answered at once by Answer",
                [&] { return client.call(qbipc::with_tail(Greet{}, name), patience); });
    }

    void events(Client& client) {
        if (!client.alive()) return;
        auto selector =
            qbipc::routes(qbipc::on<Tick>([&](const Tick& tick) { must(tick.number < 3, "a wrong event"); }),
                          qbipc::on<Chunk>([&](const Chunk&, qbipc::TailView<std::byte> tail) {
                              must(tail.size() == 30'000, "an event came in part");
                          }));
        attempt("send() for events", [&] { return client.send(Tell{3}); });
        attempt("call() behind events", [&] { return client.call(Double{1}, patience); });
        attempt("receive()", [&] {
            auto got = client.receive(selector, 200ms);
            // Where the service couldn't send them, none come.
            return !got && got.error() == qbipc::errc::timed_out ? qbipc::Result<std::size_t>(0) : got;
        });
        const int fd = within([&] { return client.fd(); });
        if (fd < 0) note("fd()", {errno, std::system_category()});
        attempt("send() for events", [&] { return client.send(Tell{2}); });
        attempt("call() behind events", [&] { return client.call(Double{1}, patience); });
        if (fd >= 0 && client.alive()) {
            pollfd one{fd, POLLIN, 0};
            if (::poll(&one, 1, 200) > 0) attempt("dispatch()", [&] { return client.dispatch(selector); });
        }
    }

    /// More answers than the lane holds: they wait at the service.
    void crowded(Client& client) {
        static const auto tail = patterned(4, 15'000);
        std::vector<qbipc::Pending<Echo>> tokens;
        for (int i = 0; i < 12; ++i)
            if (auto token = client.start(qbipc::with_tail(Echo{1}, tail))) tokens.push_back(std::move(*token));
        for (auto& token : tokens)
            if (auto echo = attempt("wait() in a crowd", [&] { return client.wait(token, patience); }))
                must(echo->tail().size() == tail.size(), "wait() in a crowd: a wrong answer");
        attempt("send() in a crowd", [&] { return client.send(Note{1}, patience); });
    }

    void halves(Client client) {
        std::optional<std::pair<qbipc::SendingHalf<T>, qbipc::ReceivingHalf<T>>> both;
        try {
            within([&] { both.emplace(std::move(client).split()); });
        } catch (const std::bad_alloc&) {
            return report.finding("bad_alloc left split()");
        }
        auto& [sending, receiving] = *both;
        static const auto tail = patterned(5, 40'000);
        int ran = 0, expected = 0;
        // As in started(): what was sent last may not have been taken yet.
        const auto start_long = [&] {
            auto made = sending.start(qbipc::with_tail(Echo{1}, tail));
            const auto end = std::chrono::steady_clock::now() + patience;
            while (!made && made.error() == qbipc::errc::lane_full && std::chrono::steady_clock::now() < end) {
                std::this_thread::sleep_for(1ms);
                made = sending.start(qbipc::with_tail(Echo{1}, tail));
            }
            return made;
        };
        if (auto token = attempt("start() of a half", start_long))
            attempt("wait() of a half", [&] { return receiving.wait(*token, patience); });
        const auto then = [&](qbipc::Result<Number> answer) {
            ++ran;
            if (!answer) note("a half's function's answer", answer.error());
        };
        if (attempt("start() of a half with a function", [&] { return sending.start(Double{1}, patience, then); }))
            ++expected;
        attempt("send() of a half", [&] { return sending.send(Tell{1}); });
        const auto any = [](auto&, auto&) { return true; };
        attempt("receive() of a half", [&] {
            auto got = receiving.receive(any, 200ms);
            const auto nothing_came = [&] { return !got && got.error() == qbipc::errc::timed_out; };
            // Where the service couldn't send the event, none comes; the answer does, in its own time.
            const auto end = std::chrono::steady_clock::now() + patience;
            while (ran < expected && (got || nothing_came()) && std::chrono::steady_clock::now() < end)
                got = receiving.receive(any, 200ms);
            return nothing_came() ? qbipc::Result<std::size_t>(0) : got;
        });
        attempt("flush() of a half", [&] { return sending.flush(patience); });
        within([&] { both.reset(); });
        must(ran == expected, "a half's function didn't run, or twice");
    }

    Suffering& fault_;
    Sufferer sufferer_;
    Drive drive_;
    qbipc::Address address_;
    qbipc::ServiceOptions options_;
    std::string flag_file_;
    qbipc::Pages pages_;
    std::uint64_t errors_ = 0;
    std::string error_texts_;
};

}  // namespace faults
