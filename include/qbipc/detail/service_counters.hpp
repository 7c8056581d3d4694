// SPDX-License-Identifier: BSL-1.0
// detail/service_counters.hpp: a service's statistics: ended sessions as a sum, live ones added when somebody asks.
#pragma once

#include <chrono>
#include <cstdint>

#include <qbipc/detail/admission.hpp>
#include <qbipc/detail/connection.hpp>
#include <qbipc/detail/session_range.hpp>
#include <qbipc/statistics.hpp>

namespace qbipc::detail {

/// Clearing remembers a baseline: no counter is ever set back, so that none can go below zero.
class ServiceCounters {
public:
    ServiceCounters() { totals_.connected_since = std::chrono::system_clock::now(); }

    void opened() noexcept { ++totals_.accepted; }

    template <TransportPolicy T>
    void ended(const Connection<T>& connection) noexcept {
        totals_ += connection.counters;
        totals_.calls_waiting -= connection.counters.calls_waiting;  // a level: nobody waits any more
        connection.opened ? ++totals_.ended : ++totals_.refused;
    }

    /// @param turned_away  connections that never became one of `connections`
    template <TransportPolicy T>
    ServiceStatistics now(const Connections<T>& connections, const Admission& admission,
                          std::uint64_t turned_away) const {
        ServiceStatistics sum = totals_;
        for (const auto& connection : connections) sum += connection->counters;
        sum.refused += turned_away;
        sum.sessions = admission.open();
        sum.half_open = admission.half_open();
        return sum;
    }

    ServiceStatistics since_cleared(ServiceStatistics counted) const noexcept {
        static_cast<Statistics&>(counted) = counted.since(baseline_);
        counted.accepted -= baseline_.accepted;
        counted.refused -= baseline_.refused;
        counted.ended -= baseline_.ended;
        return counted;
    }
    void clear(const ServiceStatistics& counted) noexcept { baseline_ = counted; }

private:
    ServiceStatistics totals_;
    ServiceStatistics baseline_;
};

}  // namespace qbipc::detail
