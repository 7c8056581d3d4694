// SPDX-License-Identifier: BSL-1.0
// three_services.cpp: three services behind one address, each with its own ids and its own private data.
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <unistd.h>

#include <qbipc/qbipc.hpp>

#include "program.hpp"

using namespace std::chrono_literals;

namespace configuration {

constexpr qbipc::ServiceId number = 1;
struct Value {
    std::uint64_t value;
};
struct Get {
    static constexpr qbipc::ServiceId service = number;
    static constexpr qbipc::MessageId id = 1;
    using Reply = Value;
};

struct Reader {
    std::uint64_t reads = 0;
};
auto service() {
    return qbipc::routes<Reader>(qbipc::on<Get>([](auto& session, const Get&) { return Value{++session->reads}; }));
}

}  // namespace configuration

namespace quorum {

constexpr qbipc::ServiceId number = 2;
struct Votes {
    std::uint32_t votes;
};
struct Ask {
    static constexpr qbipc::ServiceId service = number;
    static constexpr qbipc::MessageId id = 1;
    using Reply = Votes;
};

struct Voter {  // has no default: it is made of who connects
    std::uint32_t votes;
};
auto service() {
    return qbipc::routes<Voter>(  //
        qbipc::on_accept([](const qbipc::Credentials& who) -> qbipc::Result<Voter> {
            if (who.pid == 0)
                return qbipc::fail(make_error_code(std::errc::permission_denied));  // refuses the whole connection
            return Voter{who.uid == 0 ? 2u : 1u};
        }),
        qbipc::on<Ask>([](auto& session, const Ask&) { return Votes{session->votes}; }));
}

}  // namespace quorum

namespace groups {

constexpr qbipc::ServiceId number = 3;
struct Join {
    static constexpr qbipc::ServiceId service = number;
    static constexpr qbipc::MessageId id = 1;
    using Tail = char;
};
struct Joined {
    static constexpr qbipc::ServiceId service = number;
    static constexpr qbipc::EventId id = 1;
    using Tail = char;
};
struct Left {
    static constexpr qbipc::ServiceId service = number;
    static constexpr qbipc::EventId id = 2;
    using Tail = char;
};

struct Member {
    std::string group;
};
void tell(auto& session, auto event) {
    const std::string_view group = session->group;
    for (auto& other : session.sessions())  // every Member; the other services' data isn't seen here
        if (other->group == group) other.send(qbipc::with_tail(event, group));
}
auto service() {
    return qbipc::routes<Member>(  //
        qbipc::on_disconnect([](auto& session) { tell(session, Left{}); }),
        qbipc::on<Join>([](auto& session, const Join&, std::string_view group) {
            session->group = group;
            tell(session, Joined{});
        }));
}

}  // namespace groups

int serve(const qbipc::Address& address) {
    auto all = qbipc::side_by_side(configuration::service(), quorum::service(), groups::service());
    auto service = qbipc::or_exit(qbipc::listen<qbipc::ShmRing>(address, std::move(all)), "listen");
    return example::serve_until_told(service);
}

int ask(const qbipc::Address& address) {
    using Client = qbipc::Client<qbipc::ShmRing>;
    auto client = qbipc::or_exit(Client::connect(address, 5s), "connect");

    qbipc::or_exit(client.call(configuration::Get{}, 5s), "get");
    const auto reads = qbipc::or_exit(client.call(configuration::Get{}, 5s), "get");
    example::expect(reads.value == 2, "the first service counts in its private data");
    const auto votes = qbipc::or_exit(client.call(quorum::Ask{}, 5s), "ask");
    example::expect(votes.votes == (::geteuid() == 0 ? 2 : 1), "the second made its own from the credentials");

    int joined = 0, left = 0;
    auto events = qbipc::routes(
        qbipc::on<groups::Joined>([&](const groups::Joined&, std::string_view group) { joined += group == "red"; }),
        qbipc::on<groups::Left>([&](const groups::Left&, std::string_view group) { left += group == "red"; }));
    const qbipc::Deadline until = 5s;
    {
        auto other = qbipc::or_exit(Client::connect(address, 5s), "connect");
        qbipc::or_exit(client.send(qbipc::with_tail(groups::Join{}, "red")), "join");
        while (joined < 1) qbipc::or_exit(client.receive(events, until), "receive");
        qbipc::or_exit(other.send(qbipc::with_tail(groups::Join{}, "red")), "join");
        while (joined < 2) qbipc::or_exit(client.receive(events, until), "receive");
    }  // the other one disconnects
    while (left < 1) qbipc::or_exit(client.receive(events, until), "receive");
    example::expect(joined == 2 && left == 1, "the third tells its members who joined and who left");
    return 0;
}

int main(int argc, char** argv) { return example::run(argc, argv, serve, ask); }
