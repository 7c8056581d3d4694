// SPDX-License-Identifier: BSL-1.0
// doorman.cpp: who may connect, who may ask what, refusals with a reason, and a client that checks its service.
#include <cstdio>
#include <system_error>

#include <qbipc/qbipc.hpp>

#include "program.hpp"

using namespace std::chrono_literals;

namespace door {

struct Done {};
struct Enter {
    static constexpr qbipc::MessageId id = 1;
    using Reply = Done;
};
struct Rekey {
    static constexpr qbipc::MessageId id = 2;
    using Reply = Done;
};
struct TurnSign {  // on the door: open, closed
    static constexpr qbipc::MessageId id = 3;
    using Reply = Done;
    std::uint32_t closed;
};

}  // namespace door

constexpr auto locksmith = qbipc::uids<4242>;
constexpr auto staff = qbipc::gids<50> || qbipc::same_user_or_root;

int serve(const qbipc::Address& address) {
    bool closed = false;  // policies run in the service's thread, as handlers do

    // A policy of one's own gives a bool, or the reason of the refusal.
    const auto while_open = [&closed](const qbipc::Credentials&) -> std::error_code {
        if (closed) return make_error_code(std::errc::resource_unavailable_try_again);
        return {};
    };
    auto selector =
        qbipc::routes(qbipc::on<door::Enter>([](const door::Enter&) { return door::Done{}; }),
                      qbipc::on<door::Rekey>([](const door::Rekey&) { return door::Done{}; }).only(locksmith),
                      qbipc::on<door::TurnSign>([&closed](const door::TurnSign& sign) {
                          closed = sign.closed != 0;
                          return door::Done{};
                      }).only(staff && !locksmith));

    auto service =
        qbipc::or_exit(qbipc::listen<qbipc::UnixSocket>(address, std::move(selector), staff && while_open), "listen");
    return example::serve_until_told(service);
}

int ask(const qbipc::Address& address) {
    using Client = qbipc::Client<qbipc::UnixSocket>;
    auto client = qbipc::or_exit(Client::connect(address, 5s), "connect");

    example::expect(client.call(door::Enter{}, 5s).has_value(), "the staff may enter");
    const auto rekeyed = client.call(door::Rekey{}, 5s);
    example::expect(!rekeyed && rekeyed.error() == qbipc::errc::not_permitted, "only the locksmith rekeys");

    qbipc::or_exit(client.call(door::TurnSign{1}, 5s), "close");
    const auto too_late = Client::connect(address, 5s);
    example::expect(!too_late && too_late.error() == std::errc::resource_unavailable_try_again,
                    "who comes when it is closed is told why");
    example::expect(client.call(door::Enter{}, 5s).has_value(), "who is inside stays inside");
    qbipc::or_exit(client.call(door::TurnSign{0}, 5s), "open");
    example::expect(Client::connect(address, 5s).has_value(), "and it is open again");

    // The other way round: this client lets itself be served by the locksmith alone.
    const auto impostor = Client::connect(address, 5s, locksmith);
    example::expect(!impostor && impostor.error() == qbipc::errc::wrong_service, "an impostor is found out");
    return 0;
}

int main(int argc, char** argv) { return example::run(argc, argv, serve, ask); }
