// SPDX-License-Identifier: BSL-1.0
// kept.hpp: selectors that tests of calls share.
#pragma once

#include <cstdint>
#include <deque>
#include <utility>

#include <qbipc/answer.hpp>
#include <qbipc/selector.hpp>

#include "conformance/messages.hpp"

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

inline auto doubling() {
    return qbipc::routes(qbipc::on<Double>([](const Double& m) { return Number{2 * m.value}; }),
                         qbipc::on<Ping>([](const Ping&) { return Done{}; }));
}

}  // namespace conformance
