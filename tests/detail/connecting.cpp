// SPDX-License-Identifier: BSL-1.0
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <qbipc/detail/connecting.hpp>
#include <qbipc/detail/listening_socket.hpp>
#include <qbipc/detail/socket_file.hpp>

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/scoped_process_state.hpp"
#include "support/scratch_kernel.hpp"
#include "support/temporary_directory.hpp"

using namespace qbipc;
using namespace qbipc::detail;
using namespace qbipc::testing;
namespace files = std::filesystem;

namespace {

constexpr auto anybody = [](const Credentials&) { return std::error_code(); };

/// A directory with runtime directories and a flag, long unchanged, in it; and a name of this process's own.
struct Surroundings {
    Surroundings() {
        CountingKernel::connects = 0;
        VirtualTimeKernel::begin();
        ScratchKernel::use(directory.path());
        if (::geteuid() != 0) ScratchKernel::variable = directory.path();
        const auto own = own_library_directory<ScratchKernel>();
        REQUIRE(own);
        REQUIRE(open_library_directory<LinuxKernel>(*own));
        file = *own + '/' + name;
        files::create_directory(directory / "etc");
        options.flag_file = directory / "etc/flag";
        flag_is_old();
    }
    ~Surroundings() { ScratchKernel::use(""); }

    void raise_flag() const { std::ofstream made(options.flag_file); }
    void flag_is_old() const {
        files::last_write_time(directory / "etc", files::file_time_type::clock::now() - std::chrono::hours(1));
    }
    Descriptor at_abstract() const { return *listen_abstract(*SocketAddress::abstract(name)); }
    SocketFile<> at_file() const {
        auto claimed = SocketFile<>::claim(file, DirectoryOwner::user, {}, forever);
        REQUIRE(claimed);
        return *std::move(claimed);
    }

    TemporaryDirectory directory;
    std::string name = "test-connecting-" + std::to_string(::getpid());
    std::string file;  // of that name
    Options options;
};

Deadline soon() { return Deadline(std::chrono::minutes(1)); }

/// What an attempt found: whether the place was a file.
Result<bool> tell_place(Descriptor& socket, const Credentials&) {
    sockaddr_un peer{};
    socklen_t size = sizeof peer;
    REQUIRE(::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&peer), &size) == 0);
    return peer.sun_path[0] != '\0';
}

template <class Kernel = ScratchKernel, class Attempt>
auto connect(const Address& address, const Options& options, Deadline deadline, Attempt attempt) {
    return connect_socket<Kernel>(address, options, deadline, CredentialCheck(anybody), attempt);
}

Deadline virtual_deadline(Clock::duration span) { return Deadline(VirtualTimeKernel::now() + span); }

/// A listener at `path` with no room left for anybody, and those who took it.
struct FullBacklog {
    explicit FullBacklog(const std::string& path) : address(*SocketAddress::file(path)) {
        listener.reset(LinuxKernel::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        REQUIRE(LinuxKernel::bind(listener.get(), address.get(), address.size()) == 0);
        REQUIRE(LinuxKernel::listen(listener.get(), 0) == 0);
        int answer = 0;
        while (answer == 0) {
            waiting.emplace_back(LinuxKernel::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
            answer = LinuxKernel::connect(waiting.back().get(), address.get(), address.size());
        }
        REQUIRE(answer == -EAGAIN);
    }

    SocketAddress address;
    Descriptor listener;
    std::vector<Descriptor> waiting;
};

}  // namespace

TEST_CASE("a client finds a service at its abstract socket, file or path, as the flag says", "[connecting]") {
    const Surroundings around;
    const auto abstract = around.at_abstract();
    CHECK(connect(around.name, around.options, soon(), tell_place) == false);
    const auto file = around.at_file();
    CHECK(connect(around.name, around.options, soon(), tell_place) == false);
    around.raise_flag();
    CHECK(connect(around.name, around.options, soon(), tell_place) == true);
    CHECK(connect(Address::path(around.file), Options{}, soon(), tell_place) == true);
}

TEST_CASE("the connected socket doesn't block, and is closed on exec", "[connecting]") {
    const Surroundings around;
    const auto abstract = around.at_abstract();
    auto socket = connect(around.name, around.options, soon(),
                          [](Descriptor& connected, const Credentials& service) -> Result<Descriptor> {
                              CHECK(service.uid == ::geteuid());
                              CHECK(service.pid == ::getpid());
                              return std::move(connected);
                          });
    REQUIRE(socket);
    CHECK((LinuxKernel::fcntl(socket->get(), F_GETFL) & O_NONBLOCK) != 0);
    CHECK((LinuxKernel::fcntl(socket->get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("while the flag is up a client never tries the abstract socket", "[connecting]") {
    const Surroundings around;
    around.raise_flag();
    around.flag_is_old();
    const auto abstract = around.at_abstract();
    const auto outcome =
        connect<VirtualTimeKernel>(around.name, around.options, virtual_deadline(std::chrono::hours(1)), tell_place);
    CHECK(outcome.error() == make_error_code(errc::no_service));
    CHECK(LinuxKernel::accept4(abstract.get(), nullptr, nullptr, 0) == -EAGAIN);
}

TEST_CASE("with the flag down and no abstract socket a client tries the file", "[connecting]") {
    const Surroundings around;
    const auto file = around.at_file();
    CHECK(connect(around.name, around.options, soon(), tell_place) == true);
}

TEST_CASE("an absent service is given 50 ms, and a second look or more", "[connecting]") {
    const Surroundings around;
    const auto no_service = make_error_code(errc::no_service);
    const auto attempt_at = [&](const Address& address, Clock::duration limit) {
        VirtualTimeKernel::begin();
        const auto deadline = virtual_deadline(limit);
        return connect<VirtualTimeKernel>(address, around.options, deadline, tell_place).error();
    };
    for (const auto& address :
         {Address(around.name), Address::path(around.file), Address::path(around.directory / "none/socket")}) {
        CountingKernel::connects = 0;
        CHECK(attempt_at(address, std::chrono::hours(1)) == no_service);
        CHECK(CountingKernel::connects >= 3);
        CHECK(CountingKernel::connects <= 50);
        CHECK(VirtualTimeKernel::passed >= std::chrono::milliseconds(50));
        CHECK(VirtualTimeKernel::passed <= std::chrono::milliseconds(100));
        CHECK(attempt_at(address, std::chrono::milliseconds(10)) == no_service);
        CHECK(VirtualTimeKernel::passed == std::chrono::milliseconds(10));
        CHECK(attempt_at(address, Clock::duration::zero()) == no_service);
        CHECK(VirtualTimeKernel::passed == Clock::duration::zero());
    }
    CHECK(connect(Address::path(around.file), around.options, soon(), tell_place).error() == no_service);
}

TEST_CASE("where the flag has just changed an absent service is given two seconds", "[connecting]") {
    const Surroundings around;
    around.raise_flag();
    VirtualTimeKernel::begin();
    // However long it took to come here, the flag is of the moment in which virtual time stands.
    const timespec now[2]{VirtualTimeKernel::wall_start, VirtualTimeKernel::wall_start};
    REQUIRE(::utimensat(AT_FDCWD, files::path(around.options.flag_file).parent_path().c_str(), now, 0) == 0);
    CHECK(connect<VirtualTimeKernel>(around.name, around.options, virtual_deadline(std::chrono::hours(1)), tell_place)
              .error() == make_error_code(errc::no_service));
    CHECK(VirtualTimeKernel::passed >= std::chrono::milliseconds(1900));
    CHECK(VirtualTimeKernel::passed <= std::chrono::milliseconds(2200));
    // A path has nothing to do with the flag.
    VirtualTimeKernel::begin();
    around.raise_flag();
    CHECK_FALSE(connect<VirtualTimeKernel>(Address::path(around.file), around.options,
                                           virtual_deadline(std::chrono::hours(1)), tell_place));
    CHECK(VirtualTimeKernel::passed <= std::chrono::milliseconds(100));
}

TEST_CASE("a client that is told to waits for the service until the deadline", "[connecting]") {
    Surroundings around;
    around.options.wait_for_service = true;
    CHECK(connect<VirtualTimeKernel>(around.name, around.options, virtual_deadline(std::chrono::minutes(1)), tell_place)
              .error() == make_error_code(errc::no_service));
    CHECK(VirtualTimeKernel::passed == std::chrono::minutes(1));

    // It comes when the client has looked ten times.
    static std::function<void()> on_sleep;
    struct LateService : ScratchKernel {
        static int sleep(const timespec& span) noexcept {
            on_sleep();
            return LinuxKernel::sleep(span);
        }
    };
    std::optional<Descriptor> service;
    int sleeps = 0;
    on_sleep = [&] {
        if (++sleeps == 10) service = around.at_abstract();
    };
    CHECK(connect<LateService>(around.name, around.options, forever, tell_place) == false);
    CHECK(sleeps == 10);
}

TEST_CASE("a client told that the service moved looks at the file, and at the flag again", "[connecting]") {
    const Surroundings around;
    const auto abstract = around.at_abstract();
    const auto file = around.at_file();
    std::vector<bool> tried;
    const auto outcome = connect(around.name, around.options, soon(), [&](Descriptor& socket, const Credentials& who) {
        const auto place = tell_place(socket, who);
        tried.push_back(*place);
        if (tried.size() < 4) return Result<bool>(fail(moved_error()));
        return place;
    });
    CHECK(outcome == true);
    CHECK(tried == std::vector<bool>{false, true, false, true});
}

TEST_CASE("moved to nowhere ends at the deadline", "[connecting]") {
    const Surroundings around;
    const auto abstract = around.at_abstract();
    const auto outcome =
        connect<VirtualTimeKernel>(around.name, around.options, virtual_deadline(std::chrono::seconds(10)),
                                   [](Descriptor&, const Credentials&) -> Result<int> { return fail(moved_error()); });
    CHECK(outcome.error() == make_error_code(errc::timed_out));
    CHECK(VirtualTimeKernel::passed >= std::chrono::seconds(10));
}

TEST_CASE("a busy service is asked again until the deadline, with growing pauses", "[connecting]") {
    const Surroundings around;
    const auto abstract = around.at_abstract();
    int attempts = 0;
    const auto busy = [&](Descriptor&, const Credentials&) -> Result<int> {
        // The crowd in the real backlog would end the test instead.
        LinuxKernel::close(LinuxKernel::accept4(abstract.get(), nullptr, nullptr, 0));
        if (++attempts == 5) return 42;
        return fail(errc::busy);
    };
    CHECK(connect<VirtualTimeKernel>(around.name, around.options, virtual_deadline(std::chrono::hours(1)), busy) == 42);
    CHECK(VirtualTimeKernel::passed == std::chrono::milliseconds(1 + 2 + 4 + 8));
    VirtualTimeKernel::begin();
    attempts = 5;
    CHECK(connect<VirtualTimeKernel>(around.name, around.options, virtual_deadline(std::chrono::seconds(10)), busy)
              .error() == make_error_code(errc::busy));
    CHECK(VirtualTimeKernel::passed == std::chrono::seconds(10));
    CHECK(attempts > 100);
    CHECK(attempts < 300);
}

TEST_CASE("any other answer of the handshake is the answer", "[connecting]") {
    const Surroundings around;
    const auto abstract = around.at_abstract();
    for (const auto code : {errc::not_permitted, errc::too_many_sessions, errc::disconnected, errc::timed_out}) {
        int attempts = 0;
        const auto outcome =
            connect(around.name, around.options, forever, [&](Descriptor&, const Credentials&) -> Result<int> {
                ++attempts;
                return fail(code);
            });
        CHECK(outcome.error() == make_error_code(code));
        CHECK(attempts == 1);
    }
}

TEST_CASE("an impostor gets not a byte, and the check's reason is the client's", "[connecting]") {
    const Surroundings around;
    const auto impostor = around.at_abstract();
    const auto nobody = [](const Credentials& who) {
        CHECK(who.uid == ::geteuid());
        return make_error_code(std::errc::owner_dead);
    };
    const auto never = [](Descriptor&, const Credentials&) -> Result<int> {
        FAIL("shook hands with an impostor");
        return 0;
    };
    const auto outcome =
        connect_socket<ScratchKernel>(around.name, around.options, forever, CredentialCheck(nobody), never);
    CHECK(outcome.error() == std::errc::owner_dead);
    const Descriptor visitor(LinuxKernel::accept4(impostor.get(), nullptr, nullptr, SOCK_CLOEXEC));
    char byte = 0;
    CHECK(LinuxKernel::recv(visitor.get(), &byte, 1, 0) == 0);
    CHECK(LinuxKernel::accept4(impostor.get(), nullptr, nullptr, 0) == -EAGAIN);
}

TEST_CASE("an impostor at one place doesn't hide the service at another", "[connecting]") {
    if (::geteuid() != 0) return;  // to be two users
    const Surroundings around;
    std::optional<Descriptor> impostor;
    {
        const ScopedUser stranger(2001);
        impostor = around.at_abstract();
    }
    const auto file = around.at_file();
    const auto root_only = [](const Credentials& who) {
        return who.uid == 0 ? std::error_code() : make_error_code(errc::wrong_service);
    };
    CHECK(connect_socket<ScratchKernel>(around.name, around.options, soon(), CredentialCheck(root_only), tell_place) ==
          true);
}

TEST_CASE("credentials that can't be had are a refusal", "[connecting]") {
    struct NoCredentials : ScratchKernel {
        static int getsockopt(int, int, int, void*, socklen_t*) noexcept { return -ENOPROTOOPT; }
    };
    const Surroundings around;
    const auto abstract = around.at_abstract();
    CHECK(connect<NoCredentials>(around.name, around.options, forever, tell_place).error() ==
          std::errc::no_protocol_option);
}

TEST_CASE("a client whose policy names one user looks into that user's directory", "[connecting]") {
    const Surroundings around;
    const auto theirs = ScratchKernel::users + "/4242/qbipc";
    files::create_directories(theirs);
    const auto file = SocketFile<>::claim(theirs + '/' + around.name, DirectoryOwner::user, {}, forever);
    REQUIRE(file);
    const auto with = [&](std::optional<uid_t> only) {
        return connect_socket<ScratchKernel>(around.name, around.options, soon(), CredentialCheck(anybody, only),
                                             tell_place);
    };
    CHECK(with(std::nullopt).error() == make_error_code(errc::no_service));
    CHECK(with(4242) == true);
}

TEST_CASE("a file that its mode closes to the client is a matter of permission, an unreachable one is not",
          "[connecting]") {
    if (::geteuid() != 0) return;
    const Surroundings around;
    REQUIRE(::chmod(around.directory.path().c_str(), 0755) == 0);
    ServiceOptions closed;
    closed.mode = 0600;
    const auto file = SocketFile<>::claim(around.file, DirectoryOwner::library, closed, forever);
    REQUIRE(file);
    {
        const ScopedUser other(2001);
        CHECK(connect(around.name, around.options, soon(), tell_place).error() == std::errc::permission_denied);
    }
    REQUIRE(::chmod(around.directory.path().c_str(), 0700) == 0);
    const ScopedUser other(2001);
    VirtualTimeKernel::begin();  // what this user sees of the flag is the busy directory above
    CHECK(connect<VirtualTimeKernel>(around.name, around.options, virtual_deadline(std::chrono::hours(1)), tell_place)
              .error() == make_error_code(errc::no_service));
}

TEST_CASE("bad names are told at once", "[connecting]") {
    const Surroundings around;
    CHECK(connect("a/b", around.options, forever, tell_place).error() == make_error_code(errc::bad_name));
    CHECK(connect(std::string(91, 'n'), around.options, forever, tell_place).error() ==
          make_error_code(errc::name_too_long));
    CHECK(connect(Address::path(std::string(108, 'p')), around.options, forever, tell_place).error() ==
          make_error_code(errc::name_too_long));
    CHECK(connect(Address::listening_descriptor(0), around.options, forever, tell_place).error() ==
          make_error_code(errc::bad_name));
}

TEST_CASE("a full backlog neither fails nor spins: the client waits to its deadline", "[connecting]") {
    const Surroundings around;
    const FullBacklog full(around.directory / "full");
    const auto outcome = connect<CountingKernel>(Address::path(around.directory / "full"), around.options,
                                                 Deadline(std::chrono::milliseconds(300)), tell_place);
    CHECK(outcome.error() == make_error_code(errc::timed_out));
    CHECK(CountingKernel::connects >= 1);
    CHECK(CountingKernel::connects <= 10);
    const auto no_time = connect<CountingKernel>(Address::path(around.directory / "full"), around.options,
                                                 Clock::time_point::min(), tell_place);
    CHECK(no_time.error() == make_error_code(errc::timed_out));
}

TEST_CASE("signals don't cut the wait for a full backlog", "[connecting]") {
    const Surroundings around;
    const FullBacklog full(around.directory / "full");
    static std::atomic<int> signals;
    signals = 0;
    struct sigaction action {
    }, before{};
    action.sa_handler = [](int) { ++signals; };  // without SA_RESTART
    REQUIRE(::sigaction(SIGALRM, &action, &before) == 0);
    const itimerval often{{0, 5000}, {0, 5000}}, never{};
    REQUIRE(::setitimer(ITIMER_REAL, &often, nullptr) == 0);
    const auto outcome = connect(Address::path(around.directory / "full"), around.options,
                                 Deadline(std::chrono::milliseconds(300)), tell_place);
    ::setitimer(ITIMER_REAL, &never, nullptr);
    ::sigaction(SIGALRM, &before, nullptr);
    CHECK(outcome.error() == make_error_code(errc::timed_out));
    CHECK(signals > 0);
}

TEST_CASE("a client that waits for a full backlog gets in when there is room", "[connecting]") {
    const Surroundings around;
    FullBacklog full(around.directory / "full");
    std::thread room([&] {
        while (CountingKernel::connects == 0) std::this_thread::yield();
        LinuxKernel::close(LinuxKernel::accept4(full.listener.get(), nullptr, nullptr, 0));
    });
    const auto outcome = connect_socket<CountingKernel>(Address::path(around.directory / "full"), around.options,
                                                        soon(), CredentialCheck(anybody), tell_place);
    room.join();
    CHECK(outcome == true);
}

TEST_CASE("no connect fails while the flag is toggled every 20 ms for 10 s", "[connecting]") {
    const Surroundings around;
    const auto& flag = around.options.flag_file;
    Child service("addresses", {"serve", around.name, flag, around.directory.path()});
    REQUIRE(service.started());
    REQUIRE(service.line() == "ready");
    // It hears of the flag in its own time, and clients give it two seconds of that.
    around.raise_flag();
    for (const auto end = Clock::now() + Child::patience; !connect_to(*SocketAddress::file(around.file), soon());)
        REQUIRE(Clock::now() < end);
    files::remove(flag);
    std::vector<Child> clients;
    for (int i = 0; i < 4; ++i) {
        clients.emplace_back("addresses",
                             std::initializer_list<std::string>{"visit", around.name, flag, around.directory.path()});
        REQUIRE(clients.back().started());
    }
    const auto start = Clock::now();
    for (int toggle = 0; toggle < 500; ++toggle) {
        if (toggle % 2 == 0)
            around.raise_flag();
        else
            files::remove(flag);
        std::this_thread::sleep_until(start + (toggle + 1) * std::chrono::milliseconds(20));
    }
    int by_file = 0, by_abstract = 0;
    for (auto& client : clients) {
        client.close_input();
        std::istringstream line(client.line());
        int files_found = 0, abstract_found = 0, failed = -1;
        std::string first_failure;
        line >> files_found >> abstract_found >> failed;
        std::getline(line, first_failure);
        INFO(first_failure);
        CHECK(failed == 0);
        by_file += files_found;
        by_abstract += abstract_found;
        CHECK(WIFEXITED(client.wait()));
    }
    // Both sides of the flag were seen, and so was the way between them.
    CHECK(by_file > 0);
    CHECK(by_abstract > 0);
    service.close_input();
    std::istringstream line(service.line());
    int welcome = 0, moved = 0, errors = -1;
    line >> welcome >> moved >> errors;
    CHECK(welcome >= by_file + by_abstract);
    CHECK(moved > 0);
    CHECK(errors == 0);
    CHECK(WIFEXITED(service.wait()));
    CHECK_FALSE(files::exists(around.file));
}
