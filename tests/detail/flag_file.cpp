// SPDX-License-Identifier: BSL-1.0
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>
#include <utility>

#include <qbipc/detail/flag_file.hpp>
#include <qbipc/detail/waiting.hpp>

#include "support/catch.hpp"
#include "support/scratch_kernel.hpp"
#include "support/temporary_directory.hpp"

using namespace qbipc;
using namespace qbipc::detail;
using namespace qbipc::testing;
namespace files = std::filesystem;

namespace {

void touch(const std::string& file) { std::ofstream made(file); }

/// Whether the watch says within a minute that there is something new, and takes it in.
bool announced(FlagWatch<LinuxKernel>& watch) {
    pollfd descriptor{watch.fd(), POLLIN, 0};
    if (poll_until(&descriptor, 1, Deadline(std::chrono::minutes(1))) != 1) return false;
    watch.refresh();
    return true;
}

bool silent(const FlagWatch<LinuxKernel>& watch) {
    pollfd descriptor{watch.fd(), POLLIN, 0};
    return poll_until(&descriptor, 1, Deadline(Clock::time_point::min())) == 0;
}

void set_age(const std::string& path, std::chrono::seconds age) {
    timespec now = LinuxKernel::wall_clock();
    now.tv_sec -= age.count();
    const timespec times[2]{now, now};
    REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

}  // namespace

TEST_CASE("the flag is up while something stands at its path", "[flag]") {
    const TemporaryDirectory directory;
    CHECK_FALSE(flag_is_up<LinuxKernel>(directory / "flag"));
    CHECK_FALSE(flag_is_up<LinuxKernel>(directory / "none/flag"));
    CHECK_FALSE(flag_is_up<LinuxKernel>(""));
    touch(directory / "flag");
    CHECK(flag_is_up<LinuxKernel>(directory / "flag"));
    CHECK_FALSE(flag_is_up<LinuxKernel>(directory / "flag/flag"));
    files::create_symlink(directory / "nowhere", directory / "dangling");
    CHECK_FALSE(flag_is_up<LinuxKernel>(directory / "dangling"));
}

TEST_CASE("each coming and going of the flag is announced", "[flag]") {
    const TemporaryDirectory directory;
    const auto flag = directory / "flag";
    FlagWatch<LinuxKernel> watch(flag);
    REQUIRE(watch.fd() >= 0);
    CHECK(watch.every() == Clock::duration::zero());
    for (int round = 0; round < 3; ++round) {
        CHECK(silent(watch));
        CHECK_FALSE(watch.is_up());
        touch(flag);
        CHECK(announced(watch));
        CHECK(watch.is_up());
        CHECK(silent(watch));
        files::remove(flag);
        CHECK(announced(watch));
        CHECK_FALSE(watch.is_up());
        touch(directory / "other");
        files::rename(directory / "other", flag);
        CHECK(announced(watch));
        CHECK(watch.is_up());
        files::rename(flag, directory / "other");
        CHECK(announced(watch));
        CHECK_FALSE(watch.is_up());
    }
}

TEST_CASE("the flag's directories may come after the watch, go, and come again", "[flag]") {
    const TemporaryDirectory directory;
    const auto flag = directory / "a/b/flag";
    FlagWatch<LinuxKernel> watch(flag);
    for (int round = 0; round < 3; ++round) {
        files::create_directory(directory / "a");
        CHECK(announced(watch));
        files::create_directory(directory / "a/b");
        CHECK(announced(watch));
        touch(flag);
        CHECK(announced(watch));
        CHECK(watch.is_up());
        files::remove_all(directory / "a");
        CHECK(announced(watch));
        CHECK_FALSE(watch.is_up());
        // The end of the old watch is an event too.
        while (!silent(watch)) watch.refresh();
    }
    files::create_directories(directory / "a/b");
    touch(flag);
    CHECK(announced(watch));
    CHECK(watch.is_up());
    files::rename(directory / "a/b", directory / "elsewhere");
    CHECK(announced(watch));
    CHECK_FALSE(watch.is_up());
    files::rename(directory / "elsewhere", directory / "a/b");
    CHECK(announced(watch));
    CHECK(watch.is_up());
    while (!silent(watch)) watch.refresh();
    files::remove(flag);
    CHECK(announced(watch));
    CHECK_FALSE(watch.is_up());
}

TEST_CASE("a directory that appears while the one above is about to be watched is not missed", "[flag]") {
    static std::string appearing;
    struct Race : LinuxKernel {
        static int inotify_add_watch(int fd, const char* path, std::uint32_t mask) noexcept {
            if (!appearing.empty()) files::create_directory(std::exchange(appearing, {}));
            return LinuxKernel::inotify_add_watch(fd, path, mask);
        }
    };
    const TemporaryDirectory directory;
    appearing = directory / "a";
    FlagWatch<Race> watch(directory / "a/flag");
    touch(directory / "a/flag");
    pollfd descriptor{watch.fd(), POLLIN, 0};
    CHECK(poll_until(&descriptor, 1, Deadline(std::chrono::seconds(10))) == 1);
}

TEST_CASE("where inotify is refused the flag is looked at every second", "[flag]") {
    const TemporaryDirectory directory;
    for (const int error : {EMFILE, ENOSPC, EACCES}) {
        RefusingKernel::refuse_nothing();
        RefusingKernel::inotify_error = error;
        FlagWatch<RefusingKernel> watch(directory / "flag");
        CHECK(watch.fd() == -1);
        CHECK(watch.every() == std::chrono::seconds(1));
        CHECK_FALSE(watch.is_up());
        touch(directory / "flag");
        watch.refresh();
        CHECK(watch.is_up());
        files::remove(directory / "flag");
    }
    RefusingKernel::refuse_nothing();
}

TEST_CASE("a watch that is refused later is taken up again when it can be", "[flag]") {
    const TemporaryDirectory directory;
    RefusingKernel::refuse_nothing();
    FlagWatch<RefusingKernel> watch(directory / "a/flag");
    CHECK(watch.every() == Clock::duration::zero());
    RefusingKernel::inotify_error = ENOSPC;
    files::create_directory(directory / "a");
    watch.refresh();
    CHECK(watch.every() == std::chrono::seconds(1));
    RefusingKernel::refuse_nothing();
    watch.refresh();
    CHECK(watch.every() == Clock::duration::zero());
}

TEST_CASE("no flag file is never up and needs no watch", "[flag]") {
    FlagWatch<LinuxKernel> watch("");
    CHECK(watch.fd() == -1);
    CHECK(watch.every() == Clock::duration::zero());
    watch.refresh();
    CHECK_FALSE(watch.is_up());
}

TEST_CASE("a change of the flag shows on its nearest directory for a while", "[flag]") {
    const TemporaryDirectory directory;
    using std::chrono::seconds;
    for (const auto* const flag : {"flag", "none/flag"}) {
        set_age(directory.path(), seconds(3600));
        CHECK_FALSE(flag_changed_within<LinuxKernel>(directory / flag, seconds(2)));
        CHECK(flag_changed_within<LinuxKernel>(directory / flag, seconds(7200)));
        files::create_directories(files::path(directory / flag).parent_path());
        touch(directory / flag);
        CHECK(flag_changed_within<LinuxKernel>(directory / flag, seconds(3600)));
        set_age(directory.path(), seconds(3600));
        set_age(files::path(directory / flag).parent_path(), seconds(3600));
        CHECK_FALSE(flag_changed_within<LinuxKernel>(directory / flag, seconds(2)));
        files::remove(directory / flag);
        CHECK(flag_changed_within<LinuxKernel>(directory / flag, seconds(3600)));
        files::remove_all(directory / "none");
    }
    set_age(directory.path(), seconds(-3600));
    CHECK_FALSE(flag_changed_within<LinuxKernel>(directory / "flag", seconds(2)));
    CHECK_FALSE(flag_changed_within<LinuxKernel>("", seconds(1 << 30)));
}
