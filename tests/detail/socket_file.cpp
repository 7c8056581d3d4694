// SPDX-License-Identifier: BSL-1.0
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sched.h>
#include <string>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <qbipc/detail/connecting.hpp>
#include <qbipc/detail/socket_file.hpp>

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/random.hpp"
#include "support/scoped_process_state.hpp"
#include "support/scratch_kernel.hpp"
#include "support/temporary_directory.hpp"

using namespace qbipc;
using namespace qbipc::detail;
using namespace qbipc::testing;
namespace files = std::filesystem;

namespace {

constexpr uid_t somebody = 2001;

Deadline soon() { return Deadline(std::chrono::minutes(1)); }

template <class Kernel = LinuxKernel>
auto claim(const std::string& path, const ServiceOptions& options = {}, DirectoryOwner keeper = DirectoryOwner::user) {
    return SocketFile<Kernel>::claim(path, keeper, options, soon());
}

struct stat status_of(const std::string& path) {
    struct stat status {};
    REQUIRE(::lstat(path.c_str(), &status) == 0);
    return status;
}

bool can_connect(const std::string& path) { return connect_to(*SocketAddress::file(path), soon()).has_value(); }

/// A socket file whose process has gone.
void leave_stale(const std::string& path, mode_t mode = 0666) {
    const auto address = SocketAddress::file(path);
    const Descriptor socket(LinuxKernel::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(LinuxKernel::bind(socket.get(), address->get(), address->size()) == 0);
    REQUIRE(::chmod(path.c_str(), mode) == 0);
}

/// A live socket of somebody else's program.
Descriptor stand_at(const std::string& path, int type = SOCK_STREAM) {
    const auto address = SocketAddress::file(path);
    Descriptor socket(LinuxKernel::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    REQUIRE(LinuxKernel::bind(socket.get(), address->get(), address->size()) == 0);
    if (type != SOCK_DGRAM) REQUIRE(LinuxKernel::listen(socket.get(), 0) == 0);
    return socket;
}

}  // namespace

TEST_CASE("a socket file has exactly the mode that was asked for, whatever the umask", "[socket file]") {
    const TemporaryDirectory directory;
    for (const mode_t mask : {0u, 022u, 077u, 0777u}) {
        const ScopedUmask scoped(mask);
        const auto path = directory / "socket";
        REQUIRE(claim(path));
        for (const mode_t mode : {0600u, 0660u, 0666u, 0620u, 0777u}) {
            ServiceOptions options;
            options.mode = mode;
            const auto file = claim(path, options);
            REQUIRE(file);
            CHECK((status_of(path).st_mode & 07777) == mode);
            CHECK(can_connect(path));
        }
        const auto file = claim(path);
        REQUIRE(file);
        CHECK((status_of(path).st_mode & 07777) == 0666);
    }
}

TEST_CASE("a socket file belongs to whom the options name", "[socket file]") {
    if (::geteuid() != 0) return;
    const TemporaryDirectory directory;
    const auto path = directory / "socket";
    for (const mode_t mask : {0u, 0777u}) {
        const ScopedUmask scoped(mask);
        ServiceOptions options;
        options.mode = 0640;
        options.owner = somebody;
        auto file = claim(path, options);
        REQUIRE(file);
        CHECK(status_of(path).st_uid == somebody);
        CHECK(status_of(path).st_gid == ::getegid());
        file = fail(std::error_code());
        options.group = somebody + 1;
        file = claim(path, options);
        REQUIRE(file);
        CHECK(status_of(path).st_uid == somebody);
        CHECK(status_of(path).st_gid == somebody + 1);
        CHECK((status_of(path).st_mode & 07777) == 0640);
    }
}

TEST_CASE("a user who may not give the file away gets an error and leaves no file", "[socket file]") {
    if (::geteuid() != 0) return;
    const TemporaryDirectory directory;
    REQUIRE(::chmod(directory.path().c_str(), 0777) == 0);
    const ScopedUser user(somebody);
    ServiceOptions options;
    options.owner = 0;
    CHECK(claim(directory / "socket", options).error() == std::errc::operation_not_permitted);
    CHECK(files::is_empty(directory.path()));
}

TEST_CASE("a service that ends leaves no file", "[socket file]") {
    const TemporaryDirectory directory;
    for (const auto keeper : {DirectoryOwner::user, DirectoryOwner::library}) {
        {
            auto file = claim(directory / "socket", {}, keeper);
            REQUIRE(file);
            CHECK(file->in_place());
            // Moving it about changes nothing.
            auto moved = std::move(*file);
            CHECK(can_connect(directory / "socket"));
        }
        CHECK(files::is_empty(directory.path()));
    }
}

TEST_CASE("a service whose name somebody else has taken leaves his file alone", "[socket file]") {
    const TemporaryDirectory directory;
    const auto path = directory / "socket";
    auto file = std::optional(claim(path));
    REQUIRE(*file);
    files::remove(path);
    CHECK_FALSE((*file)->in_place());
    {
        const auto theirs = stand_at(path);
        CHECK_FALSE((*file)->in_place());
        file.reset();
        CHECK(can_connect(path));
    }
    files::remove(path);
    file = claim(path);
    REQUIRE(*file);
    files::rename(path, directory / "renamed");
    std::ofstream(path) << "precious";
    file.reset();
    CHECK(files::is_regular_file(path));
}

namespace {

struct LockingKernel : LinuxKernel {
    static inline int locked = 0;
    static int flock(int fd, int operation) noexcept {
        locked += (operation & LOCK_EX) != 0;
        return LinuxKernel::flock(fd, operation);
    }
};

}  // namespace

TEST_CASE("whose file is gone waits for no lock to remove it", "[socket file]") {
    const TemporaryDirectory directory;
    auto file = std::optional(claim<LockingKernel>(directory / "socket"));
    REQUIRE(*file);
    const int before = LockingKernel::locked;
    CHECK(before == 1);
    files::remove(directory / "socket");
    file.reset();
    CHECK(LockingKernel::locked == before);
}

TEST_CASE("a forked child that ends leaves its parent's file alone", "[socket file]") {
    const TemporaryDirectory directory;
    auto file = std::optional(claim(directory / "socket"));
    REQUIRE(*file);
    const pid_t child = ::fork();
    if (child == 0) {
        file.reset();
        ::_exit(0);
    }
    REQUIRE(::waitpid(child, nullptr, 0) == child);
    CHECK((*file)->in_place());
    CHECK(can_connect(directory / "socket"));
}

TEST_CASE("a stale file is taken over, whatever mode it was left with", "[socket file]") {
    const TemporaryDirectory directory;
    const auto path = directory / "socket";
    const auto take_over = [&] {
        for (const mode_t mode : {0666u, 0600u, 0444u, 0u}) {
            leave_stale(path, mode);
            const auto file = claim(path);
            REQUIRE(file);
            CHECK((status_of(path).st_mode & 07777) == 0666);
            CHECK(can_connect(path));
        }
    };
    take_over();
    if (::geteuid() != 0) return;
    REQUIRE(::chmod(directory.path().c_str(), 0777) == 0);
    const ScopedUser user(somebody);  // to whom modes mean something
    take_over();
}

TEST_CASE("a live socket is never taken", "[socket file]") {
    const TemporaryDirectory directory;
    REQUIRE(::chmod(directory.path().c_str(), 0777) == 0);
    const auto path = directory / "socket";
    const auto in_use = make_error_code(errc::address_in_use);
    {
        const auto ours = claim(path);
        REQUIRE(ours);
        CHECK(claim(path).error() == in_use);
        CHECK(ours->in_place());
        CHECK(can_connect(path));
    }
    for (const int type : {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM}) {
        const auto theirs = stand_at(path, type);
        CHECK(claim(path).error() == in_use);
        files::remove(path);
    }
    {
        // With a full backlog.
        const auto theirs = stand_at(path);
        const auto address = SocketAddress::file(path);
        std::vector<Descriptor> waiting;
        int answer = 0;
        while (answer == 0) {
            waiting.emplace_back(LinuxKernel::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
            answer = LinuxKernel::connect(waiting.back().get(), address->get(), address->size());
        }
        REQUIRE(answer == -EAGAIN);
        CHECK(claim(path).error() == in_use);
        files::remove(path);
    }
    if (::geteuid() != 0) return;
    {
        // Of this user, who may not even write to it: looked at, and left as it was.
        const ScopedUser user(somebody);
        const auto theirs = stand_at(path);
        REQUIRE(::chmod(path.c_str(), 0444) == 0);
        CHECK(claim(path).error() == in_use);
        CHECK((status_of(path).st_mode & 07777) == 0444);
        files::remove(path);
    }
    // Of another user, who doesn't let us see whether it lives.
    const auto theirs = stand_at(path);
    REQUIRE(::chmod(path.c_str(), 0600) == 0);
    const ScopedUser user(somebody);
    CHECK(claim(path).error() == std::errc::permission_denied);
    CHECK((status_of(path).st_mode & 07777) == 0600);
}

TEST_CASE("what isn't a socket is left alone", "[socket file]") {
    const TemporaryDirectory directory;
    const auto path = directory / "socket";
    std::ofstream(directory / "precious") << "precious";
    REQUIRE(::chmod((directory / "precious").c_str(), 0600) == 0);
    const std::vector<std::pair<const char*, void (*)(const std::string&, const std::string&)>> things{
        {"file", [](auto& at, auto&) { std::ofstream(at) << "a file"; }},
        {"directory", [](auto& at, auto&) { files::create_directory(at); }},
        {"fifo", [](auto& at, auto&) { ::mkfifo(at.c_str(), 0600); }},
        {"link to a file", [](auto& at, auto& in) { files::create_symlink(in + "/precious", at); }},
        {"dangling link", [](auto& at, auto& in) { files::create_symlink(in + "/nowhere", at); }},
    };
    for (const auto& [what, make] : things) {
        INFO(what);
        make(path, directory.path());
        const auto before = status_of(path);
        CHECK(claim(path).error() == std::errc::file_exists);
        CHECK(status_of(path).st_ino == before.st_ino);
        CHECK(status_of(path).st_mode == before.st_mode);
        CHECK((status_of(directory / "precious").st_mode & 07777) == 0600);
        CHECK_FALSE(files::exists(directory / "nowhere"));
        files::remove(path);
    }
}

TEST_CASE("a place that can't be used is an error and leaves nothing", "[socket file]") {
    const TemporaryDirectory directory;
    CHECK(claim(directory / "none/socket").error() == std::errc::no_such_file_or_directory);
    CHECK(claim(directory / "").error() == make_error_code(errc::bad_name));
    CHECK(claim(directory / std::string(100, 'n')).error() == make_error_code(errc::name_too_long));
    RefusingKernel::refuse_nothing();
    RefusingKernel::listen_error = ENOBUFS;
    CHECK(claim<RefusingKernel>(directory / "socket").error() == std::errc::no_buffer_space);
    RefusingKernel::refuse_nothing();
    RefusingKernel::flock_error = ENOLCK;
    CHECK(claim<RefusingKernel>(directory / "socket").error() == std::errc::no_lock_available);
    RefusingKernel::refuse_nothing();
    CHECK(files::is_empty(directory.path()));
}

TEST_CASE("of four that take over a stale file one gets it, kills included", "[socket file]") {
    const TemporaryDirectory directory;
    const auto path = directory / "socket";
    constexpr int rounds = 400;
    constexpr std::size_t starters = 4;
    Random random(0x50f11e);
    const auto start = [&] {
        Child child("addresses", {"claim", path});
        REQUIRE(child.started());
        return child;
    };
    std::vector<Child> children;
    for (std::size_t i = 0; i < starters; ++i) children.push_back(start());
    leave_stale(path);

    int orderly = 0, killed = 0;
    for (int round = 0; round < rounds; ++round) {
        INFO("round " << round);
        for (auto& child : children) child.tell("claim");
        // In every other round one is killed somewhere on its way.
        const bool with_kill = random.one_in(2);
        const auto victim = random.below(starters);
        if (with_kill) {
            for (auto turns = random.below(40); turns > 0; --turns) ::sched_yield();
            children[victim].kill();
            children[victim] = start();
        }
        std::optional<std::size_t> owner;
        int owners = 0;
        const auto listen_to = [&](std::size_t i) {
            const auto answer = children[i].line();
            CHECK((answer == "owner" || answer == "in use"));
            if (answer != "owner") return;
            ++owners;
            owner = i;
        };
        for (std::size_t i = 0; i < starters; ++i)
            if (!with_kill || i != victim) listen_to(i);
        // The victim may have had it. Then the file is stale again, and the next one gets it.
        if (with_kill && owners == 0) {
            const auto next = (victim + 1) % starters;
            children[next].tell("claim");
            listen_to(next);
        }
        REQUIRE(owners == 1);
        CHECK(can_connect(path));
        if (random.one_in(2)) {
            children[*owner].tell("drop");
            REQUIRE(children[*owner].line() == "dropped");
            CHECK_FALSE(files::exists(path));
            ++orderly;
        } else {
            children[*owner].kill();
            CHECK(files::exists(path));
            children[*owner] = start();
            ++killed;
        }
    }
    CHECK(orderly > 0);
    CHECK(killed > 0);
    for (auto& child : children) {
        child.close_input();
        CHECK(WIFEXITED(child.wait()));
    }
}
