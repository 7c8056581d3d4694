// SPDX-License-Identifier: BSL-1.0
// Those who connect while sessions are busy have a part of the time, and cost nothing while they wait for it.
#include <array>
#include <chrono>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/names.hpp>

#include "conformance/messages.hpp"
#include "conformance/running.hpp"
#include "conformance/transports.hpp"

namespace {

using namespace conformance;
using qbipc::LinuxKernel;
using qbipc::on;
using qbipc::routes;
using qbipc::detail::Descriptor;
using qbipc::detail::SocketAddress;

using Sockets = std::tuple<qbipc::ShmRing, qbipc::UnixSocket>;

Descriptor knock(const std::string& name) {
    const auto address = must(SocketAddress::abstract(name));
    auto socket = must(Descriptor::from(LinuxKernel::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)));
    REQUIRE(LinuxKernel::connect(socket.get(), address.get(), address.size()) == 0);
    return socket;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("who waits for his turn at the door keeps no loop awake", "[doors]", Sockets) {
    constexpr std::size_t crowd = 32;
    qbipc::ServiceOptions options;
    options.limits.half_open = options.limits.half_open_per_user = 2 * crowd;
    // Whoever is let in takes so long that the next one has to wait three times as long.
    const auto thoughtful = [](const qbipc::Credentials&) {
        for (const auto end = std::chrono::steady_clock::now() + 100us; std::chrono::steady_clock::now() < end;) {
        }
        return true;
    };
    auto service = step<TestType>(routes(on<Note>([](const Note&) {})), thoughtful, options);
    auto client = service.connect();
    // Gives the number of turns in which there was nothing to do. The session is busy, but not in each of them.
    const auto idle_turns_until = [&](auto done, auto meanwhile) {
        int turns = 0;
        auto due = std::chrono::steady_clock::now();
        for (const auto end = due + patience; !done() && due < end;) {
            if (std::chrono::steady_clock::now() >= due) {
                REQUIRE(client.send(Note{1}));
                meanwhile();
                due = std::chrono::steady_clock::now() + 50us;
            }
            if (!readable(service.service.fd())) continue;
            const auto before = service.service.statistics();
            const auto taken = must(service.service.dispatch());
            turns += taken == 0 && service.service.statistics().half_open == before.half_open;
        }
        REQUIRE(done());
        return turns;
    };
    const auto half_open = [&] { return service.service.statistics().half_open; };
    const auto knock_all = [&] {
        std::vector<Descriptor> visitors;
        for (std::size_t i = 0; i < crowd; ++i) visitors.push_back(knock(service.name));
        return visitors;
    };

    // For each there may be one to find that his has not come.
    const auto first = knock_all();
    const int knocked = idle_turns_until([&] { return half_open() == crowd; }, [] {});
    // Others knock, and meanwhile each of the first says something that is no hello.
    const auto others = knock_all();
    const std::array<char, 256> nonsense{};
    auto next = first.begin();
    const int spoke = idle_turns_until([&] { return next == first.end() && half_open() == crowd; },
                                       [&] {
                                           if (next != first.end())
                                               (void)LinuxKernel::send((next++)->get(), nonsense.data(),
                                                                       nonsense.size(), MSG_NOSIGNAL);
                                       });
    INFO(knocked << " and " << spoke << " turns");
    CHECK(knocked <= static_cast<int>(2 * crowd));
    CHECK(spoke <= static_cast<int>(2 * crowd));
}
