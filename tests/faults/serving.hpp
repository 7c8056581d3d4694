// SPDX-License-Identifier: BSL-1.0
// serving.hpp: a service in its own thread, from listen() to its destruction, which may suffer a fault anywhere in
// between.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <mutex>
#include <new>
#include <optional>
#include <poll.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <qbipc/client.hpp>
#include <qbipc/selector/routes.hpp>
#include <qbipc/service.hpp>

#include "conformance/messages.hpp"
#include "faults/report.hpp"
#include "faults/suffering.hpp"

namespace faults {

using namespace std::chrono_literals;
using namespace conformance;

/// A wait that takes this long has lost what it waited for.
inline constexpr auto patience = 10s;

inline std::string unique_name() {
    static std::atomic<int> count = 0;
    return "faults-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

/// Who drives the service: its own run(), or a loop that watches fd().
enum class Drive { run, dispatch };

/// Answers that are given later.
struct Kept {
    std::mutex mutex;
    std::vector<qbipc::Answer<Number>> answers;

    std::optional<qbipc::Answer<Number>> take() {
        const std::lock_guard lock(mutex);
        if (answers.empty()) return {};
        auto last = std::move(answers.back());
        answers.pop_back();
        return last;
    }
};

/// What the service's functions do. They allocate, as users' functions do, and may suffer for it.
inline auto selector(Kept& kept) {
    using qbipc::on;
    return qbipc::routes(qbipc::on_connect([](auto&) {}),
                         on<Double>([](const Double& m) { return Number{2 * m.value}; }),
                         on<Echo>([](const Echo& m, qbipc::TailView<std::byte> tail) {
                             return qbipc::Copy<Echoed>(Echoed{m.number}, tail);
                         }),
                         on<Note>([](const Note&) {}), on<Parcel>([](const Parcel&, qbipc::TailView<std::byte>) {}),
                         on<Greet>([](const qbipc::View<Greet>& name, qbipc::Answer<Greeting> answer) {
                             (void)answer.send(qbipc::with_tail(Greeting{}, name.tail()));
                         }),
                         on<Tell>([](auto& session, const Tell& m) {
                             const std::vector<std::byte> tail = patterned(m.count, 30'000);
                             for (std::uint64_t i = 0; i < m.count; ++i) {
                                 (void)session.send(Tick{i});
                                 (void)session.send(qbipc::with_tail(Chunk{i}, tail));
                             }
                         }),
                         on<Later>([&kept](const Later&, qbipc::Answer<Number> answer) {
                             const std::lock_guard lock(kept.mutex);
                             kept.answers.push_back(std::move(answer));
                         }));
}

template <class T>
class Serving {
public:
    using Service = qbipc::Service<T, decltype(selector(std::declval<Kept&>())), qbipc::SameUserOrRoot>;

    /// Returns once the service listens, or couldn't.
    Serving(qbipc::Address address, Drive drive, Suffering* at_birth, qbipc::ServiceOptions options = {})
        : address_(std::move(address)),
          drive_(drive),
          at_birth_(at_birth),
          options_(std::move(options)),
          thread_([this] { live(); }) {
        listening_.wait(false);
    }
    Serving(const Serving&) = delete;
    Serving& operator=(const Serving&) = delete;
    ~Serving() { stop(); }

    bool listens() const { return service_ != nullptr; }
    std::error_code refused() const { return refused_; }
    Service& service() { return *service_; }

    /// Runs `f(service)` in the service's thread, by its own post(), and gives what it gives; nothing where that takes
    /// too long.
    template <class F>
    auto ask(F f) {
        using R = std::invoke_result_t<F&, Service&>;
        auto promise = std::make_shared<std::promise<R>>();
        auto future = promise->get_future();
        const auto posted = service_->post([promise, f](Service& service) mutable { promise->set_value(f(service)); });
        if (!posted || future.wait_for(patience) != std::future_status::ready) return std::optional<R>();
        return std::optional<R>(future.get());
    }

    /// The service is destroyed in its thread, which ends.
    void stop() {
        if (!thread_.joinable()) return;
        over_ = true;
        if (listens()) service_->stopper()();
        thread_.join();
        service_ = nullptr;
    }

    /// The service's thread suffers from here on, to the end of the service. False: it can't be told so.
    bool suffer(Suffering& fault) {
        return ask([this, &fault](Service&) {
                   begin(fault);
                   return true;
               })
            .has_value();
    }
    /// After stop(): whether what it was to suffer happened.
    bool happened() const { return happened_; }

    Kept kept;

private:
    void begin(Suffering& fault) {
        suffering_ = &fault;
        fault.plan();
        fault.begin();
    }
    void live() {
        if (at_birth_ != nullptr) begin(*at_birth_);
        listen();
        if (suffering_ != nullptr) {
            suffering_->end();
            happened_ = suffering_->over();
        }
        tell();
    }
    void listen() {
        try {
            auto made = Service::listen(address_, selector(kept), {}, std::move(options_));
            if (made) {
                service_ = &*made;
                tell();
                serve(*made);
            } else {
                refused_ = made.error();
            }
        } catch (const std::bad_alloc&) {
            report.finding("bad_alloc left listen()");
        }
    }
    void tell() {
        listening_ = true;
        listening_.notify_all();
    }
    void serve(Service& service) {
        while (!over_) {
            try {
                if (drive_ == Drive::run) {
                    if (const auto ran = service.run(); !ran) report.finding("run(): " + ran.error().message());
                } else {
                    pollfd one{service.fd(), POLLIN, 0};
                    if (::poll(&one, 1, 1000) <= 0) continue;
                    if (const auto turn = service.dispatch(); !turn)
                        report.finding("dispatch(): " + turn.error().message());
                }
            } catch (const std::bad_alloc&) {
                report.finding(drive_ == Drive::run ? "bad_alloc left run()" : "bad_alloc left dispatch()");
            }
        }
    }

    qbipc::Address address_;
    Drive drive_;
    Suffering* at_birth_;
    qbipc::ServiceOptions options_;
    Service* service_ = nullptr;
    Suffering* suffering_ = nullptr;  ///< the service's thread alone
    bool happened_ = false;
    std::error_code refused_;
    std::atomic<bool> listening_ = false;
    std::atomic<bool> over_ = false;
    std::thread thread_;
};

}  // namespace faults
