// SPDX-License-Identifier: BSL-1.0
// service.hpp: a service: stands at an address, lets clients in, runs the selector for what they ask.
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <stop_token>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <qbipc/address.hpp>
#include <qbipc/auth.hpp>
#include <qbipc/detail/check_selector.hpp>
#include <qbipc/detail/checks.hpp>
#include <qbipc/detail/fork_guard.hpp>
#include <qbipc/detail/service_loop.hpp>
#include <qbipc/error.hpp>
#include <qbipc/options.hpp>
#include <qbipc/request.hpp>
#include <qbipc/selector.hpp>
#include <qbipc/session.hpp>
#include <qbipc/statistics.hpp>
#include <qbipc/transport.hpp>

namespace qbipc {

/// Stops a service's run(). Trivially copyable; calling it is one write(2), so a signal handler may.
/// Lifetime: the service's; afterwards it must not be called.
class Stopper {
public:
    void operator()() const noexcept {
        if (!guard_.forked()) (void)LinuxKernel::write(fd_, &detail::Door::stop, sizeof detail::Door::stop);
    }

private:
    template <TransportPolicy, class, class>
    friend class Service;
    Stopper(int fd, detail::ForkGuard guard) noexcept : fd_(fd), guard_(guard) {}
    int fd_;
    detail::ForkGuard guard_;  ///< in a child that inherited the handler it does nothing: the service is the parent's
};

namespace detail {

/// What a service's loop asks of it: the policy, the selector and the private data.
template <TransportPolicy T, class Selector, class Auth>
struct ServiceHooks {
    using Data = private_data_t<Selector>;
    struct Anchor : SessionAnchor<T> {
        explicit Anchor(Data made) : data(std::move(made)) {}
        Data data;
    };

    std::error_code check(const Credentials& who) const noexcept { return qbipc::check(auth, who); }

    Result<Data> accept(const Credentials& who) noexcept { return detail::accept(selector, who); }

    void bind(Connection<T>& connection, Data data) {
        auto anchor = std::make_shared<Anchor>(std::move(data));
        anchor->connection = &connection;
        connection.data = &anchor->data;
        connection.anchor = std::move(anchor);
    }

    void connected(Connection<T>& connection) noexcept {
        Session<T, Data> session(connection, loop->connections());
        detail::connected(selector, session);
    }

    void disconnected(Connection<T>& connection) noexcept {
        Session<T, Data> session(connection, loop->connections());
        detail::disconnected(selector, session);
    }

    void request(Connection<T>& connection, const ReceivedMessage& message) noexcept {
        Request<T> request(connection, message, scratch);
        try {
            Session<T, Data> session(connection, loop->connections());
            if (!unwrapped(selector)(session, request)) [[unlikely]]
                request.fail(make_error_code(errc::no_such_message));
            else if (request.is_call() && !request.settled()) [[unlikely]]
                request.fail(make_error_code(errc::unanswered));
        } catch (...) {
            request.fail(make_error_code(errc::handler_failed));
        }
    }

    /// A posted function that throws costs nobody but itself.
    template <class F>
    static void guarded(F&& f) noexcept {
        try {
            f();
        } catch (...) {
        }
    }

    Selector selector;
    Auth auth;
    ServiceLoop<T>* loop = nullptr;
    std::vector<std::byte> scratch{};
};

template <TransportPolicy T, class Selector, class Auth>
struct ServiceState {
    ServiceState(Selector&& selector, Auth&& auth, std::unique_ptr<ServiceLoop<T>> made, ForkGuard guard)
        : hooks{std::move(selector), std::move(auth), made.get()}, loop(std::move(made)), fork(guard) {}
    ~ServiceState() {
        if (!fork.forked()) loop->end_all(hooks);
    }
    ServiceState(const ServiceState&) = delete;
    ServiceState& operator=(const ServiceState&) = delete;

    ServiceHooks<T, Selector, Auth> hooks;
    std::unique_ptr<ServiceLoop<T>> loop;
    ForkGuard fork;
};

}  // namespace detail

/// The listening end at an address: `listen()` makes one and deduces the types.
///
/// One thread drives it, by run() or by watching fd() and calling dispatch(); everything it calls runs in that thread.
/// Other threads have post(), answers and stopper(). Its destruction ends all sessions, with their on_disconnect.
/// After a fork it is the parent's: in the child destruction closes descriptors, all else gives used_after_fork. A
/// child that is forked in a handler has to end there, by exec or _exit(): the message it was given isn't in its
/// memory. One that comes back from a policy or from what makes the private data finds that run() or dispatch() ends.
template <TransportPolicy T, class Selector, class Auth>
class Service {
public:
    using Transport = T;
    using PrivateData = private_data_t<Selector>;

    /// As the free function listen(), with the types named.
    [[nodiscard]] static Result<Service> listen(const Address& address, Selector selector, Auth auth,
                                                ServiceOptions options = {}) try {
        auto guard = detail::ForkGuard::here<KernelOf<T>>();
        if (!guard) return fail(guard.error());
        auto listener = T::listen(address, options);
        if (!listener) return fail(listener.error());
        auto loop = detail::ServiceLoop<T>::make(std::move(*listener), std::move(options), *guard);
        if (!loop) return fail(loop.error());
        return Service(std::make_unique<State>(std::move(selector), std::move(auth), std::move(*loop), *guard));
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }

    Service(Service&&) noexcept = default;
    Service& operator=(Service&&) noexcept = default;

    /// The one descriptor: readable, level-triggered, whenever dispatch() has something to do. The same for life.
    int fd() const noexcept { return state_->loop->fd(); }

    /// Does what is to be done now, at most `budget`, and gives the number of frames taken: one for each request, or
    /// one for each piece of a large one. What is left over makes fd() readable at once. Blocking: never, but for 8 ms
    /// at most where the kernel has no memory to wake a client. Errors: would_recurse (from inside a handler),
    /// used_after_fork.
    [[nodiscard]] Result<std::size_t> dispatch(Budget budget = {}) {
        if (auto error = usable()) return fail(error);
        const std::size_t taken = state_->loop->dispatch(state_->hooks, budget);
        if (state_->fork.forked()) return fail(make_error_code(errc::used_after_fork));  // in there, and it came back
        return taken;
    }

    /// Serves until `stop` is requested or stopper() was called. Waits as the transport's wait strategy says.
    /// Errors: would_recurse, used_after_fork.
    [[nodiscard]] Result<void> run(std::stop_token stop = {}) {
        if (auto error = usable()) return fail(error);
        state_->loop->run(state_->hooks, stop);
        if (state_->fork.forked()) return fail(make_error_code(errc::used_after_fork));  // likewise
        return {};
    }

    /// Stops run() from anywhere, a signal handler included. The stop is kept for the next run() if none is running.
    Stopper stopper() const noexcept { return Stopper(state_->loop->door()->fd(), state_->fork); }

    /// The door for other threads: `f(service)` runs in the dispatch thread, in the order of posting. `f` must not
    /// throw; what it throws is lost. Errors: disconnected (the service is being destroyed); not_enough_memory.
    /// Threads: any.
    template <class F>
    [[nodiscard]] Result<void> post(F&& f) try {
        if (state_->fork.forked()) return fail(make_error_code(errc::used_after_fork));
        auto call = [state = state_.get(), f = std::forward<F>(f)]() mutable {
            Reference service(state);
            state->hooks.guarded([&] { f(*service); });
        };
        if (!state_->loop->door()->post(std::move(call))) return fail(make_error_code(errc::disconnected));
        return {};
    } catch (const std::bad_alloc&) {
        return detail::no_memory();
    }

    /// The same place once more, for another service in another thread: `listen<T>(*first.share(), selector)`. Each new
    /// connection goes to whichever of them takes it first, and stays there; limits and statistics are each one's own.
    /// It is the socket that clients come to now: where the flag file changes later, they come to the first service
    /// alone. The address holds a descriptor, to be closed by the service that listens there. Errors: not_supported (a
    /// transport without sockets); what the kernel said. Threads: as dispatch().
    [[nodiscard]] Result<Address> share() const {
        if constexpr (requires { state_->loop->listener().share(); }) {
            if (state_->fork.forked()) return fail(errc::used_after_fork);
            auto socket = state_->loop->listener().share();
            if (!socket) return fail(socket.error());
            return Address::listening_descriptor(socket->release());
        } else {
            return fail(errc::not_supported);
        }
    }

    /// All open sessions. Dispatch thread.
    auto sessions() const noexcept { return detail::SessionRange<T, PrivateData>(state_->loop->connections(), 0); }

    /// Counters since listen(), or since clear_statistics(). Dispatch thread.
    ServiceStatistics statistics() const { return state_->loop->statistics(); }
    void clear_statistics() { state_->loop->clear_statistics(); }

private:
    using State = detail::ServiceState<T, Selector, Auth>;

    /// A Service for the length of a call, of a state that another one owns: the owner may have moved.
    class Reference {
    public:
        explicit Reference(State* state) noexcept : service_(std::unique_ptr<State>(state)) {}
        Reference(const Reference&) = delete;
        Reference& operator=(const Reference&) = delete;
        ~Reference() { (void)service_.state_.release(); }
        Service& operator*() noexcept { return service_; }

    private:
        Service service_;
    };

    explicit Service(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}

    std::error_code usable() const noexcept {
        if (state_->fork.forked()) return make_error_code(errc::used_after_fork);
        if (state_->loop->dispatching()) return make_error_code(errc::would_recurse);
        return {};
    }

    std::unique_ptr<State> state_;
};

/// Listens at `address` with a selector: `listen<ShmRing>("name", routes(...))`. Who may connect is decided by `auth`;
/// unless said otherwise, root and the service's own user.
/// Errors: address_in_use, bad_name, name_too_long, no_runtime_directory, not_supported, or what the kernel said.
template <TransportPolicy T, class Selector, class Auth = SameUserOrRoot>
[[nodiscard]] auto listen(const Address& address, Selector selector, Auth auth = {}, ServiceOptions options = {}) {
    if constexpr (!detail::check_policy<Auth, T>()) {
        return Result<detail::NoService>{};
    } else if constexpr (!detail::check_selector<T, Selector>()) {
        return Result<detail::NoService>{};
    } else {
        return Service<T, Selector, Auth>::listen(address, std::move(selector), std::move(auth), std::move(options));
    }
}

}  // namespace qbipc
