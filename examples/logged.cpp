// SPDX-License-Identifier: BSL-1.0
// logged.cpp: selectors of one's own: one that logs each request and passes it on, and one that goes first.
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "calculator.hpp"
#include "program.hpp"

using namespace std::chrono_literals;
using namespace calculator;

struct Account {
    double total = 0;
};

// Inheriting keeps what the inner selector says about itself: its private data, and what it does on connect.
template <class Next>
struct Logged : Next {
    explicit Logged(Next next) : Next(std::move(next)) {}

    bool operator()(auto& session, auto& request) {
        std::printf("session %llu: message %u, %zu bytes\n", static_cast<unsigned long long>(session.id()),
                    request.message().value, request.size());
        return Next::operator()(session, request);
    }
};

// A whole selector by hand: no base class, and an id that no message type has.
constexpr qbipc::MessageId echo = 99;
struct Echo {
    bool operator()(auto&, auto& request) const {
        if (request.message() != echo) return false;
        request.reply(qbipc::bytes(0, echo, request.copy()));
        return true;
    }
};

int serve(const qbipc::Address& address) {
    auto calculator = qbipc::routes<Account>(
        qbipc::on<Add>([](auto& session, const Add& add) { return Sum{session->total += add.a + add.b}; }),
        qbipc::otherwise([](auto&, auto& request) {
            std::printf("never heard of message %u\n", request.message().value);
            return false;  // not taken: the caller gets no_such_message
        }));
    auto service = qbipc::or_exit(
        qbipc::listen<qbipc::UnixSocket>(address, qbipc::first_of(Echo{}, Logged(std::move(calculator)))), "listen");
    return example::serve_until_told(service);
}

int ask(const qbipc::Address& address) {
    auto client = qbipc::or_exit(qbipc::Client<qbipc::UnixSocket>::connect(address, 5s), "connect");

    const auto said =
        qbipc::or_exit(client.call(qbipc::bytes(0, echo, std::string("hal"), std::string("lo")), 5s), "echo");
    const auto heard = said.tail();  // Copy<Raw>: bytes
    example::expect(std::string_view(reinterpret_cast<const char*>(heard.data()), heard.size()) == "hallo",
                    "the one that goes first answers");

    qbipc::or_exit(client.call(Add{1, 2}, 5s), "add");
    const auto sum = qbipc::or_exit(client.call(Add{3, 4}, 5s), "add");
    example::expect(sum.value == 10, "the logged one keeps its private data");

    const auto unknown = client.call(qbipc::bytes(0, qbipc::MessageId(1234)), 5s);
    example::expect(!unknown && unknown.error() == qbipc::errc::no_such_message, "what nobody takes is an error");
    example::expect(client.call(Add{0, 0}, 5s).has_value(), "and the connection goes on");
    return 0;
}

int main(int argc, char** argv) { return example::run(argc, argv, serve, ask); }
