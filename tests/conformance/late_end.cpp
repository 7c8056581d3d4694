// SPDX-License-Identifier: BSL-1.0
// The end comes to be known between a look at the answers and a look at the events: what had been published is given.
#include <functional>
#include <memory>
#include <utility>

#include "conformance/messages.hpp"
#include "conformance/running.hpp"
#include "conformance/transports.hpp"

namespace {

using namespace conformance;
using qbipc::Answer;
using qbipc::on;
using qbipc::Result;
using qbipc::routes;

/// Runs once, right before somebody looks for events.
std::function<void()> before_events;

/// A transport whose client can be surprised there.
template <qbipc::TransportPolicy T>
struct Surprised : T {
    struct ClientEnd : T::ClientEnd {
        explicit ClientEnd(typename T::ClientEnd end) : T::ClientEnd(std::move(end)) {}
        bool peek(qbipc::Lane lane, qbipc::Frame& frame) {
            if (lane == qbipc::Lane::events && before_events) std::exchange(before_events, nullptr)();
            return T::ClientEnd::peek(lane, frame);
        }
    };
    static Result<ClientEnd> connect(const qbipc::Address& address, const qbipc::Options& options,
                                     qbipc::TimeLimit limit, qbipc::CredentialCheck check) {
        return T::connect(address, options, limit, check).map([](auto&& end) { return ClientEnd(std::move(end)); });
    }
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("an answer published before the end is given, whenever the end comes to be known", "[split]",
                        Transports) {
    using T = Surprised<TestType>;
    std::optional<Answer<Number>> kept;
    const auto selector = routes(on<Note>([](const Note&) {}),
                                 on<Later>([&](const Later&, Answer<Number> answer) { kept = std::move(answer); }));
    auto service = std::make_unique<Stepped<T, std::remove_const_t<decltype(selector)>>>(selector);
    auto [sending, receiving] = service->connect().split();
    int answered = 0, other = 0;
    REQUIRE(sending.start(Later{7}, patience, [&](Result<Number> answer) { ++(answer ? answered : other); }));
    REQUIRE(service->turn_until([&] { return kept.has_value(); }));
    service->settle();
    before_events = [&, &sending = sending] {
        (void)kept->send(Number{7});
        (void)service->service.dispatch();
        service.reset();
        (void)eventually([&] { return !sending.send(Note{1}); });  // the other half finds out
    };
    CHECK(why(receiving.receive(no_events(), patience)) == errc::disconnected);
    CHECK(answered == 1);
    CHECK(other == 0);
}
