// SPDX-License-Identifier: BSL-1.0
// Clients that die while a child which they forked keeps their sockets open: no hang-up tells of it, but the kernel's
// descriptor of the process does, where there is one.
#include "process/peers.hpp"
#include "transport/session.hpp"

using namespace qbipc;
using namespace qbipc::testing;

namespace {

/// Whether this kernel can tell: 6.5 and later.
bool has_process_descriptors() {
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    const detail::Descriptor one(pair[0]), other(pair[1]);
    int fd = -1;
    socklen_t size = sizeof fd;
    const int answer = LinuxKernel::getsockopt(one.get(), SOL_SOCKET, detail::so_peerpidfd, &fd, &size);
    const detail::Descriptor process(answer < 0 ? -1 : fd);
    if (answer < 0) WARN("not tested: descriptors of a peer's process, for this kernel has none");
    return answer >= 0;
}

/// Gives no descriptor of a process, as older kernels, or a service that has no more of them.
struct NoProcesses : LinuxKernel {
    static inline int error = 0;
    static int getsockopt(int fd, int level, int option, void* value, socklen_t* size) noexcept {
        if (level == SOL_SOCKET && option == detail::so_peerpidfd) return -error;
        return LinuxKernel::getsockopt(fd, level, option, value, size);
    }
};

using TransportsWithout = std::tuple<BasicShmRing<Adaptive, NoProcesses>, BasicUnixSocket<Adaptive, NoProcesses>>;

template <class T>
struct Plain;
template <class W, class K, class M>
struct Plain<BasicShmRing<W, K, M>> {
    using type = ShmRing;
};
template <class W, class K>
struct Plain<BasicUnixSocket<W, K>> {
    using type = UnixSocket;
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("a client that is killed is lost, though its forked child keeps its sockets", "[process]",
                        Transports) {
    if (!has_process_descriptors()) return;
    const std::string loop = GENERATE("run", "poll");
    ServicePeer<TestType> service({loop});
    REQUIRE(service.ready());
    const auto before = service.status();
    ClientPeer<TestType> witness(service.name);
    REQUIRE(witness.ask("add") == "sum 1");
    for (int i = 1; i <= 10; ++i) {
        ClientPeer<TestType> client(service.name);
        REQUIRE(client.connected());
        REQUIRE(client.ask("leave a child") == "left");
        // Once while it does nothing, once in the middle of a stream that the child doesn't read.
        if (i % 2 == 0) {
            client.tell("wish 100000 1000 1");
            REQUIRE(client.line() == "ok");
        }
        client.signal(SIGKILL);
        CHECK(service.comes_to("lost", i));
        CHECK(was_killed(client.wait()));
    }
    CHECK(witness.ask("add") == "sum 2");
    witness.close_input();
    CHECK(exited_well(witness.wait()));
    REQUIRE(service.comes_to("sessions", 0));
    CHECK(service.status()["fds"] == before.at("fds"));
    CHECK(service.status()["maps"] == 0);
}

TEMPLATE_LIST_TEST_CASE("what a client had sent is taken, though it is killed and its child keeps its sockets",
                        "[process]", Transports) {
    if (!has_process_descriptors()) return;
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    ClientPeer<TestType> client(service.name);
    REQUIRE(client.ask("add") == "sum 1");
    REQUIRE(client.ask("leave a child") == "left");
    service.signal(SIGSTOP);
    REQUIRE(client.ask("jots 50") == "jotted");
    client.signal(SIGKILL);
    service.signal(SIGCONT);
    REQUIRE(service.comes_to("lost", 1));
    const auto status = service.status();
    CHECK(status.at("jots") == 50);
    CHECK(status.at("gaps") == 0);
    CHECK(status.at("torn") == 0);
}

TEMPLATE_LIST_TEST_CASE("a service whose own child holds copies of all its descriptors forgets who has died",
                        "[process]", Transports) {
    // A descriptor that is only closed stays in the epoll for as long as anybody holds a copy: it would name a session
    // that is gone, again and again.
    ServicePeer<TestType> service({"poll"});
    REQUIRE(service.ready());
    ClientPeer<TestType> client(service.name), witness(service.name);
    REQUIRE(client.ask("add") == "sum 1");
    REQUIRE(witness.ask("add") == "sum 1");
    REQUIRE(service.ask("leave a child") == "left");
    CHECK(was_killed(client.kill()));
    REQUIRE(service.comes_to("lost", 1));
    for (int i = 2; i <= 100; ++i) CHECK(witness.ask("add") == "sum " + std::to_string(i));
    CHECK(service.status()["sessions"] == 1);
    const auto before = service.status()["sleeps"];
    std::this_thread::sleep_for(300ms);
    CHECK(service.status()["sleeps"] - before <= 5);
}

TEMPLATE_LIST_TEST_CASE("a service may be told not to watch processes, and then holds no descriptor for it",
                        "[process]", Transports) {
    if (!has_process_descriptors()) return;
    ServicePeer<TestType> watching, not_watching({"watch_processes=0"});
    long long with = 0, without = 0;
    for (auto* const service : {&watching, &not_watching}) {
        REQUIRE(service->ready());
        const auto before = service->status().at("fds");
        ClientPeer<TestType> client(service->name);
        REQUIRE(client.ask("add") == "sum 1");
        (service == &watching ? with : without) = service->status().at("fds") - before;
        client.close_input();
        REQUIRE(service->comes_to("bye", 1));
    }
    CHECK(with == without + 1);

    ClientPeer<TestType> client(not_watching.name);
    REQUIRE(client.ask("add") == "sum 1");
    REQUIRE(client.ask("leave a child") == "left");
    client.signal(SIGKILL);
    ClientPeer<TestType> witness(not_watching.name);
    CHECK(witness.ask("add") == "sum 1");
    CHECK(not_watching.status()["lost"] == 0);  // for as long as the child lives
    client.close_input();
    CHECK(not_watching.comes_to("lost", 1));
}

TEMPLATE_LIST_TEST_CASE(
    "without a descriptor of the process a session is as good, and ends with the last copy of its "
    "socket",
    "[process]", TransportsWithout) {
    NoProcesses::error = GENERATE(ENOPROTOOPT, EMFILE, ENFILE, ESRCH, EINVAL, ENODATA);
    qbipc_test::House<TestType> house;
    REQUIRE(house.listener);
    Peer<typename Plain<TestType>::type> client("client", house.name);
    auto end = house.admitted();
    REQUIRE(client.line() == "connected");
    const auto until = [&](auto&& done) {
        while (!done()) {
            REQUIRE(qbipc_test::readable(house.epoll.get(), patience));
            end.drain();
        }
    };
    until([&] { return end.established(); });
    REQUIRE(client.ask("leave a child") == "left");
    client.tell("jots 1");
    REQUIRE(client.line() == "jotted");
    Frame frame;
    until([&] {
        end.arm({Lane::requests, {}});
        return end.peek(Lane::requests, frame);
    });
    end.release(Lane::requests);
    client.signal(SIGKILL);  // and the child lives on
    end.drain();
    CHECK_FALSE(end.ended());
    client.close_input();  // the child ends
    until([&] { return end.peek(Lane::requests, frame) || end.ended(); });
    CHECK(end.ended() == errc::disconnected);
    CHECK_FALSE(end.said_bye());
}
