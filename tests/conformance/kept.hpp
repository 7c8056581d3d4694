// SPDX-License-Identifier: BSL-1.0
// kept.hpp: selectors that tests of calls share.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include <qbipc/answer.hpp>
#include <qbipc/pending.hpp>
#include <qbipc/selector.hpp>

#include "conformance/messages.hpp"
#include "conformance/running.hpp"

namespace conformance {

/// What a service keeps for the test, which runs in the same thread.
struct Kept {
    std::deque<qbipc::Answer<Number>> answers;
    std::uint64_t calls = 0;
};

/// Doubles, and counts that; keeps the answers of Later.
inline auto keeping(Kept& kept) {
    return qbipc::routes(qbipc::on<Double>([&](const Double& m) {
                             ++kept.calls;
                             return Number{2 * m.value};
                         }),
                         qbipc::on<Later>([&](const Later&, qbipc::Answer<Number> answer) {
                             kept.answers.push_back(std::move(answer));
                         }));
}

/// Starts as many calls as may be outstanding; the service, which keeps their answers, has taken them all.
template <class Service, class Client>
std::vector<qbipc::Pending<Later>> start_all(Service& service, Client& client) {
    std::vector<qbipc::Pending<Later>> calls;
    while (calls.size() < 4096) {
        auto call = client.start(Later{1});
        if (call)
            calls.push_back(std::move(*call));
        else
            REQUIRE(why(call) == errc::lane_full);
        if (!call || calls.size() % 64 == 0) service.settle();
    }
    service.settle();
    return calls;
}

inline auto doubling() {
    return qbipc::routes(qbipc::on<Double>([](const Double& m) { return Number{2 * m.value}; }),
                         qbipc::on<Ping>([](const Ping&) { return Done{}; }));
}

}  // namespace conformance
