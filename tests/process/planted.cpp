// SPDX-License-Identifier: BSL-1.0
// What somebody has put where a service's socket file, or its directory, is to be; and whatever the umask is.
#include <fcntl.h>
#include <fstream>
#include <grp.h>
#include <optional>
#include <sys/stat.h>
#include <sys/un.h>

#include "process/peers.hpp"
#include "support/scoped_process_state.hpp"

using namespace qbipc;
using namespace qbipc::testing;

namespace {

/// What is outside: nobody may change it, whatever leads there.
class Outside {
public:
    Outside() {
        std::ofstream(file()) << "precious";
        REQUIRE(::mkdir(folder().c_str(), 0700) == 0);
        REQUIRE(::chmod(file().c_str(), 0600) == 0);
        before_ = look();
    }
    std::string file() const { return directory_ / "file"; }
    std::string folder() const { return directory_ / "folder"; }
    std::string nothing() const { return directory_ / "nothing"; }
    bool unchanged() const { return look() == before_; }
    void remember() { before_ = look(); }

private:
    std::string look() const {
        std::string all;
        for (const auto& path : {directory_.path(), file(), folder(), nothing()}) {
            struct stat status {};
            if (::lstat(path.c_str(), &status) != 0)
                all += "absent ";
            else
                all += std::to_string(status.st_mode) + ' ' + std::to_string(status.st_uid) + ' ' +
                       std::to_string(status.st_nlink) + ' ';
        }
        std::ifstream content(file());
        std::string line;
        std::getline(content, line);
        return all + line;
    }
    TemporaryDirectory directory_;
    std::string before_;
};

struct Plant {
    const char* what;
    bool service_stands;  ///< as a socket's file; nothing but a dead socket is taken away
    void (*put)(const std::string& place, const Outside&);
};

void dead_socket(const std::string& place) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    place.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    ::close(fd);
}

const Plant plants[] = {
    {"nothing", true, [](const std::string&, const Outside&) {}},
    {"a dead socket", true, [](const std::string& place, const Outside&) { dead_socket(place); }},
    {"a link to a file", false,
     [](const std::string& place, const Outside& out) { REQUIRE(::symlink(out.file().c_str(), place.c_str()) == 0); }},
    {"a link to a folder", false,
     [](const std::string& place, const Outside& out) {
         REQUIRE(::symlink(out.folder().c_str(), place.c_str()) == 0);
     }},
    {"a link to a folder of his own", false,
     [](const std::string& place, const Outside& out) {
         (void)!::chown(out.folder().c_str(), 2001, 2001);
         REQUIRE(::symlink(out.folder().c_str(), place.c_str()) == 0);
     }},
    {"a link to nothing", false,
     [](const std::string& place, const Outside& out) {
         REQUIRE(::symlink(out.nothing().c_str(), place.c_str()) == 0);
     }},
    {"a fifo", false, [](const std::string& place, const Outside&) { REQUIRE(::mkfifo(place.c_str(), 0666) == 0); }},
    {"a file", false, [](const std::string& place, const Outside&) { std::ofstream(place) << "x"; }},
    {"a folder", false, [](const std::string& place, const Outside&) { REQUIRE(::mkdir(place.c_str(), 0777) == 0); }},
};

constexpr mode_t umasks[] = {0, 022, 077, 0777};

}  // namespace

TEMPLATE_LIST_TEST_CASE(
    "whatever stands in a socket file's place is left as it is, and its mode is exact whatever the umask",
    "[process][places][root]", Transports) {
    for (const auto& plant : plants) {
        for (const mode_t mask : umasks) {
            INFO(plant.what << ", umask " << mask);
            Outside outside;
            TemporaryDirectory directory;
            const auto place = directory / "socket";
            plant.put(place, outside);
            outside.remember();
            std::optional<ServicePeer<TestType>> service;
            {
                const ScopedUmask now(mask);
                service.emplace(std::vector<std::string>{"mode=0640"}, "path:" + place);
            }
            CHECK(service->ready() == plant.service_stands);
            CHECK(outside.unchanged());
            struct stat status {};
            if (plant.service_stands) {
                REQUIRE(::lstat(place.c_str(), &status) == 0);
                CHECK(S_ISSOCK(status.st_mode));
                CHECK((status.st_mode & 07777) == 0640);
                CHECK(status.st_uid == ::geteuid());
                CHECK(Client<TestType>::connect(Address::path(place), patience));
                CHECK(service->stop());
                CHECK(::lstat(place.c_str(), &status) != 0);
            } else if (std::string(plant.what) != "nothing") {
                CHECK(::lstat(place.c_str(), &status) == 0);  // still there
            }
            CHECK(outside.unchanged());
        }
    }
}

TEMPLATE_LIST_TEST_CASE("whatever stands in the place of a user's directory, the service keeps inside, or says no",
                        "[process][places][root]", Transports) {
    if (!is_root()) return;
    const auto user = as_user(2001);
    for (const auto& plant : plants) {
        for (const mode_t mask : umasks) {
            INFO(plant.what << ", umask " << mask);
            Outside outside;
            TemporaryDirectory runtime;
            REQUIRE(::chown(runtime.path().c_str(), 2001, 2001) == 0);
            REQUIRE(::chmod(runtime.path().c_str(), 0700) == 0);
            std::ofstream(runtime / "flag") << "";
            const auto place = runtime / "qbipc";
            plant.put(place, outside);
            outside.remember();
            const bool foreign = std::string(plant.what) == "a folder";  // root's, in a user's directory
            const auto name = unique_name();
            std::optional<ServicePeer<TestType>> service;
            {
                const ScopedUmask now(mask);
                service.emplace(std::vector<std::string>{"user=2001", "flag=" + (runtime / "flag")}, name,
                                Child::With{.environment = {"XDG_RUNTIME_DIR=" + runtime.path()}});
            }
            const bool stands = std::string(plant.what) == "nothing";
            CHECK(service->ready() == stands);
            CHECK(outside.unchanged());
            struct stat status {};
            if (stands) {
                REQUIRE(::lstat(place.c_str(), &status) == 0);
                CHECK(S_ISDIR(status.st_mode));
                CHECK((status.st_mode & 07777) == 0711);
                REQUIRE(::lstat((place + '/' + name).c_str(), &status) == 0);
                CHECK(S_ISSOCK(status.st_mode));
                CHECK((status.st_mode & 07777) == 0666);
                CHECK(status.st_uid == 2001);
            }
            if (foreign) {
                REQUIRE(::lstat(place.c_str(), &status) == 0);
                CHECK(status.st_uid == 0);
            }
        }
    }
}

TEST_CASE("a directory that others may write in is no place of a user's own", "[process][places][root]") {
    if (!is_root()) return;
    for (const mode_t mode : {0777u, 0770u, 0707u}) {
        for (const uid_t owner : {2001u, 2002u, 0u}) {
            TemporaryDirectory runtime, public_place;
            REQUIRE(::chmod(public_place.path().c_str(), 0755) == 0);
            std::ofstream(public_place / "flag") << "";
            REQUIRE(::chown(runtime.path().c_str(), owner, owner) == 0);
            REQUIRE(::chmod(runtime.path().c_str(), mode) == 0);
            ServicePeer<UnixSocket> service({"user=2001", "flag=" + (public_place / "flag")}, unique_name(),
                                            Child::With{.environment = {"XDG_RUNTIME_DIR=" + runtime.path()}});
            CHECK(service.said == "failed: " + text_of(errc::no_runtime_directory));
            struct stat status {};
            CHECK(::lstat((runtime / "qbipc").c_str(), &status) != 0);
        }
    }
}
