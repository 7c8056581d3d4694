// SPDX-License-Identifier: BSL-1.0
// Where services stand: files, abstract names, descriptors handed over; and the flag that moves them.
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <sys/stat.h>

#include "process/peers.hpp"
#include "process/raw.hpp"

using namespace qbipc;
using namespace qbipc::testing;

namespace {

/// A directory that the user whom as_user() makes of a child can call his runtime directory.
struct RuntimeDirectory {
    static constexpr uid_t user = 2001;
    RuntimeDirectory() {
        if (::geteuid() == 0 && ::chown(directory.path().c_str(), user, user) != 0) std::abort();
        if (::chmod(directory.path().c_str(), 0755) != 0) std::abort();
    }
    Child::With environment() const { return {{"XDG_RUNTIME_DIR=" + directory.path()}, -1}; }
    std::vector<std::string> arguments() const {
        auto words = as_user(user);
        words.push_back("flag=" + flag());
        return words;
    }
    std::string flag() const { return directory / "flag"; }
    std::string socket(const std::string& name) const { return directory / "qbipc/" + name; }

    TemporaryDirectory directory;
};

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace

TEMPLATE_LIST_TEST_CASE("a socket file left by a service that was killed doesn't keep the next one out", "[process]",
                        Transports) {
    TemporaryDirectory directory;
    const auto file = directory / "socket";
    for (int round = 0; round < 3; ++round) {
        ServicePeer<TestType> service({}, "path:" + file);
        REQUIRE(service.said == "ready");
        auto client = Client<TestType>::connect(Address::path(file), patience);
        REQUIRE(client);
        CHECK(client->call(Add{1, 0}, patience)->value == 1);
        CHECK(was_killed(service.kill()));
        CHECK(exists(file));
        CHECK(error_of(Client<TestType>::connect(Address::path(file), patience)) == errc::no_service);
    }
    ServicePeer<TestType> last({}, "path:" + file);
    REQUIRE(last.ready());
    CHECK(last.stop());
    CHECK_FALSE(exists(file));
}

TEMPLATE_LIST_TEST_CASE("an address belongs to one live service, by name and by file", "[process]", Transports) {
    TemporaryDirectory directory;
    const bool by_name = GENERATE(true, false);
    const std::string address = by_name ? unique_name() : "path:" + (directory / "socket");
    ServicePeer<TestType> first({}, address);
    REQUIRE(first.ready());
    ServicePeer<TestType> second({}, address);
    CHECK(second.said == "failed: " + text_of(errc::address_in_use));
    CHECK(ClientPeer<TestType>(address).connected());
    CHECK(first.stop());
    ServicePeer<TestType> third({}, address);
    CHECK(third.ready());
    CHECK(ClientPeer<TestType>(address).ask("add") == "sum 1");
}

TEMPLATE_LIST_TEST_CASE("a service takes over a descriptor that listens already, and leaves the file alone",
                        "[process]", Transports) {
    TemporaryDirectory directory;
    const auto file = directory / "socket";
    const int listening = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof address.sun_path, "%s", file.c_str());
    REQUIRE(::bind(listening, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listening, 16) == 0);
    for (int round = 0; round < 2; ++round) {
        ServicePeer<TestType> service({}, "fd:3", Child::With{{}, listening});
        REQUIRE(service.ready());
        auto client = Client<TestType>::connect(Address::path(file), patience);
        REQUIRE(client);
        CHECK(client->call(Add{1, 0}, patience)->value == 1);
        CHECK(client->service_credentials().pid == ::getpid());  // who listened, not who serves
        CHECK(service.stop());
        CHECK(exists(file));
        CHECK(error_of(client->call(Add{1, 0}, patience)) == errc::disconnected);
    }
    ::close(listening);
}

TEMPLATE_LIST_TEST_CASE("a descriptor that doesn't listen isn't taken for a service's", "[process]", Transports) {
    const int file = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    ServicePeer<TestType> service({}, "fd:3", Child::With{{}, file});
    CHECK(service.said.starts_with("failed: "));
    ::close(file);
}

TEMPLATE_LIST_TEST_CASE("the flag moves new connections to a file and back, and old ones stay", "[process]",
                        Transports) {
    RuntimeDirectory runtime;
    const auto name = unique_name();
    ServicePeer<TestType> service(runtime.arguments(), name, runtime.environment());
    REQUIRE(service.ready());
    ClientPeer<TestType> before(name, runtime.arguments(), runtime.environment());
    REQUIRE(before.connected());
    CHECK_FALSE(exists(runtime.socket(name)));

    std::ofstream(runtime.flag()).flush();
    // It hears of the flag in its own time, and a client gives it two seconds of that.
    REQUIRE(eventually(
        [&] { return Client<TestType>::connect(Address::path(runtime.socket(name)), 1s, anyone).has_value(); }));
    ClientPeer<TestType> during(name, runtime.arguments(), runtime.environment());
    CHECK(during.connected());
    CHECK(exists(runtime.socket(name)));
    CHECK(::unlink(runtime.flag().c_str()) == 0);
    ClientPeer<TestType> after(name, runtime.arguments(), runtime.environment());
    CHECK(after.connected());
    for (auto* const client : {&before, &during, &after}) CHECK(client->ask("add") == "sum 1");
    CHECK(service.stop());
    CHECK_FALSE(exists(runtime.socket(name)));
}

TEST_CASE("the flag toggled every 20 ms for 10 s costs no connection", "[process]") {
    // Both transports at once, for the time it takes.
    RuntimeDirectory runtime;
    ServicePeer<ShmRing> ring(runtime.arguments(), unique_name(), runtime.environment());
    ServicePeer<UnixSocket> socket(runtime.arguments(), unique_name(), runtime.environment());
    REQUIRE(ring.ready());
    REQUIRE(socket.ready());
    std::vector<Child> clients;
    for (int i = 0; i < 2; ++i) {
        clients.push_back(Peer<ShmRing>("connecting", ring.name, runtime.arguments(), runtime.environment()));
        clients.push_back(Peer<UnixSocket>("connecting", socket.name, runtime.arguments(), runtime.environment()));
    }
    const auto end = std::chrono::steady_clock::now() + 10s;
    int toggles = 0;
    for (bool up = false; std::chrono::steady_clock::now() < end; ++toggles) {
        up = !up;
        if (up)
            std::ofstream(runtime.flag()).flush();
        else
            ::unlink(runtime.flag().c_str());
        std::this_thread::sleep_for(20ms);
    }
    for (auto& client : clients) {
        client.close_input();
        const auto seen = client.line();
        INFO(toggles << " toggles: " << seen);
        long long connected = 0, failed = -1;
        REQUIRE(std::sscanf(seen.c_str(), "connected=%lld failed=%lld", &connected, &failed) == 2);
        CHECK(failed == 0);
        CHECK(connected > 0);
        CHECK(exited_well(client.wait()));
    }
    CHECK(ring.stop());  // the same ones that were started
    CHECK(socket.stop());
    CHECK_FALSE(exists(runtime.socket(ring.name)));
    CHECK_FALSE(exists(runtime.socket(socket.name)));
}
