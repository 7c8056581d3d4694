// SPDX-License-Identifier: BSL-1.0
// Limits of a process, reached while it lives: descriptors, address space, locked memory; and a /dev/shm that is full.
#include <algorithm>
#include <ctime>
#include <set>
#include <sys/resource.h>

#include "process/peers.hpp"
#include "support/effort.hpp"

using namespace qbipc;
using namespace qbipc::testing;

namespace {

/// Another process's limit, lowered for a while.
class Lowered {
public:
    Lowered(pid_t process, __rlimit_resource resource, rlim_t to) : process_(process), resource_(resource) {
        REQUIRE(::prlimit(process_, resource_, nullptr, &before_) == 0);
        const rlimit lower{to, before_.rlim_max};
        REQUIRE(::prlimit(process_, resource_, &lower, nullptr) == 0);
    }
    Lowered(const Lowered&) = delete;
    Lowered& operator=(const Lowered&) = delete;
    ~Lowered() { ::prlimit(process_, resource_, &before_, nullptr); }

private:
    pid_t process_;
    __rlimit_resource resource_;
    rlimit before_{};
};

/// The limit under which a process can make so many descriptors more: new ones have the lowest numbers that are free.
rlim_t descriptors_and(pid_t process, int more) {
    std::set<int> open;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/fd"))
        open.insert(std::stoi(entry.path().filename().string()));
    int limit = 0;
    for (; more > 0 || open.count(limit) != 0; ++limit) more -= open.count(limit) == 0;
    return static_cast<rlim_t>(limit);
}

/// Bytes of address space that a process has.
rlim_t address_space(pid_t process) {
    std::ifstream pages("/proc/" + std::to_string(process) + "/statm");
    rlim_t count = 0;
    pages >> count;
    return count * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE));
}

/// How long a process has computed so far, whoever else wanted the processor.
std::chrono::nanoseconds computed(pid_t process) {
    clockid_t clock{};
    timespec time{};
    if (::clock_getcpuclockid(process, &clock) != 0 || ::clock_gettime(clock, &time) != 0) return -1ns;
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

const std::string no_memory = std::make_error_code(std::errc::not_enough_memory).message();

/// Sockets need little: it may be there already. Sessions of shared memory need much more.
template <class T>
void check_refusal_for_memory(const std::string& said) {
    INFO(said);
    CHECK((said == no_memory || (std::is_same_v<T, UnixSocket> && said == "ok")));
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("a service whose descriptors run out in a flood of connects says so, sleeps, and goes on",
                        "[process][limits]", Transports) {
    ServicePeer<TestType> service({"handshake=2000"});
    REQUIRE(service.ready());
    ClientPeer<TestType> honest(service.name);
    REQUIRE(honest.connected());
    const auto before = service.status();
    const int crowd = effort(400, 1000);
    int sum = 0;
    for (const int left : {3, 0}) {
        Child flood("crowd", {word_for<TestType>(), service.name, "nofile=1100"});
        REQUIRE(flood.line() == "ready");
        {
            const Lowered limit(service.pid(), RLIMIT_NOFILE, descriptors_and(service.pid(), left));
            const auto computed_before = computed(service.pid());
            const auto start = std::chrono::steady_clock::now();
            REQUIRE(flood.ask("silent " + std::to_string(crowd)) == "silent");
            for (int i = 0; i < 100; ++i) CHECK(honest.ask("add") == "sum " + std::to_string(++sum));
            // Each hears a reason: few at a time are told that it is busy, and those who got in say nothing for too
            // long.
            flood.tell("told");
            CHECK(flood.line(10 * Child::patience) == "told=" + std::to_string(crowd));
            const auto lasted = std::chrono::steady_clock::now() - start;
            const auto spent = computed(service.pid()) - computed_before;
            INFO(spent / 1ms << " ms of " << lasted / 1ms << " ms");
            // A service that looks for descriptors again and again computes all the time.
            CHECK(spent < lasted / 2);
        }
        ClientPeer<TestType> newcomer(service.name);
        REQUIRE(newcomer.connected());
        CHECK(newcomer.ask("add") == "sum 1");
        newcomer.close_input();
        CHECK(exited_well(newcomer.wait()));
        CHECK(service.comes_to("fds", before.at("fds")));
        CHECK(service.comes_to("maps", before.at("maps")));
    }
    CHECK(service.status()["lost"] == 0);
    CHECK(service.stop());
}

TEMPLATE_LIST_TEST_CASE("who connects while a session's descriptors can't be had gets an error by name",
                        "[process][limits]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    ClientPeer<TestType> honest(service.name);
    REQUIRE(honest.connected());
    const auto before = service.status();
    for (int left = 0; left <= 5; ++left) {
        INFO(left << " descriptors left");
        {
            const Lowered limit(service.pid(), RLIMIT_NOFILE, descriptors_and(service.pid(), left));
            const auto client = Client<TestType>::connect(service.name, 200ms);
            if (!client) {
                INFO(client.error().message());
                CHECK((client.error() == errc::busy || client.error() == std::errc::too_many_files_open ||
                       client.error() == errc::timed_out));
            }
            CHECK((left != 0 || !client));
        }
        CHECK(honest.ask("add") == "sum " + std::to_string(left + 1));
        CHECK(Client<TestType>::connect(service.name, patience));
        CHECK(service.comes_to("fds", before.at("fds")));
        CHECK(service.comes_to("maps", before.at("maps")));
    }
    CHECK(service.stop());
}

TEMPLATE_LIST_TEST_CASE("a service without address space for a session says so, and goes on", "[process][limits]",
                        Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    ClientPeer<TestType> honest(service.name);
    REQUIRE(honest.ask("add").empty() == false);
    const auto before = service.status();
    {
        const Lowered limit(service.pid(), RLIMIT_AS, address_space(service.pid()));
        for (int i = 0; i < 3; ++i) {
            const auto client = Client<TestType>::connect(service.name, patience);
            check_refusal_for_memory<TestType>(client ? "ok" : client.error().message());
            CHECK(honest.ask("add").starts_with("sum "));
        }
    }
    CHECK(Client<TestType>::connect(service.name, patience));
    CHECK(service.comes_to("sessions", 1));
    CHECK(service.comes_to("fds", before.at("fds")));
    CHECK(service.comes_to("maps", before.at("maps")));
    CHECK(service.stop());
}

TEMPLATE_LIST_TEST_CASE("a client without address space for a connection gets an error, and its service goes on",
                        "[process][limits]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    const auto before = service.status();
    ClientPeer<TestType> client(service.name);
    REQUIRE(client.ask("connect") == "ok");  // once, for what a program needs at the first time only
    {
        const Lowered limit(client.pid(), RLIMIT_AS, address_space(client.pid()));
        for (int i = 0; i < 3; ++i) check_refusal_for_memory<TestType>(client.ask("connect"));
        CHECK(client.ask("add") == "sum 1");
    }
    CHECK(client.ask("connect") == "ok");
    CHECK(client.ask("add") == "sum 2");
    client.close_input();
    CHECK(exited_well(client.wait()));
    CHECK(service.comes_to("sessions", 0));
    CHECK(service.comes_to("fds", before.at("fds")));
    CHECK(service.comes_to("maps", before.at("maps")));
    CHECK(service.stop());
}

TEST_CASE("memory that may not be locked is an error where it was to be locked, and nowhere else",
          "[process][limits]") {
    // Root may lock what it likes.
    const auto here = as_user(2001);
    const auto refused = text_of(errc::memory_not_locked);
    for (const char* const bytes : {"0", "65536"}) {
        auto wanting = as_user(2001);
        wanting.push_back("pages=locked");
        wanting.push_back(std::string("locked=") + bytes);
        {
            ServicePeer<ShmRing> service(wanting);
            REQUIRE(service.ready());
            const auto before = service.status();
            ClientPeer<ShmRing> client(service.name, here);
            CHECK(client.said == "failed: " + refused);
            CHECK(service.status()["refused"] == 1);
            CHECK(service.comes_to("fds", before.at("fds")));
            CHECK(service.stop());
        }
        ServicePeer<ShmRing> service(here);
        REQUIRE(service.ready());
        const auto before = service.status();
        ClientPeer<ShmRing> client(service.name, wanting);
        CHECK(client.said == "failed: " + refused);
        CHECK(service.comes_to("fds", before.at("fds")));
        // Who doesn't ask for it doesn't need it.
        auto content = here;
        content.push_back(std::string("locked=") + bytes);
        CHECK(ClientPeer<ShmRing>(service.name, content).ask("add") == "sum 1");
        CHECK(service.stop());
    }
}

TEMPLATE_LIST_TEST_CASE("a full /dev/shm is nothing to either side", "[process][limits][root]", Transports) {
    if (!is_root()) return;
    if (Child("apart", {"full-shm", "peer", "descriptors"}).line().empty()) {
        WARN("not tested: a full /dev/shm, for this place has no mounts of its own");
        return;
    }
    const auto name = unique_name();
    Child service("apart", {"full-shm", "peer", "serve", word_for<TestType>(), name});
    REQUIRE(service.line() == "ready");
    Child client("apart", {"full-shm", "peer", "client", word_for<TestType>(), name});
    REQUIRE(client.line() == "connected");
    CHECK(client.ask("add") == "sum 1");
    CHECK(client.ask("wish 100 10000 1") == "ok");
    const auto events = client.ask("events 100");
    CHECK(events.starts_with("ticks=100 "));  // some were missed, perhaps, and sent again
    CHECK(events.ends_with(" wrong=0 ok"));
}
