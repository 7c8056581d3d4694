// SPDX-License-Identifier: BSL-1.0
// running.hpp: services for tests: in a thread of their own, or taken turn by turn by the test itself.
//
// Whatever a handler shares with the test is atomic or behind a mutex: what orders the two is the transport, which a
// thread sanitizer doesn't see. Assertions are made in the test's thread alone.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <poll.h>
#include <string>
#include <thread>
#include <type_traits>
#include <unistd.h>
#include <utility>
#include <vector>

#include <qbipc/auth/compose.hpp>
#include <qbipc/auth/policy.hpp>
#include <qbipc/auth/users.hpp>
#include <qbipc/client.hpp>
#include <qbipc/selector.hpp>
#include <qbipc/service.hpp>

#include "support/catch.hpp"
#include "support/patience.hpp"

namespace conformance {

using namespace std::chrono_literals;
using qbipc::errc;

/// A wait that takes this long has failed; none of them comes near it.
inline constexpr auto patience = qbipc::testing::patience_of(20s);
/// A wait that is meant to end in vain.
inline constexpr auto shortly = 20ms;

inline std::string unique_name() {
    static std::atomic<int> count = 0;
    return "conformance-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

/// Whether it took about as long as a client's end waits for what is still to be sent, a second: then, on a machine
/// that stood still meanwhile, that may be lost.
template <class F>
bool takes_a_second(F&& f) {
    const auto start = std::chrono::steady_clock::now();
    f();
    return std::chrono::steady_clock::now() - start > 900ms;
}

/// How often something is repeated: QBIPC_TEST_SCALE times as often as usual.
inline std::uint64_t times(std::uint64_t usual) {
    static const char* const scale = std::getenv("QBIPC_TEST_SCALE");
    return scale != nullptr ? usual * std::strtoull(scale, nullptr, 10) : usual;
}

/// The value of a Result, in the test's thread.
template <class T>
T must(qbipc::Result<T> result) {
    if (!result) FAIL(result.error().message());
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}

/// The error of a Result; none where there is a value.
template <class T>
std::error_code why(const qbipc::Result<T>& result) {
    return result ? std::error_code() : result.error();
}

inline bool readable(int fd, std::chrono::milliseconds limit = 0ms) {
    pollfd one{fd, POLLIN, 0};
    return ::poll(&one, 1, static_cast<int>(limit.count())) > 0;
}

/// Repeats until it is true; false where that takes too long. For what no descriptor announces.
template <class F>
bool eventually(F&& f) {
    for (const auto end = std::chrono::steady_clock::now() + patience; !f();) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

/// What a handler waits for. Opens by itself when the test ends, whatever way.
class Gate {
public:
    void open() {
        open_.store(true);
        open_.notify_all();
    }
    void wait() { open_.wait(false); }

    struct OpenAtEnd {
        Gate& gate;
        ~OpenAtEnd() { gate.open(); }
    };
    [[nodiscard]] OpenAtEnd open_at_end() { return {*this}; }

private:
    std::atomic<bool> open_ = false;
};

/// A list that handlers write and the test reads.
template <class T>
class Log {
public:
    void add(T item) {
        const std::lock_guard lock(mutex_);
        items_.push_back(std::move(item));
    }
    std::vector<T> all() const {
        const std::lock_guard lock(mutex_);
        return items_;
    }
    std::size_t size() const {
        const std::lock_guard lock(mutex_);
        return items_.size();
    }
    /// All, once there are so many; what there is where that takes too long.
    std::vector<T> wait_for(std::size_t count) const {
        eventually([&] { return size() >= count; });
        return all();
    }

private:
    mutable std::mutex mutex_;
    std::vector<T> items_;
};

/// A service in its own thread, until the end of the scope.
template <class T, class Selector, class Auth = qbipc::SameUserOrRoot>
class Running {
public:
    using Service = qbipc::Service<T, Selector, Auth>;

    explicit Running(Selector selector, Auth auth = {}, qbipc::ServiceOptions options = {})
        : service_(must(qbipc::listen<T>(name, std::move(selector), std::move(auth), std::move(options)))),
          thread_([this](std::stop_token stop) { (void)service_.run(stop); }) {}
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

    /// Runs `f(service)` in the service's thread and gives what it gives.
    template <class F>
    auto ask(F f) {
        using R = std::invoke_result_t<F&, Service&>;
        std::promise<R> promise;
        auto future = promise.get_future();
        const auto posted = service_.post([&](auto& service) {
            if constexpr (std::is_void_v<R>) {
                f(service);
                promise.set_value();
            } else {
                promise.set_value(f(service));
            }
        });
        if (!posted || future.wait_for(patience) != std::future_status::ready) {
            // The function still refers to this frame.
            std::fputs("the service doesn't run what was posted\n", stderr);
            std::abort();
        }
        return future.get();
    }
    template <class F>
    auto post(F&& f) {
        return service_.post(std::forward<F>(f));
    }
    std::size_t count_sessions() {
        return ask([](auto& service) {
            std::size_t count = 0;
            for ([[maybe_unused]] auto& session : service.sessions()) ++count;
            return count;
        });
    }
    auto statistics() {
        return ask([](auto& service) { return service.statistics(); });
    }

    const std::string name = unique_name();

private:
    Service service_;
    std::jthread thread_;
};

template <class T, class Selector, class Auth = qbipc::SameUserOrRoot>
auto run(Selector selector, Auth auth = {}, qbipc::ServiceOptions options = {}) {
    return Running<T, Selector, Auth>(std::move(selector), std::move(auth), std::move(options));
}

template <class T>
qbipc::Client<T> connect(const std::string& name, qbipc::Options options = {}) {
    return must(qbipc::Client<T>::connect(name, patience, qbipc::same_user_or_root, std::move(options)));
}

/// Wishes for the smallest lanes: full soon.
inline qbipc::Options small_lanes() {
    qbipc::Options options;
    options.lane_size = std::size_t{64} << 10;
    return options;
}

/// A service that does nothing but when the test gives it a turn: what is in the lanes is then known.
template <class T, class Selector, class Auth = qbipc::SameUserOrRoot>
class Stepped {
public:
    explicit Stepped(Selector selector, Auth auth = {}, qbipc::ServiceOptions options = {})
        : service(must(qbipc::listen<T>(name, std::move(selector), std::move(auth), std::move(options)))) {}

    /// Turns until nothing is left to do.
    void settle() {
        while (readable(service.fd())) REQUIRE(service.dispatch());
    }
    /// Turns until the condition holds; false where that takes too long.
    template <class F>
    bool turn_until(F&& done) {
        for (const auto end = std::chrono::steady_clock::now() + patience; !done();) {
            if (std::chrono::steady_clock::now() > end) return false;
            if (readable(service.fd(), 1ms)) REQUIRE(service.dispatch());
        }
        return true;
    }
    /// Runs `f` in another thread, which waits for the service, and turns meanwhile.
    template <class F>
    auto while_turning(F f) {
        auto result = std::async(std::launch::async, std::move(f));
        REQUIRE(turn_until([&] { return result.wait_for(0s) == std::future_status::ready; }));
        return result.get();
    }
    /// A client whose session is open.
    qbipc::Client<T> connect(qbipc::Options options = {}) {
        const auto before = service.statistics().accepted;
        auto client = must(while_turning(
            [&] { return qbipc::Client<T>::connect(name, patience, qbipc::same_user_or_root, options); }));
        REQUIRE(turn_until([&] { return service.statistics().accepted == before + 1; }));
        return client;
    }

    const std::string name = unique_name();
    qbipc::Service<T, Selector, Auth> service;
};

template <class T, class Selector, class Auth = qbipc::SameUserOrRoot>
auto step(Selector selector, Auth auth = {}, qbipc::ServiceOptions options = {}) {
    return Stepped<T, Selector, Auth>(std::move(selector), std::move(auth), std::move(options));
}

/// One that the test ends when it likes.
template <class T, class Selector>
auto step_owned(Selector selector) {
    return std::make_unique<Stepped<T, Selector>>(std::move(selector));
}

/// A selector for clients that want no events.
inline auto no_events() {
    return [](auto&, auto&) { return true; };
}

}  // namespace conformance
