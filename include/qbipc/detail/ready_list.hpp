// SPDX-License-Identifier: BSL-1.0
// detail/ready_list.hpp: the sessions that have something to do, each of which gets its fair share in turn.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include <qbipc/detail/connection.hpp>
#include <qbipc/detail/make_room.hpp>
#include <qbipc/transport.hpp>

namespace qbipc::detail {

/// First come, first served; who isn't done after his share goes to the end.
template <TransportPolicy T>
class ReadyList {
public:
    /// Frames of one session before the next has its turn. Over sockets one may cost as much as a whole call of others.
    static constexpr std::size_t fair_share = requires { requires T::looks_are_cheap; } ? 32 : 4;

    bool empty() const noexcept { return waiting_.empty(); }

    /// So many sessions in all: none of them ever lacks a place.
    void make_room(std::size_t sessions) {
        detail::make_room(waiting_, sessions);
        detail::make_room(serving_, sessions);
    }

    void add(Connection<T>& session) {
        if (session.ready) return;
        session.ready = true;
        waiting_.push_back(&session);
    }

    /// Not while serve() runs.
    void forget(Connection<T>& session) {
        if (session.ready) std::erase(waiting_, &session);
    }

    /// Calls `serve_one(session, share)`, which gives the number of frames taken, until all are served or `budget`
    /// frames are taken. Gives their number.
    template <class ServeOne>
    std::size_t serve(std::size_t budget, ServeOne&& serve_one) {
        std::size_t taken = 0;
        while (!waiting_.empty() && taken < budget) {
            serving_.swap(waiting_);
            std::size_t next = 0;
            const std::size_t before = taken;
            for (; next < serving_.size() && taken < budget; ++next) {
                Connection<T>& session = *serving_[next];
                session.ready = false;
                taken += serve_one(session, std::min(fair_share, budget - taken));
            }
            waiting_.insert(waiting_.begin(), serving_.begin() + static_cast<std::ptrdiff_t>(next), serving_.end());
            serving_.clear();
            if (taken == before) break;  // who is ready again without a frame waits for the next turn
        }
        return taken;
    }

private:
    std::vector<Connection<T>*> waiting_, serving_;
};

}  // namespace qbipc::detail
