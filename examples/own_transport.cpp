// SPDX-License-Identifier: BSL-1.0
// own_transport.cpp: a transport of one's own: any other one, with its frames counted; and one body for every
// transport.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <thread>
#include <utility>

#include <qbipc/transport/in_process.hpp>

#include "calculator.hpp"
#include "program.hpp"

using namespace std::chrono_literals;
using namespace calculator;

std::atomic<std::uint64_t> sent_frames, received_frames;  // atomic: the two ends of one may be in two threads

/// Either end of a connection. All frames pass commit() on their way out and release() when they have been read.
template <class End>
struct CountingEnd : End {
    explicit CountingEnd(End end) : End(std::move(end)) {}
    void commit(qbipc::Lane lane, const qbipc::Header& header) {
        ++sent_frames;
        End::commit(lane, header);
    }
    void release(qbipc::Lane lane) {
        ++received_frames;
        End::release(lane);
    }
};

/// A transport is a Listener that gives Visitors, who once admitted have a ServiceEnd; and connect(), which gives a
/// ClientEnd.
template <qbipc::TransportPolicy T>
struct Counting : T {
    using ServiceEnd = CountingEnd<typename T::ServiceEnd>;
    using ClientEnd = CountingEnd<typename T::ClientEnd>;

    struct Visitor : T::Listener::Visitor {
        using End = ServiceEnd;
        explicit Visitor(typename T::Listener::Visitor visitor) : T::Listener::Visitor(std::move(visitor)) {}
        qbipc::Result<End> admit(const qbipc::ServiceOptions& options) {
            return T::Listener::Visitor::admit(options).map([](auto&& end) { return End(std::move(end)); });
        }
    };
    struct Listener : T::Listener {
        using Visitor = Counting::Visitor;
        explicit Listener(typename T::Listener listener) : T::Listener(std::move(listener)) {}
        qbipc::Result<std::optional<Visitor>> accept() {
            return T::Listener::accept().map(
                [](auto&& visitor) { return visitor ? std::optional<Visitor>(std::move(*visitor)) : std::nullopt; });
        }
    };

    static qbipc::Result<Listener> listen(const qbipc::Address& address, const qbipc::ServiceOptions& options) {
        return T::listen(address, options).map([](auto&& listener) { return Listener(std::move(listener)); });
    }
    static qbipc::Result<ClientEnd> connect(const qbipc::Address& address, const qbipc::Options& options,
                                            qbipc::TimeLimit limit, qbipc::CredentialCheck check) {
        return T::connect(address, options, limit, check).map([](auto&& end) { return ClientEnd(std::move(end)); });
    }
};
static_assert(qbipc::TransportPolicy<Counting<qbipc::UnixSocket>>);

struct Account {
    double total = 0;
};

// The service as a function: it doesn't know over what it runs.
auto calculator_service() {
    return qbipc::routes<Account>(
        qbipc::on<Add>([](auto& session, const Add& add) { return Sum{session->total += add.a + add.b}; }));
}

// One body, any transport: what a suite of tests is made of.
template <qbipc::TransportPolicy Transport>
qbipc::Result<double> three_additions(const qbipc::Address& address) {
    auto client = qbipc::Client<Transport>::connect(address, 5s);
    if (!client) return qbipc::fail(client.error());
    double last = 0;
    for (const double x : {1.0, 2.0, 3.0}) {
        const auto sum = client->call(Add{x, x}, 5s);
        if (!sum) return qbipc::fail(sum.error());
        last = sum->value;
    }
    return last;
}

int serve(const qbipc::Address& address) {
    auto service = qbipc::or_exit(qbipc::listen<Counting<qbipc::UnixSocket>>(address, calculator_service()), "listen");
    return example::serve_until_told(service);
}

int ask(const qbipc::Address& address) {
    const auto sum = qbipc::or_exit(three_additions<Counting<qbipc::UnixSocket>>(address), "three additions");
    example::expect(sum == 12, "the calculator adds over a counted UnixSocket");
    example::expect(sent_frames == 3 && received_frames == 3, "three calls are three frames each way");
    const auto uncounted = qbipc::or_exit(three_additions<qbipc::UnixSocket>(address), "three additions");
    example::expect(uncounted == 12 && sent_frames == 3,
                    "what travels is the same: an uncounted client is served as well");
    const auto other = three_additions<qbipc::ShmRing>(address);
    example::expect(!other && other.error() == qbipc::errc::incompatible, "one of another transport is told so");
    std::printf("    (%s)\n", other.error().message().c_str());

    // A unit test needs no other process and no address that others see: the service runs in a thread of this one.
    auto service =
        qbipc::or_exit(qbipc::listen<Counting<qbipc::InProcess>>("calculator", calculator_service()), "listen");
    const std::jthread serving([&](const std::stop_token& stop) { (void)service.run(stop); });
    const auto here = qbipc::or_exit(three_additions<Counting<qbipc::InProcess>>("calculator"), "three additions");
    example::expect(here == 12 && sent_frames == 9, "and within one process: both ends counted");
    return 0;
}

int main(int argc, char** argv) { return example::run(argc, argv, serve, ask); }
