// SPDX-License-Identifier: BSL-1.0
// statistics.hpp: what a session and a service have done, as plain counters.
#pragma once

#include <chrono>
#include <cstdint>

namespace qbipc {

/// Counters of one session, or of all sessions of a service together. Written by the dispatch thread alone; read there.
struct Statistics {
    std::uint64_t requests = 0;          ///< calls and one-way messages taken
    std::uint64_t responses = 0;         ///< answers given, errors included
    std::uint64_t events = 0;            ///< events sent
    std::uint64_t bytes_received = 0;    ///< payload of requests
    std::uint64_t bytes_sent = 0;        ///< payload of answers and events
    std::uint64_t lane_full = 0;         ///< sends that found no room: events refused, answers that had to wait
    std::uint64_t one_way_failures = 0;  ///< one-way messages that no route took, were refused, or whose function threw
    std::uint64_t calls_waiting = 0;     ///< calls taken and not yet answered; a level, not a count: clearing keeps it
    std::chrono::system_clock::time_point connected_since{};  ///< a session's; a service's is the moment of listen()

    Statistics& operator+=(const Statistics& other) noexcept {
        requests += other.requests, responses += other.responses, events += other.events;
        bytes_received += other.bytes_received, bytes_sent += other.bytes_sent;
        lane_full += other.lane_full, one_way_failures += other.one_way_failures;
        calls_waiting += other.calls_waiting;
        return *this;
    }
    /// What came since `baseline`; calls_waiting and connected_since stay as they are.
    Statistics since(const Statistics& baseline) const noexcept {
        Statistics result = *this;
        result.requests -= baseline.requests, result.responses -= baseline.responses, result.events -= baseline.events;
        result.bytes_received -= baseline.bytes_received, result.bytes_sent -= baseline.bytes_sent;
        result.lane_full -= baseline.lane_full, result.one_way_failures -= baseline.one_way_failures;
        return result;
    }
};

/// Counters of a service: those of its sessions, the ended ones included, and the sessions themselves.
struct ServiceStatistics : Statistics {
    std::uint64_t sessions = 0;   ///< open now; a level
    std::uint64_t half_open = 0;  ///< in the handshake now; a level
    std::uint64_t accepted = 0;   ///< sessions opened
    std::uint64_t refused = 0;    ///< connections refused: limits, policies, on_accept, handshakes that failed
    std::uint64_t ended = 0;      ///< sessions ended
};

/// Counters of a client's connection.
struct ClientStatistics {
    std::uint64_t requests = 0;       ///< calls and one-way messages sent
    std::uint64_t responses = 0;      ///< answers that belonged to a call
    std::uint64_t late_answers = 0;   ///< answers dropped because nobody waited for them any more
    std::uint64_t events = 0;         ///< events received
    std::uint64_t events_missed = 0;  ///< events the service offered and could not send: gaps in their count
};

}  // namespace qbipc
