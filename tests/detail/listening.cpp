// SPDX-License-Identifier: BSL-1.0
#include <arpa/inet.h>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <netinet/in.h>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <qbipc/detail/connecting.hpp>
#include <qbipc/detail/listening.hpp>

#include "support/catch.hpp"
#include "support/scoped_process_state.hpp"
#include "support/scratch_kernel.hpp"
#include "support/temporary_directory.hpp"

using namespace qbipc;
using namespace qbipc::detail;
using namespace qbipc::testing;
namespace files = std::filesystem;

static_assert(std::movable<Listening<>>);

namespace {

/// A directory with runtime directories and a flag in it, and a name of this process's own.
struct Surroundings {
    Surroundings() {
        RefusingKernel::refuse_nothing();
        ScratchKernel::use(directory.path());
        options.flag_file = directory / "flag";
        if (::geteuid() != 0) ScratchKernel::variable = directory.path();
        const auto own = own_library_directory<ScratchKernel>();
        REQUIRE(own);
        file = *own + '/' + name;
    }
    ~Surroundings() {
        RefusingKernel::refuse_nothing();
        ScratchKernel::use("");
    }

    void raise_flag() const { std::ofstream made(options.flag_file); }
    void lower_flag() const { files::remove(options.flag_file); }
    SocketAddress abstract() const { return *SocketAddress::abstract(name); }
    SocketAddress path() const { return *SocketAddress::file(file); }

    TemporaryDirectory directory;
    std::string name = "test-listening-" + std::to_string(::getpid());
    std::string file;  // of that name
    ServiceOptions options;
};

Deadline soon() { return Deadline(std::chrono::minutes(1)); }

template <class Kernel = ScratchKernel>
Listening<Kernel> listen_at(const Address& address, const ServiceOptions& options) {
    auto listening = Listening<Kernel>::open(address, options);
    REQUIRE(listening);
    return *std::move(listening);
}

Result<Descriptor> arrive(const SocketAddress& address) {
    auto socket = Descriptor::from(LinuxKernel::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    REQUIRE(socket);
    const int error = LinuxKernel::connect(socket->get(), address.get(), address.size());
    if (error < 0) return fail_system(-error);
    return socket;
}

template <class Kernel>
bool announces(const Listening<Kernel>& listening, Deadline deadline = soon()) {
    pollfd descriptor{listening.fd(), POLLIN, 0};
    return poll_until(&descriptor, 1, deadline) == 1;
}

/// A service's loop, until `done` or for a minute.
template <class Kernel, class Done>
bool run_until(Listening<Kernel>& listening, Done done) {
    const auto deadline = soon();
    while (!done()) {
        if (!announces(listening, deadline)) return false;
        const auto nobody = listening.accept();
        if (!nobody || *nobody) return false;
    }
    return true;
}

template <class Kernel>
Accepted next(Listening<Kernel>& listening) {
    REQUIRE(announces(listening));
    for (;;) {
        auto visitor = listening.accept();
        REQUIRE(visitor);
        if (*visitor) return **std::move(visitor);
        REQUIRE(announces(listening));
    }
}

template <class Kernel>
bool nobody_waits(Listening<Kernel>& listening) {
    const auto visitor = listening.accept();
    return visitor && !*visitor;
}

}  // namespace

TEST_CASE("a service at a name is reached at its abstract socket and leaves no file", "[listening]") {
    const Surroundings around;
    auto listening = listen_at(around.name, around.options);
    CHECK(nobody_waits(listening));
    CHECK_FALSE(announces(listening, Clock::time_point::min()));
    const auto client = arrive(around.abstract());
    REQUIRE(client);
    const auto visitor = next(listening);
    CHECK(visitor.credentials.uid == ::geteuid());
    CHECK(visitor.credentials.pid == ::getpid());
    CHECK_FALSE(visitor.moved);
    CHECK_FALSE(visitor.refusal);
    CHECK((LinuxKernel::fcntl(visitor.socket.get(), F_GETFL) & O_NONBLOCK) != 0);
    CHECK((LinuxKernel::fcntl(visitor.socket.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(nobody_waits(listening));
    CHECK_FALSE(announces(listening, Clock::time_point::min()));
    CHECK(files::is_empty(around.directory.path()));
}

TEST_CASE("while the flag is up a service at a name is reached at its file, and removes it", "[listening]") {
    const Surroundings around;
    around.raise_flag();
    {
        auto listening = listen_at(around.name, around.options);
        CHECK_FALSE(arrive(around.abstract()));
        const auto client = arrive(around.path());
        REQUIRE(client);
        CHECK_FALSE(next(listening).moved);
        struct stat status {};
        REQUIRE(::stat(files::path(around.file).parent_path().c_str(), &status) == 0);
        CHECK((status.st_mode & 07777) == 0711);
    }
    CHECK_FALSE(files::exists(around.file));
}

TEST_CASE("a name, a file or a path that a live service has is in use", "[listening]") {
    const Surroundings around;
    const auto in_use = make_error_code(errc::address_in_use);
    const auto by_name = listen_at(around.name, around.options);
    CHECK(Listening<ScratchKernel>::open(around.name, around.options).error() == in_use);
    const auto path = Address::path(around.directory / "socket");
    const auto by_path = listen_at(path, around.options);
    CHECK(Listening<ScratchKernel>::open(path, around.options).error() == in_use);
    around.raise_flag();
    const auto by_file = listen_at(around.name, around.options);
    CHECK(Listening<ScratchKernel>::open(around.name, around.options).error() == in_use);
}

TEST_CASE("an address that is none is an error", "[listening]") {
    const Surroundings around;
    CHECK(Listening<ScratchKernel>::open("a/b", around.options).error() == make_error_code(errc::bad_name));
    CHECK(Listening<ScratchKernel>::open("", around.options).error() == make_error_code(errc::bad_name));
    CHECK(Listening<ScratchKernel>::open(std::string(91, 'n'), around.options).error() ==
          make_error_code(errc::name_too_long));
    CHECK(Listening<ScratchKernel>::open(Address::path(std::string(108, 'p')), around.options).error() ==
          make_error_code(errc::name_too_long));
    around.raise_flag();
    ScratchKernel::user = 4000000000u;
    ScratchKernel::variable.reset();
    CHECK(Listening<ScratchKernel>::open(around.name, around.options).error() ==
          make_error_code(errc::no_runtime_directory));
}

TEST_CASE("when the flag changes the new door opens without a visitor, and the old one says moved", "[listening]") {
    const Surroundings around;
    auto listening = listen_at(around.name, around.options);
    for (int round = 0; round < 3; ++round) {
        const auto early = arrive(around.abstract());
        REQUIRE(early);
        CHECK_FALSE(next(listening).moved);
        around.raise_flag();
        REQUIRE(run_until(listening, [&] { return arrive(around.path()).has_value(); }));
        CHECK_FALSE(next(listening).moved);
        const auto late = arrive(around.abstract());
        REQUIRE(late);
        CHECK(next(listening).moved);
        around.lower_flag();
        const auto by_file = arrive(around.path());
        REQUIRE(by_file);
        CHECK(next(listening).moved);
    }
    CHECK_FALSE(listening.trouble());
}

TEST_CASE("who comes right after the flag changed finds the other door open when he hears moved", "[listening]") {
    const Surroundings around;
    auto listening = listen_at(around.name, around.options);
    const auto on_his_way = arrive(around.abstract());
    REQUIRE(on_his_way);
    around.raise_flag();
    const auto visitor = listening.accept();
    REQUIRE((visitor && *visitor));
    CHECK((*visitor)->moved);
    CHECK(arrive(around.path()));
}

TEST_CASE("a file that was cleaned away while the flag was down is made again", "[listening]") {
    const Surroundings around;
    around.raise_flag();
    auto listening = listen_at(around.name, around.options);
    around.lower_flag();
    REQUIRE(run_until(listening, [&] { return arrive(around.abstract()).has_value(); }));
    CHECK_FALSE(next(listening).moved);
    files::remove(around.file);
    around.raise_flag();
    REQUIRE(run_until(listening, [&] { return arrive(around.path()).has_value(); }));
}

TEST_CASE("a door that can't be opened is tried again until it can", "[listening]") {
    const Surroundings around;
    auto listening = listen_at(around.name, around.options);
    // A live stranger on the file.
    REQUIRE(open_library_directory<ScratchKernel>(files::path(around.file).parent_path()));
    auto stranger = std::optional(SocketFile<>::claim(around.file, DirectoryOwner::user, {}, soon()));
    REQUIRE(*stranger);
    around.raise_flag();
    REQUIRE(run_until(listening, [&] { return bool(listening.trouble()); }));
    CHECK(listening.trouble() == make_error_code(errc::address_in_use));
    const auto lost = arrive(around.abstract());
    REQUIRE(lost);
    CHECK(next(listening).moved);
    stranger.reset();
    REQUIRE(run_until(listening, [&] { return arrive(around.path()).has_value(); }));
    CHECK_FALSE(listening.trouble());
}

TEST_CASE("where inotify is refused the flag's change is noticed all the same", "[listening]") {
    const Surroundings around;
    RefusingKernel::inotify_error = EMFILE;
    auto listening = listen_at<RefusingKernel>(around.name, around.options);
    around.raise_flag();
    int turns = 0;
    REQUIRE(run_until(listening, [&] { return ++turns > 1000 || arrive(around.path()).has_value(); }));
    CHECK(turns <= 3);
}

TEST_CASE("a path is a path, whatever the flag", "[listening]") {
    const Surroundings around;
    around.raise_flag();
    const auto path = around.directory / "socket";
    auto listening = listen_at(Address::path(path), around.options);
    around.lower_flag();
    const auto client = arrive(*SocketAddress::file(path));
    REQUIRE(client);
    CHECK_FALSE(next(listening).moved);
}

TEST_CASE("a descriptor that listens is taken over, and its file stays", "[listening]") {
    const Surroundings around;
    const auto path = around.directory / "activated";
    const auto address = *SocketAddress::file(path);
    const int made = LinuxKernel::socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(LinuxKernel::bind(made, address.get(), address.size()) == 0);
    REQUIRE(LinuxKernel::listen(made, 8) == 0);
    {
        auto listening = listen_at(Address::listening_descriptor(made), around.options);
        CHECK((LinuxKernel::fcntl(made, F_GETFL) & O_NONBLOCK) != 0);
        CHECK((LinuxKernel::fcntl(made, F_GETFD) & FD_CLOEXEC) != 0);
        around.raise_flag();
        const auto client = arrive(address);
        REQUIRE(client);
        CHECK_FALSE(next(listening).moved);
    }
    CHECK(LinuxKernel::fcntl(made, F_GETFD) == -EBADF);
    CHECK(files::is_socket(path));
}

TEST_CASE("who connected before the descriptor was taken over can't send any either", "[listening]") {
    const Surroundings around;
    const auto address = *SocketAddress::file(around.directory / "activated");
    const int made = LinuxKernel::socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE(LinuxKernel::bind(made, address.get(), address.size()) == 0);
    REQUIRE(LinuxKernel::listen(made, 8) == 0);
    const auto early = arrive(address);
    REQUIRE(early);
    auto listening = listen_at(Address::listening_descriptor(made), around.options);
    const auto visitor = next(listening);
    int passes = 0;
    socklen_t size = sizeof passes;
    if (LinuxKernel::getsockopt(visitor.socket.get(), SOL_SOCKET, so_passrights, &passes, &size) < 0) {
        WARN("not tested: this kernel has no SO_PASSRIGHTS");
        return;
    }
    CHECK(passes == 0);
}

TEST_CASE("a descriptor that isn't a listening Unix stream socket stays the caller's, untouched", "[listening]") {
    const Surroundings around;
    const Descriptor no_socket(LinuxKernel::eventfd(0, 0));
    const Descriptor fresh(LinuxKernel::socket(AF_UNIX, SOCK_STREAM, 0));
    const Descriptor packets(LinuxKernel::socket(AF_UNIX, SOCK_SEQPACKET, 0));
    const auto address = *SocketAddress::file(around.directory / "packets");
    REQUIRE(LinuxKernel::bind(packets.get(), address.get(), address.size()) == 0);
    REQUIRE(LinuxKernel::listen(packets.get(), 1) == 0);
    int ends[2];
    REQUIRE(LinuxKernel::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    const Descriptor connected(ends[0]), other_end(ends[1]);
    const Descriptor internet(LinuxKernel::socket(AF_INET, SOCK_STREAM, 0));
    if (internet) LinuxKernel::listen(internet.get(), 1);

    const auto refused = [&](const Descriptor& descriptor, std::errc why) {
        const auto opened =
            Listening<ScratchKernel>::open(Address::listening_descriptor(descriptor.get()), around.options);
        CHECK(LinuxKernel::fcntl(descriptor.get(), F_GETFD) == 0);
        CHECK((LinuxKernel::fcntl(descriptor.get(), F_GETFL) & O_NONBLOCK) == 0);
        return !opened && opened.error() == why;
    };
    CHECK(refused(no_socket, std::errc::not_a_socket));
    CHECK(refused(fresh, std::errc::invalid_argument));
    CHECK(refused(packets, std::errc::wrong_protocol_type));
    CHECK(refused(connected, std::errc::invalid_argument));
    if (internet) CHECK(refused(internet, std::errc::address_family_not_supported));
    CHECK(Listening<ScratchKernel>::open(Address::listening_descriptor(-1), around.options).error() ==
          std::errc::bad_file_descriptor);
}

TEST_CASE("a service out of descriptors tells some that it is busy, does not spin, and recovers", "[listening]") {
    const Surroundings around;
    auto listening = listen_at(around.name, around.options);
    constexpr int crowd = 200;
    std::vector<Descriptor> clients;
    for (int i = 0; i < crowd; ++i) {
        auto client = arrive(around.abstract());
        REQUIRE(client);
        clients.push_back(*std::move(client));
    }
    int served = 0, busy = 0, turns = 0;
    const auto turn = [&](Deadline deadline, std::vector<Descriptor>* keep) {
        if (!announces(listening, deadline)) return false;
        ++turns;
        for (;;) {
            auto visitor = listening.accept();
            REQUIRE(visitor);
            if (!*visitor) return true;
            ++((*visitor)->refusal == errc::busy ? busy : served);
            if (keep != nullptr) keep->push_back(std::move((*visitor)->socket));
        }
    };
    {
        const Descriptor last(LinuxKernel::eventfd(0, EFD_CLOEXEC));
        const ScopedDescriptorLimit limit(last.get() + 1);
        // Those who were told are let go, as they must be.
        const Deadline a_while(std::chrono::milliseconds(300));
        while (turn(a_while, nullptr)) {
        }
        CHECK(served == 0);
        CHECK(busy > 0);
        CHECK(busy < crowd);
        CHECK(turns < 100);
        // One who isn't let go has the last descriptor: the others wait, and so does the loop.
        turns = 0;
        const auto busy_before = busy;
        std::vector<Descriptor> kept;
        const Deadline another_while(std::chrono::milliseconds(300));
        while (turn(another_while, &kept)) {
        }
        CHECK(busy <= busy_before + 1);
        CHECK(turns < 100);
    }
    while (served + busy < crowd) REQUIRE(turn(soon(), nullptr));
    CHECK(served > 0);
    CHECK(nobody_waits(listening));
    // The reserve is back: the next shortage finds it.
    const auto client = arrive(around.abstract());
    const Descriptor last(LinuxKernel::eventfd(0, EFD_CLOEXEC));
    const ScopedDescriptorLimit limit(last.get() + 1);
    CHECK(next(listening).refusal == errc::busy);
}

TEST_CASE("few wait in the kernel: a flood is not in the way of others for long", "[listening]") {
    const bool at_file = GENERATE(false, true);
    const Surroundings around;
    if (at_file) around.raise_flag();
    auto listening = listen_at(around.name, around.options);
    constexpr auto many = static_cast<std::size_t>(backlog);
    std::vector<Descriptor> crowd;
    while (crowd.size() < 10 * many) {
        auto one = arrive(at_file ? around.path() : around.abstract());
        if (!one) break;
        crowd.push_back(std::move(*one));
    }
    CHECK(crowd.size() > many / 2);
    CHECK(crowd.size() < 2 * many);
}

TEST_CASE("a service short of memory waits a little and goes on", "[listening]") {
    for (const int error : {ENOMEM, ENOBUFS, ENFILE}) {
        const Surroundings around;
        auto listening = listen_at<RefusingKernel>(around.name, around.options);
        const auto client = arrive(around.abstract());
        REQUIRE(client);
        RefusingKernel::accept_error = error;
        const Deadline a_while(std::chrono::milliseconds(200));
        int turns = 0;
        while (turns < 2 || announces(listening, a_while)) {
            REQUIRE(announces(listening, soon()));
            CHECK(nobody_waits(listening));
            ++turns;
        }
        CHECK(turns < 100);
        RefusingKernel::refuse_nothing();
        CHECK_FALSE(next(listening).refusal);
    }
}

TEST_CASE("an error of one connection is told once, an error of the listener doesn't spin", "[listening]") {
    for (const int error : {ECONNABORTED, EPERM, EPROTO, EINVAL}) {
        const Surroundings around;
        auto listening = listen_at<RefusingKernel>(around.name, around.options);
        const auto client = arrive(around.abstract());
        REQUIRE(client);
        RefusingKernel::accept_error = error;
        const auto visitor = listening.accept();
        CHECK(visitor.error() == std::error_code(error, std::system_category()));
        if (error == EINVAL) {
            // It rests, and tries again, as above.
            const Deadline a_while(std::chrono::milliseconds(200));
            int turns = 0;
            for (; announces(listening, a_while); ++turns) (void)listening.accept();
            CHECK(turns < 100);
        } else {
            CHECK(announces(listening, Clock::time_point::min()));  // the next one needn't wait
        }
        RefusingKernel::refuse_nothing();
        CHECK_FALSE(next(listening).refusal);
    }
}

TEST_CASE("a visitor whose credentials can't be had is not let in", "[listening]") {
    struct NoCredentials : ScratchKernel {
        static int getsockopt(int, int, int, void*, socklen_t*) noexcept { return -ENOPROTOOPT; }
    };
    const Surroundings around;
    auto listening = listen_at<NoCredentials>(around.name, around.options);
    const auto client = arrive(around.abstract());
    REQUIRE(client);
    CHECK(next(listening).refusal == std::errc::no_protocol_option);
    char byte = 0;
    CHECK(LinuxKernel::recv(client->get(), &byte, 1, 0) == 0);
    CHECK(nobody_waits(listening));
}

TEST_CASE("a moved listener goes on as before", "[listening]") {
    const Surroundings around;
    around.raise_flag();
    auto first = listen_at(around.name, around.options);
    const int fd = first.fd();
    auto second = std::move(first);
    CHECK(second.fd() == fd);
    first = listen_at(Address::path(around.directory / "socket"), around.options);
    const auto client = arrive(around.path());
    REQUIRE(client);
    CHECK_FALSE(next(second).moved);
    // What it had before is let go: file and all.
    first = std::move(second);
    CHECK_FALSE(files::exists(around.directory / "socket"));
    CHECK(arrive(around.path()));
}
