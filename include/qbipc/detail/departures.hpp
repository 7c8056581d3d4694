// SPDX-License-Identifier: BSL-1.0
// detail/departures.hpp: the sessions of a service that have ended, from then until they are gone.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include <qbipc/detail/connection.hpp>
#include <qbipc/detail/make_room.hpp>
#include <qbipc/transport.hpp>

namespace qbipc::detail {

/// Who ends is seen off at the end of a turn, when nobody refers to him any more. Dispatch thread only.
template <TransportPolicy T>
class Departures {
public:
    bool empty() const noexcept { return ending_.empty(); }

    /// So many sessions in all: none of them ever lacks a place.
    void make_room(std::size_t sessions) {
        detail::make_room(ending_, sessions);
        detail::make_room(reaping_, sessions);
    }
    void add(Connection<T>& connection) {
        if (!std::exchange(connection.ending, true)) ending_.push_back(&connection);
    }

    /// Runs the hooks of those that ended, which may end others, then lets go of them by `remove(connection)`; but
    /// whoever lingers stays.
    template <class Hooks, class Remove>
    void see_off(Hooks& hooks, Remove&& remove) {
        while (!ending_.empty()) {
            reaping_.swap(ending_);
            for (Connection<T>* connection : reaping_) {
                connection->seal();
                if (connection->opened && !std::exchange(connection->said_farewell, true))
                    hooks.disconnected(*connection);
            }
            for (Connection<T>* connection : reaping_) {
                connection->ending = false;
                if (!connection->lingering) remove(*connection);
            }
            reaping_.clear();
        }
    }

private:
    std::vector<Connection<T>*> ending_, reaping_;
};

}  // namespace qbipc::detail
