// SPDX-License-Identifier: BSL-1.0
// Processes that die: in a handler, in a wait, in the middle of a stream, again and again.
#include <array>
#include <atomic>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <optional>
#include <sys/mman.h>

#include "process/peers.hpp"

using namespace qbipc;
using namespace qbipc::testing;

TEMPLATE_LIST_TEST_CASE(
    "a service that dies in a handler ends a call without a deadline, after what it had sent [exit, server fail]",
    "[process][libqb]", Transports) {
    const std::uint32_t how = GENERATE(0u, 9u);  // exits, or is killed
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    auto client = Client<TestType>::connect(service.name, patience);
    REQUIRE(client);
    CHECK(error_of(client->call(Die{100, how}, forever)) == errc::disconnected);
    const int status = service.wait();
    CHECK((how == 0 ? exited_well(status) : was_killed(status)));
    CHECK_FALSE(client->alive());

    Events events;
    std::error_code error;
    while (!error) error = error_of(client->receive(events.selector(), forever));
    CHECK(error == errc::disconnected);
    CHECK(events.hellos == 3);
    CHECK(events.ticks == 100);
    CHECK(events.wrong == 0);
    CHECK(error_of(client->call(Add{}, forever)) == errc::disconnected);
    CHECK(error_of(client->send(Clear{}, forever)) == errc::disconnected);
    client->disconnect();
    CHECK(session_mappings() <= 2);
}

TEMPLATE_LIST_TEST_CASE("a client that only ever calls dispatch() learns that its service is gone", "[process]",
                        Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    auto client = Client<TestType>::connect(service.name, patience);
    REQUIRE(client);
    int ran = 0;
    std::error_code answered;
    REQUIRE(client->start(AnswerByEvents{}, forever, [&](Result<Sum> sum) {
        ++ran;
        answered = error_of(sum);
    }));
    CHECK(was_killed(service.kill()));
    Events events;
    std::error_code error;
    CHECK(eventually([&] { return bool(error = error_of(client->dispatch(events.selector()))); }));
    CHECK(error == errc::disconnected);
    CHECK(ran == 1);
    CHECK(answered == errc::disconnected);
}

TEMPLATE_LIST_TEST_CASE("a service that is killed ends every kind of wait without a deadline", "[process]",
                        Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    std::vector<ClientPeer<TestType>> clients;
    for (const std::string wait : {"call", "receive", "poll", "call", "receive", "poll"}) {
        clients.emplace_back(service.name);
        REQUIRE(clients.back().connected());
        clients.back().tell("wish 100 20 1");
        REQUIRE(clients.back().line() == "ok");
        REQUIRE(clients.back().ask("wait " + wait) == "waiting");
    }
    REQUIRE(service.comes_to("events", 6 * 103));
    CHECK(was_killed(service.kill()));
    for (auto& client : clients) {
        CHECK(client.line() == text_of(errc::disconnected) + " alive=0");
        // Those that waited for an answer take their events only now: they are there all the same.
        CHECK(client.ask("events 100") == "ticks=100 missed=0 wrong=0 ok");
        client.close_input();
        CHECK(exited_well(client.wait()));
    }
}

TEMPLATE_LIST_TEST_CASE("a client that dies is lost, one that ends says bye, and each has its on_disconnect once",
                        "[process]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    const auto before = service.status();
    ClientPeer<TestType> witness(service.name);
    REQUIRE(witness.connected());

    ClientPeer<TestType> killed(service.name), crashed(service.name), ending(service.name);
    REQUIRE(killed.connected());
    REQUIRE(crashed.connected());
    REQUIRE(ending.connected());
    killed.tell("wish 1000000 500 1");  // in the middle of a stream
    REQUIRE(killed.line() == "ok");
    CHECK(was_killed(killed.kill()));
    REQUIRE(service.comes_to("lost", 1));
    crashed.tell("crash");
    crashed.wait();
    REQUIRE(service.comes_to("lost", 2));
    ending.close_input();
    CHECK(exited_well(ending.wait()));
    REQUIRE(service.comes_to("bye", 1));

    CHECK(witness.ask("add") == "sum 1");
    CHECK(witness.ask("wish 10 100 1") == "ok");
    CHECK(witness.ask("events 10") == "ticks=10 missed=0 wrong=0 ok");
    CHECK(exited_well((witness.close_input(), witness.wait())));
    REQUIRE(service.comes_to("bye", 2));
    const auto after = service.status();
    CHECK(after.at("connects") == 4);
    CHECK(after.at("disconnects") == 4);
    CHECK(after.at("sessions") == 0);
    CHECK(after.at("fds") == before.at("fds"));
    CHECK(after.at("maps") == 0);
}

TEMPLATE_LIST_TEST_CASE("what a client had sent before it was killed is taken", "[process]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    ClientPeer<TestType> client(service.name);
    REQUIRE(client.connected());
    REQUIRE(client.ask("add") == "sum 1");
    service.signal(SIGSTOP);
    REQUIRE(client.ask("jots 50") == "jotted");
    CHECK(was_killed(client.kill()));
    service.signal(SIGCONT);
    REQUIRE(service.comes_to("disconnects", 1));
    const auto status = service.status();
    CHECK(status.at("jots") == 50);
    CHECK(status.at("gaps") == 0);
    CHECK(status.at("torn") == 0);
    CHECK(status.at("lost") == 1);
}

namespace {

/// A number that another process counts up, and that is still there when it was killed.
class Acknowledged {
public:
    explicit Acknowledged(std::string file) : path_(std::move(file)) {
        const int fd = ::open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || ::ftruncate(fd, sizeof(std::uint64_t)) != 0) std::abort();
        memory_ = ::mmap(nullptr, sizeof(std::uint64_t), PROT_READ, MAP_SHARED, fd, 0);
        ::close(fd);
        if (memory_ == MAP_FAILED) std::abort();
    }
    Acknowledged(const Acknowledged&) = delete;
    Acknowledged& operator=(const Acknowledged&) = delete;
    ~Acknowledged() { ::munmap(memory_, sizeof(std::uint64_t)); }
    const std::string& path() const { return path_; }
    std::uint64_t number() const { return static_cast<const volatile std::uint64_t*>(memory_)[0]; }

private:
    std::string path_;
    void* memory_;
};

/// A client that writes into the ledger until somebody dies.
template <class T>
struct Writer {
    Writer(const std::string& service, const TemporaryDirectory& directory, std::uint64_t number)
        : client(number),
          acknowledged(directory / ("acknowledged-" + std::to_string(number))),
          process("ledger", service, {"client=" + std::to_string(number), "acknowledged=" + acknowledged.path()}) {}

    /// Whether it is in: once it is, it stays.
    bool connected() {
        if (!connected_) connected_ = process.line() == "connected";
        return connected_;
    }

    std::uint64_t client;
    Acknowledged acknowledged;
    Peer<T> process;

private:
    bool connected_ = false;
};

/// Reads the whole ledger: client -> last sequence number. Each client's begin at 1 and miss none.
std::map<std::uint64_t, std::uint64_t> read_ledger(const std::string& file, std::uint64_t& wrong) {
    std::map<std::uint64_t, std::uint64_t> last;
    std::ifstream in(file, std::ios::binary);
    LedgerEntry entry;
    while (in.read(reinterpret_cast<char*>(&entry), sizeof entry)) {
        wrong += entry.sequence == last[entry.client] + 1 ? 0u : 1u;
        last[entry.client] = entry.sequence;
    }
    return last;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("processes killed at random lose nothing that was acknowledged, and leave nothing behind",
                        "[process]", Transports) {
    constexpr int kills = 150;
    constexpr std::size_t writers_at_once = 3;
    Random random(std::is_same_v<TestType, ShmRing> ? 71 : 72);
    const TemporaryDirectory directory;
    const auto ledger = directory / "ledger";
    const auto before = left_behind();
    const int descriptors = open_descriptors(), mappings = session_mappings();
    std::uint64_t next_client = 0, acknowledged = 0, service_kills = 0, client_kills = 0;
    {
        const auto name = unique_name();
        const auto start_service = [&] {
            auto service = std::make_unique<ServicePeer<TestType>>(std::vector<std::string>{"ledger=" + ledger}, name);
            REQUIRE(service->ready());
            return service;
        };
        auto service = start_service();
        Status baseline = service->status();
        std::vector<std::unique_ptr<Writer<TestType>>> writers;
        std::vector<std::pair<std::uint64_t, std::uint64_t>> promised;  // client, its last acknowledged
        const auto bury = [&](std::unique_ptr<Writer<TestType>>& writer, bool killed) {
            const int status = killed ? writer->process.kill() : writer->process.wait();
            INFO("client " << writer->client << " status " << status);
            CHECK((killed ? was_killed(status) || exited_well(status) : exited_well(status)));
            promised.emplace_back(writer->client, writer->acknowledged.number());
            acknowledged += writer->acknowledged.number();
        };
        const auto start_writer = [&] { return std::make_unique<Writer<TestType>>(name, directory, ++next_client); };
        for (std::size_t i = 0; i < writers_at_once; ++i) writers.push_back(start_writer());

        for (int kill = 0; kill < kills; ++kill) {
            // Not a wait for anything: where in their work it finds them is what is drawn at random.
            std::this_thread::sleep_for(std::chrono::microseconds(random.below(15'000)));
            if (random.one_in(6)) {
                ++service_kills;
                // Everyone has to be in before: who finds no service isn't what is tried here.
                for (auto& writer : writers) REQUIRE(writer->connected());
                CHECK(was_killed(service->kill()));
                for (auto& writer : writers) bury(writer, false);
                service = start_service();
                for (auto& writer : writers) writer = start_writer();
            } else {
                ++client_kills;
                auto& writer = writers[random.below(writers.size())];
                bury(writer, true);
                writer = start_writer();
            }
        }
        for (auto& writer : writers) {
            CHECK(eventually([&] { return writer->acknowledged.number() > 0; }));  // they still work
            bury(writer, true);
        }
        writers.clear();
        REQUIRE(service->comes_to("sessions", 0));
        REQUIRE(service->comes_to("half_open", 0));
        const auto status = service->status();
        CHECK(status.at("connects") == status.at("disconnects"));
        CHECK(status.at("torn") == 0);
        CHECK(status.at("gaps") == 0);
        CHECK(status.at("violation") == 0);
        CHECK(status.at("fds") == baseline.at("fds"));
        CHECK(status.at("maps") == 0);
        CHECK(service->stop());

        std::uint64_t wrong = 0;
        auto last = read_ledger(ledger, wrong);
        CHECK(wrong == 0);
        for (const auto& [client, number] : promised) {
            INFO("client " << client << " was promised " << number << ", written " << last[client]);
            CHECK(last[client] >= number);
        }
    }
    INFO(client_kills << " clients and " << service_kills << " services killed, " << acknowledged
                      << " notes acknowledged");
    CHECK(acknowledged > 0);
    CHECK(open_descriptors() == descriptors);
    CHECK(session_mappings() == mappings);
    CHECK(left_behind() == before);
}

TEMPLATE_LIST_TEST_CASE("a stopped client keeps nobody else waiting, and sees afterwards what it missed", "[process]",
                        Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    ClientPeer<TestType> stopped(service.name);
    REQUIRE(stopped.connected());
    REQUIRE(stopped.ask("add") == "sum 1");
    // More than its lane holds, dropped where there is no room.
    stopped.tell("wish 20000 400 0");
    REQUIRE(stopped.line() == "ok");
    stopped.signal(SIGSTOP);
    auto client = Client<TestType>::connect(service.name, patience);
    REQUIRE(client);
    for (int i = 1; i <= 1'000; ++i) REQUIRE(client->call(Add{1, 0}, patience)->value == i);
    Events events;
    REQUIRE(client->send(Wish{1'000, 100, 0, 1}));
    CHECK_FALSE(events.take(*client, 1'000));
    CHECK(service.comes_to("sessions", 2));
    CHECK(service.status()["lane_full"] > 0);
    stopped.signal(SIGCONT);
    // What it missed shows in the number of the next one.
    CHECK_FALSE(stopped.ask("take").empty());
    REQUIRE(stopped.ask("wish 1 0 1") == "ok");
    const auto seen = stopped.ask("events 20001");
    INFO(seen);
    long long ticks = 0, missed = 0, wrong = 0;
    REQUIRE(std::sscanf(seen.c_str(), "ticks=%lld missed=%lld wrong=%lld", &ticks, &missed, &wrong) == 3);
    CHECK(wrong == 0);
    CHECK(ticks + missed == 20'001);
    CHECK(missed > 0);
}
