// SPDX-License-Identifier: BSL-1.0
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include <qbipc/detail/runtime_directory.hpp>

#include "support/catch.hpp"
#include "support/scoped_process_state.hpp"
#include "support/scratch_kernel.hpp"
#include "support/temporary_directory.hpp"

using namespace qbipc;
using namespace qbipc::detail;
using namespace qbipc::testing;
namespace files = std::filesystem;

namespace {

constexpr uid_t somebody = 2001;

/// A directory that belongs to `owner`, where this process may give it away.
void make_directory(const std::string& path, uid_t owner, mode_t mode = 0700) {
    files::create_directories(path);
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    if (owner != ::geteuid()) REQUIRE(::chown(path.c_str(), owner, owner) == 0);
}

mode_t mode_of(const std::string& path) {
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777;
}

}  // namespace

TEST_CASE("root's sockets are in the system's directory, whatever the environment says", "[runtime directory]") {
    const TemporaryDirectory directory;
    ScratchKernel::use(directory.path());
    ScratchKernel::user = 0;
    ScratchKernel::variable = directory.path();
    CHECK(own_library_directory<ScratchKernel>() == directory / "system");
    CHECK(std::string(LinuxKernel::system_directory()) == "/run/qbipc");
    CHECK(std::string(LinuxKernel::user_directories()) == "/run/user");
}

TEST_CASE("a user's sockets are in his runtime directory, if it is his own", "[runtime directory]") {
    const TemporaryDirectory directory;
    ScratchKernel::use(directory.path());
    const uid_t me = ::geteuid() == 0 ? somebody : ::geteuid();
    ScratchKernel::user = me;
    const auto none = make_error_code(errc::no_runtime_directory);
    CHECK(own_library_directory<ScratchKernel>().error() == none);

    const auto kept = directory / "users/" + std::to_string(me);
    make_directory(kept, me);
    CHECK(own_library_directory<ScratchKernel>() == kept + "/qbipc");

    const auto chosen = directory / "chosen";
    ScratchKernel::variable = chosen;
    CHECK(own_library_directory<ScratchKernel>() == kept + "/qbipc");  // isn't there
    make_directory(chosen, me);
    CHECK(own_library_directory<ScratchKernel>() == chosen + "/qbipc");
    for (const mode_t open_to_others : {0770u, 0707u, 0722u, 01777u}) {
        make_directory(chosen, me, open_to_others);
        CHECK(own_library_directory<ScratchKernel>() == kept + "/qbipc");
    }
    make_directory(chosen, me, 0755);
    CHECK(own_library_directory<ScratchKernel>() == chosen + "/qbipc");
    for (const auto* const odd : {"", ".", "relative/path"}) {
        ScratchKernel::variable = odd;
        CHECK(own_library_directory<ScratchKernel>() == kept + "/qbipc");
    }
    if (::geteuid() != 0) return;
    ScratchKernel::variable = chosen;
    REQUIRE(::chown(chosen.c_str(), somebody + 1, somebody + 1) == 0);
    CHECK(own_library_directory<ScratchKernel>() == kept + "/qbipc");
    REQUIRE(::chown(kept.c_str(), somebody + 1, somebody + 1) == 0);
    CHECK(own_library_directory<ScratchKernel>().error() == none);
}

TEST_CASE("a client knows his own directory, root's, and that of the one user he wants", "[runtime directory]") {
    const TemporaryDirectory directory;
    ScratchKernel::use(directory.path());
    ScratchKernel::user = somebody;
    auto known = client_directories<ScratchKernel>(std::nullopt);
    CHECK(known.own == std::nullopt);
    CHECK(known.system == directory / "system");
    CHECK(known.wanted == std::nullopt);
    known = client_directories<ScratchKernel>(7);
    CHECK(known.wanted == directory / "users/7/qbipc");
    known = client_directories<ScratchKernel>(0);
    CHECK(known.wanted == directory / "system");
    ScratchKernel::user = 0;
    CHECK(client_directories<ScratchKernel>(std::nullopt).own == directory / "system");
}

TEST_CASE("the library's directory has mode 0711 under any umask, made or found", "[runtime directory]") {
    const TemporaryDirectory directory;
    for (const mode_t mask : {0u, 022u, 077u, 0777u}) {
        const ScopedUmask scoped(mask);
        const auto made = directory / "made-" + std::to_string(mask);
        REQUIRE(open_library_directory<LinuxKernel>(made));
        CHECK(mode_of(made) == 0711);
    }
    for (const mode_t before : {0u, 0700u, 0755u, 0777u, 01777u}) {
        const auto found = directory / "found-" + std::to_string(before);
        make_directory(found, ::geteuid(), before);
        REQUIRE(open_library_directory<LinuxKernel>(found));
        CHECK(mode_of(found) == 0711);
    }
}

TEST_CASE("what isn't this user's own directory is no library directory", "[runtime directory]") {
    const TemporaryDirectory directory;
    make_directory(directory / "elsewhere", ::geteuid(), 0755);
    files::create_directory_symlink(directory / "elsewhere", directory / "link");
    CHECK_FALSE(open_library_directory<LinuxKernel>(directory / "link"));
    CHECK(mode_of(directory / "elsewhere") == 0755);
    files::create_symlink(directory / "nowhere", directory / "dangling");
    CHECK_FALSE(open_library_directory<LinuxKernel>(directory / "dangling"));
    CHECK_FALSE(files::exists(directory / "nowhere"));
    REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
    CHECK(open_library_directory<LinuxKernel>(directory / "fifo").error() == std::errc::not_a_directory);
    CHECK(open_library_directory<LinuxKernel>(directory / "none/qbipc").error() ==
          make_error_code(errc::no_runtime_directory));
    if (::geteuid() != 0) return;
    make_directory(directory / "theirs", somebody, 0755);
    CHECK(open_library_directory<LinuxKernel>(directory / "theirs").error() ==
          make_error_code(errc::no_runtime_directory));
    CHECK(mode_of(directory / "theirs") == 0755);
}

TEST_CASE("a stranger can reach into the library's directory, but not open it to lock it", "[runtime directory]") {
    if (::geteuid() != 0) return;  // to be two users
    const TemporaryDirectory directory;
    make_directory(directory.path(), 0, 0755);
    REQUIRE(open_library_directory<LinuxKernel>(directory / "qbipc"));
    files::create_directory(directory / "qbipc/inside");
    const ScopedUser stranger(somebody);
    CHECK(LinuxKernel::openat(AT_FDCWD, (directory / "qbipc").c_str(), O_RDONLY | O_CLOEXEC) == -EACCES);
    CHECK(files::exists(directory / "qbipc/inside"));
}

TEST_CASE("a directory's lock has one holder at a time, and is taken once he lets go", "[runtime directory]") {
    const TemporaryDirectory directory;
    const auto open = [&] { return *open_library_directory<LinuxKernel>(directory / "qbipc"); };
    const auto first = open(), second = open();
    auto held = std::optional(DirectoryLock<LinuxKernel>::take(first.get(), forever));
    REQUIRE(*held);
    CHECK(DirectoryLock<LinuxKernel>::take(second.get(), Clock::time_point::min()).error() ==
          make_error_code(errc::timed_out));
    VirtualTimeKernel::begin();
    const Deadline deadline(VirtualTimeKernel::now() + std::chrono::seconds(5));
    CHECK(DirectoryLock<VirtualTimeKernel>::take(second.get(), deadline).error() == make_error_code(errc::timed_out));
    CHECK(VirtualTimeKernel::passed == std::chrono::seconds(5));
    held.reset();
    CHECK(DirectoryLock<LinuxKernel>::take(second.get(), Clock::time_point::min()));
    CHECK(DirectoryLock<LinuxKernel>::take(-1, forever).error() == std::errc::bad_file_descriptor);
}

TEST_CASE("a child forked under the lock doesn't keep it", "[runtime directory]") {
    const TemporaryDirectory directory;
    auto first = *open_library_directory<LinuxKernel>(directory / "qbipc");
    const auto second = *open_library_directory<LinuxKernel>(directory / "qbipc");
    std::optional<Descriptor> inherited;  // what a child would hold: another descriptor of the same open directory
    {
        const auto held = DirectoryLock<LinuxKernel>::take(first.get(), forever);
        REQUIRE(held);
        inherited.emplace(LinuxKernel::fcntl(first.get(), F_DUPFD_CLOEXEC, 0));
        CHECK_FALSE(DirectoryLock<LinuxKernel>::take(second.get(), Clock::time_point::min()));
    }
    first.reset();
    CHECK(DirectoryLock<LinuxKernel>::take(second.get(), Clock::time_point::min()));
}
