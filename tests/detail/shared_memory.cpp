// SPDX-License-Identifier: BSL-1.0
#include "qbipc/detail/shared_memory.hpp"

#include <cerrno>
#include <fcntl.h>
#include <string>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "support/catch.hpp"

using namespace qbipc;
using namespace qbipc::detail;

namespace {

constexpr std::size_t size = std::size_t{1} << 20;

struct stat status_of(int fd) {
    struct stat status {};
    REQUIRE(::fstat(fd, &status) == 0);
    return status;
}

/// Says that all memory is of huge pages.
struct HugeKernel : LinuxKernel {
    static int fstatfs(int fd, struct statfs& system) noexcept {
        const int error = LinuxKernel::fstatfs(fd, system);
        system.f_type = 0x958458f6;  // HUGETLBFS_MAGIC
        return error;
    }
};

/// Knows no MFD_NOEXEC_SEAL, as before 6.3.
struct OldKernel : LinuxKernel {
    static int memfd_create(const char* name, unsigned flags) noexcept {
        return (flags & memfd_noexec_seal) != 0 ? -EINVAL : LinuxKernel::memfd_create(name, flags);
    }
};

/// Its files may have this size.
struct LimitingKernel : LinuxKernel {
    static inline rlim_t limit = 0;
    static int getrlimit(decltype(RLIMIT_FSIZE) resource, rlimit& limits) noexcept {
        const int error = LinuxKernel::getrlimit(resource, limits);
        if (resource == RLIMIT_FSIZE) limits.rlim_cur = limit;
        return error;
    }
};

}  // namespace

TEST_CASE("memory is made for its user alone, and not for programs that he executes", "[shared memory]") {
    for (const auto& memory : {make_memory<LinuxKernel>("test", size), make_memory<OldKernel>("test", size)}) {
        REQUIRE(memory);
        CHECK((status_of(memory->get()).st_mode & 07777) == 0600);
        CHECK(status_of(memory->get()).st_size == size);
        CHECK((::fcntl(memory->get(), F_GETFD) & FD_CLOEXEC) != 0);
        CHECK_FALSE(add_seals<LinuxKernel>(memory->get(), service_area_seals));
        CHECK_FALSE(check_memory<LinuxKernel>(memory->get(), size, service_area_seals));
    }
}

TEST_CASE("memory beyond the limit on file sizes is an error, not the kernel's signal", "[shared memory]") {
    LimitingKernel::limit = size - 1;
    CHECK(make_memory<LimitingKernel>("test", size).error() == std::errc::file_too_large);
    LimitingKernel::limit = size;
    CHECK(make_memory<LimitingKernel>("test", size));
    LimitingKernel::limit = RLIM_INFINITY;
    CHECK(make_memory<LimitingKernel>("test", size));
}

TEST_CASE("a client finds out what is wrong with memory it is given", "[shared memory]") {
    const auto memory = make_memory<LinuxKernel>("test", size);
    REQUIRE(memory);
    const int seals = GENERATE(0, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SHRINK | F_SEAL_GROW);
    REQUIRE_FALSE(add_seals<LinuxKernel>(memory->get(), seals));
    CHECK(!check_memory<LinuxKernel>(memory->get(), size, client_area_seals) == (seals == client_area_seals));
    CHECK(check_memory<LinuxKernel>(memory->get(), size, service_area_seals) == errc::protocol_violation);
    CHECK(check_memory<LinuxKernel>(memory->get(), size + 4096, 0) == errc::protocol_violation);
    CHECK(check_memory<LinuxKernel>(memory->get(), size - 1, 0) == errc::protocol_violation);
    const Descriptor no_file(::eventfd(0, EFD_CLOEXEC));
    CHECK(check_memory<LinuxKernel>(no_file.get(), size, 0));
}

TEST_CASE("each seal of an area is asked for", "[shared memory]") {
    for (const int all : {client_area_seals, service_area_seals}) {
        for (const int missing : {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE, F_SEAL_SEAL}) {
            if ((all & missing) == 0) continue;
            CAPTURE(all, missing);
            const auto memory = make_memory<LinuxKernel>("test", size);
            REQUIRE(memory);
            REQUIRE_FALSE(add_seals<LinuxKernel>(memory->get(), all & ~missing));
            CHECK(check_memory<LinuxKernel>(memory->get(), size, all) == errc::protocol_violation);
        }
    }
}

TEST_CASE("memory of huge pages is refused, though its seals and its size are right", "[shared memory]") {
    // The first touch of it may be a SIGBUS: nobody has set pages aside.
    const auto plain = make_memory<HugeKernel>("test", size);
    REQUIRE(plain);
    REQUIRE_FALSE(add_seals<HugeKernel>(plain->get(), client_area_seals));
    CHECK(check_memory<HugeKernel>(plain->get(), size, client_area_seals) == errc::protocol_violation);

    constexpr std::size_t huge_page = std::size_t{1} << 30;  // a multiple of whatever the default is
    const Descriptor huge(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB));
    if (!huge || ::ftruncate(huge.get(), huge_page) != 0) return;  // a kernel without them
    REQUIRE_FALSE(add_seals<LinuxKernel>(huge.get(), client_area_seals));
    CHECK(check_memory<LinuxKernel>(huge.get(), huge_page, client_area_seals) == errc::protocol_violation);
}
