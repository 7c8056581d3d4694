// SPDX-License-Identifier: BSL-1.0
// detail/hot_set.hpp: the sessions that had traffic lately: they aren't armed, but looked at while the service spins.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include <qbipc/detail/connection.hpp>
#include <qbipc/detail/stream_rest.hpp>
#include <qbipc/time.hpp>
#include <qbipc/transport.hpp>
#include <qbipc/wait.hpp>

namespace qbipc::detail {

/// How a service waits: as the transport says where a look at a lane costs no system call (`T::looks_are_cheap`);
/// others sleep.
template <class T>
struct ServiceWait {
    using type = Block;
};
template <class T>
    requires requires { requires T::looks_are_cheap; }
struct ServiceWait<T> {
    using type = typename T::Wait;
};

/// At most 16 sessions: looking at a few costs nothing beside one, at hundreds it costs microseconds. All others ring.
template <TransportPolicy T>
class HotSet {
public:
    using Wait = typename ServiceWait<T>::type;

    /// How long everybody else may go unnoticed while some sessions keep the service busy, handlers apart: the clock is
    /// read every few requests. Over sockets that is all the others, and a round trip of theirs takes 30 us.
    static constexpr Clock::duration look_interval =
        std::chrono::microseconds(requires { requires T::looks_are_cheap; } ? 50 : 10);

    HotSet() { sessions_.reserve(most); }

    bool empty() const noexcept { return sessions_.empty(); }
    bool full() const noexcept { return sessions_.size() >= most; }

    /// A session has nothing more right now. True: it is looked at from here. False: it is to be armed.
    bool keep(Connection<T>& session) {
        if constexpr (std::is_same_v<Wait, Block>) return false;
        const bool waits_for_requests_alone = session.interest() == Interest{Lane::requests, {}};
        if (session.hot) {
            if (waits_for_requests_alone) return true;
            forget(session);  // what it waits for can't be seen in its lane
            return false;
        }
        if (!session.busy_lately || full() || !waits_for_requests_alone) return false;
        session.hot = true;
        sessions_.push_back(&session);
        return true;
    }

    /// What a session's turn brought: so many messages, whether one of them was a call, and whether they were all.
    void took(std::size_t messages, bool calls, bool all) noexcept {
        if (calls) [[likely]]
            return stream_.answered();
        stream_.took(messages);
        if (all) stream_.emptied();
    }

    void forget(Connection<T>& session) {
        if (std::exchange(session.hot, false)) std::erase(sessions_, &session);
    }

    /// Waits as the wait strategy says, until a session has something, or has ended: that session, each in its turn.
    /// Null: it is time to sleep, or to look at everybody else.
    Connection<T>* spin() {
        if (sessions_.empty()) return nullptr;
        if (may_rest<T> && stream_.due() && sessions_.size() == 1) stream_.rest();  // or it would keep others waiting
        TimeLimit limit = Wait::sleeps ? TimeLimit(forever) : TimeLimit(look_interval);
        Connection<T>* found = nullptr;
        probes_ = 0;
        wait_.spin([&] { return ++probes_, (found = next()) != nullptr; }, limit);
        return found;
    }

    /// Whether the last spin() took long enough to look at the clock, too.
    bool took_long() const noexcept { return probes_ > probes_per_look; }

    /// Gives all that have something, or have ended, to `ready`, without waiting.
    template <class Ready>
    void glance(Ready&& ready) {
        for (Connection<T>* session : sessions_)
            if (has_something(*session)) ready(*session);
    }

    void slept(Clock::duration time) { wait_.slept(time); }

    /// Arms all of them behind one fence, or those that were quiet since the last time; gives those that have something
    /// already to `ready`.
    template <class Ready>
    void cool(bool all, Ready&& ready) {
        const auto quiet = std::partition(sessions_.begin(), sessions_.end(), [all](Connection<T>* session) {
            return !all && std::exchange(session->busy_lately, false);
        });
        if (quiet == sessions_.end()) return;
        for (auto at = quiet; at != sessions_.end(); ++at) {
            (*at)->hot = (*at)->busy_lately = false;
            (*at)->end.arm((*at)->interest());
        }
        T::ServiceEnd::fence();
        for (auto at = quiet; at != sessions_.end(); ++at)
            if ((*at)->end.look((*at)->interest())) ready(**at);
        sessions_.erase(quiet, sessions_.end());
    }

private:
    static constexpr std::size_t most = 16;

    static bool has_something(Connection<T>& session) { return session.end.look(Interest{Lane::requests, {}}); }
    Connection<T>* next() {
        for (std::size_t i = 0; i < sessions_.size(); ++i) {
            if (++last_ >= sessions_.size()) last_ = 0;
            if (has_something(*sessions_[last_])) return sessions_[last_];
        }
        return nullptr;
    }

    Wait wait_;
    StreamRest stream_;
    int probes_ = 0;        ///< of the last spin()
    std::size_t last_ = 0;  ///< whose turn it was
    std::vector<Connection<T>*> sessions_;
};

}  // namespace qbipc::detail
