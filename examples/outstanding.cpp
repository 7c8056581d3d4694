// SPDX-License-Identifier: BSL-1.0
// outstanding.cpp: several calls at once; their answers are taken in any order, or not at all.
#include <cstdio>
#include <utility>
#include <vector>

#include "calculator.hpp"
#include "program.hpp"

using namespace std::chrono_literals;
using namespace calculator;

int serve(const qbipc::Address& address) {
    auto selector = qbipc::routes(qbipc::on<Add>([](const Add& add) { return Sum{add.a + add.b}; }));
    auto service = qbipc::or_exit(qbipc::listen<qbipc::UnixSocket>(address, std::move(selector)), "listen");
    return example::serve_until_told(service);
}

int ask(const qbipc::Address& address) {
    auto client = qbipc::or_exit(qbipc::Client<qbipc::UnixSocket>::connect(address, 5s), "connect");

    std::vector<qbipc::Pending<Add>> pending;
    for (int i = 0; i < 8; ++i) pending.push_back(qbipc::or_exit(client.start(Add{1.0 * i, 1}), "start"));

    const qbipc::Deadline until = 5s;  // one for all of them
    const auto last = qbipc::or_exit(client.wait(pending[7], until), "wait");
    example::expect(last.value == 8, "the last answer may be taken first");
    example::expect(pending[0].ready(), "the first came earlier, and was kept");
    const auto first = qbipc::or_exit(client.wait(pending[0], until), "wait");
    example::expect(first.value == 1, "and is the first one's");

    pending.clear();  // what isn't wanted any more is dropped with its token
    const auto sum = qbipc::or_exit(client.call(Add{20, 22}, 5s), "add");
    example::expect(sum.value == 42, "no other call ever gets a dropped answer");

    auto kept = qbipc::or_exit(client.start(Add{1, 1}), "start");
    auto again = client.wait(kept, 0s);  // only looks
    while (!again && again.error() == qbipc::errc::timed_out) again = client.wait(kept, 10ms);
    example::expect(again && again->value == 2, "a wait that timed out may be repeated");
    return 0;
}

int main(int argc, char** argv) { return example::run(argc, argv, serve, ask); }
