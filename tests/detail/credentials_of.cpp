// SPDX-License-Identifier: BSL-1.0
#include <algorithm>
#include <cerrno>
#include <grp.h>
#include <numeric>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include <qbipc/detail/credentials_of.hpp>
#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/listening_socket.hpp>
#include <qbipc/detail/names.hpp>

#include "support/catch.hpp"
#include "support/scoped_process_state.hpp"

using namespace qbipc;
using namespace qbipc::detail;
using namespace qbipc::testing;

namespace {

struct Pair {
    Descriptor service;
    Descriptor client;
};

Descriptor listener(const SocketAddress& address) {
    auto socket = listen_abstract(address);
    REQUIRE(socket);
    return *std::move(socket);
}

SocketAddress own_address() { return *SocketAddress::abstract("test-credentials-" + std::to_string(::getpid())); }

Descriptor connected(const SocketAddress& address) {
    Descriptor client(LinuxKernel::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(LinuxKernel::connect(client.get(), address.get(), address.size()) == 0);
    return client;
}

Descriptor accepted(const Descriptor& listening) {
    Descriptor socket(LinuxKernel::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(socket);
    return socket;
}

std::vector<gid_t> own_groups() {
    std::vector<gid_t> groups(static_cast<std::size_t>(::getgroups(0, nullptr)));
    REQUIRE(::getgroups(static_cast<int>(groups.size()), groups.data()) == static_cast<int>(groups.size()));
    return groups;
}

/// Answers the two questions as the fields say.
struct LyingKernel : LinuxKernel {
    static inline int user_error, groups_error;
    static inline socklen_t user_size, groups_size;
    static inline int questions;
    static void be_honest() {
        user_error = groups_error = 0;
        user_size = groups_size = 0;
        questions = 0;
    }
    static int getsockopt(int fd, int level, int option, void* value, socklen_t* size) noexcept {
        ++questions;
        const bool user = option == SO_PEERCRED;
        const auto answered = LinuxKernel::getsockopt(fd, level, option, value, size);
        if (const auto wrong_size = user ? user_size : groups_size; wrong_size != 0) *size = wrong_size;
        const auto error = user ? user_error : groups_error;
        return error != 0 ? -error : answered;
    }
};

}  // namespace

TEST_CASE("both ends of a connection learn who the other is", "[credentials]") {
    const auto address = own_address();
    const auto listening = listener(address);
    const auto client = connected(address);
    const auto service = accepted(listening);
    for (const int end : {client.get(), service.get()}) {
        const auto credentials = credentials_of(end);
        REQUIRE(credentials);
        CHECK(credentials->pid == ::getpid());
        CHECK(credentials->uid == ::geteuid());
        CHECK(credentials->gid == ::getegid());
        auto groups = credentials->groups, own = own_groups();
        std::sort(groups.begin(), groups.end());
        std::sort(own.begin(), own.end());
        CHECK(groups == own);
    }
}

TEST_CASE("a peer may be in more groups than were expected", "[credentials]") {
    if (::geteuid() != 0) return;  // only root sets groups
    const auto before = own_groups();
    const auto address = own_address();
    const auto listening = listener(address);
    for (const std::size_t count : {0u, 31u, 32u, 33u, 1000u, 65536u}) {
        std::vector<gid_t> many(count);
        std::iota(many.begin(), many.end(), gid_t{10000});
        REQUIRE(::setgroups(many.size(), many.data()) == 0);
        const auto client = connected(address);
        REQUIRE(::setgroups(before.size(), before.data()) == 0);
        const auto credentials = credentials_of(accepted(listening).get());
        REQUIRE(credentials);
        CHECK(credentials->groups == many);
    }
}

TEST_CASE("credentials are those of connect and of listen, whatever came later", "[credentials]") {
    if (::geteuid() != 0) return;
    const auto address = own_address();
    const auto listening = listener(address);
    const auto client = connected(address);
    const ScopedUser later(2001);
    const auto service = accepted(listening);
    CHECK(credentials_of(service.get())->uid == 0);
    CHECK(credentials_of(client.get())->uid == 0);
    const auto by_other = connected(address);
    CHECK(credentials_of(accepted(listening).get())->uid == 2001);
    CHECK(credentials_of(by_other.get())->uid == 0);
}

TEST_CASE("both ends of a socketpair name its creator, whoever holds them", "[credentials]") {
    // Why a descriptor that was handed in has no credentials, and why nobody asks E, the service's own pair.
    if (::geteuid() != 0) return;
    int ends[2];
    REQUIRE(LinuxKernel::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const Descriptor first(ends[0]), second(ends[1]);
    const ScopedUser holder(2001);
    CHECK(credentials_of(first.get())->uid == 0);
    CHECK(credentials_of(second.get())->uid == 0);
}

TEST_CASE("an error or an odd answer means no credentials at all", "[credentials]") {
    const auto address = own_address();
    const auto listening = listener(address);
    const auto client = connected(address);
    LyingKernel::be_honest();
    REQUIRE(credentials_of<LyingKernel>(client.get()));
    for (const int error : {ENOPROTOOPT, EACCES, ENOBUFS, EINVAL, ENODATA}) {
        LyingKernel::be_honest();
        LyingKernel::user_error = error;
        CHECK(credentials_of<LyingKernel>(client.get()).error() == std::error_code(error, std::system_category()));
        LyingKernel::be_honest();
        LyingKernel::groups_error = error;
        CHECK(credentials_of<LyingKernel>(client.get()).error() == std::error_code(error, std::system_category()));
    }
    for (const socklen_t size : {1u, 4u, 8u, 11u, 13u}) {
        LyingKernel::be_honest();
        LyingKernel::user_size = size;
        CHECK(credentials_of<LyingKernel>(client.get()).error() == make_error_code(errc::protocol_violation));
    }
    for (const socklen_t size : {3u, 129u, 132u, 1u << 30}) {
        LyingKernel::be_honest();
        LyingKernel::groups_size = size;
        CHECK(credentials_of<LyingKernel>(client.get()).error() == make_error_code(errc::protocol_violation));
    }
    LyingKernel::be_honest();
}

TEST_CASE("a kernel that always wants a larger buffer is asked no second time", "[credentials]") {
    const auto address = own_address();
    const auto listening = listener(address);
    const auto client = connected(address);
    for (const socklen_t size : {0u, 128u, 65537u * 4, 0xffffffffu}) {
        LyingKernel::be_honest();
        LyingKernel::groups_error = ERANGE;
        LyingKernel::groups_size = size;
        CHECK(credentials_of<LyingKernel>(client.get()).error() == std::error_code(ERANGE, std::system_category()));
        CHECK(LyingKernel::questions == 2);
    }
    LyingKernel::be_honest();
}

TEST_CASE("what isn't a connected socket has no credentials", "[credentials]") {
    const Descriptor unconnected(LinuxKernel::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK_FALSE(credentials_of(unconnected.get()));
    const Descriptor no_socket(LinuxKernel::eventfd(0, EFD_CLOEXEC));
    CHECK(credentials_of(no_socket.get()).error() == std::errc::not_a_socket);
    CHECK(credentials_of(-1).error() == std::errc::bad_file_descriptor);
}
