// SPDX-License-Identifier: BSL-1.0
// The same things done right.
#include "messages.hpp"

struct Voter {
    explicit Voter(int v) : votes(v) {}
    int votes;
};
struct Vote {
    static constexpr qbipc::ServiceId service = 2;
    static constexpr qbipc::MessageId id = 1;
};
struct Vouched {
    static constexpr qbipc::MessageId id = 9;
    const char* text;
};
template <>
inline constexpr bool qbipc::no_padding<Vouched> = true;

constexpr auto tall = [](const qbipc::Credentials& who) { return who.uid > 9; };

auto service = listen(
    qbipc::side_by_side(qbipc::routes<Account>(
                            qbipc::on<Add>([](auto& session, const Add& add) { return Sum{session->total += add.a}; }),
                            qbipc::on<Echo>([](const Echo&, std::string_view text, qbipc::Answer<Text> answer) {
                                answer.send(qbipc::with_tail(Text{}, text));
                            }),
                            qbipc::on<Clear>([](auto& session, const Clear&) {
                                session.send(Total{session->total});
                            }).only(qbipc::policy(tall) && tall),
                            qbipc::on_connect([](auto&) {}), qbipc::otherwise([](auto&, auto&) { return false; })),
                        qbipc::routes<Voter>(qbipc::on_accept([](const qbipc::Credentials&) { return Voter(1); }),
                                             qbipc::on<Vote>([](auto& session, const Vote&) { ++session->votes; }))),
    qbipc::same_user || tall);

void f(Client& client, const std::string& text) {
    (void)client.send(Clear{});
    (void)client.send(Vouched{});
    (void)client.call(Add{1, 2}, 1s);
    (void)client.call(qbipc::with_tail(Echo{}, text), qbipc::forever);
    (void)client.start(Add{1, 2});
    (void)client.send(qbipc::bytes(0, qbipc::MessageId(9)));
    (void)client.receive(qbipc::routes(qbipc::on<Total>([](const Total&) {})), 1s);
}
