// SPDX-License-Identifier: BSL-1.0
// shared_memory.hpp: unnamed shared memory of a fixed size: made, sealed, checked, mapped, populated.
//
// The service makes both areas of a session, so that it never maps what a client could resize. Seals keep the size for
// good; F_SEAL_FUTURE_WRITE makes whoever maps an area later a reader. Nothing has a name: nothing is left behind.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <linux/magic.h>
#include <memory>
#include <new>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <utility>

#include <boost/interprocess/detail/os_file_functions.hpp>
#include <boost/interprocess/mapped_region.hpp>

#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/fork_guard.hpp>
#include <qbipc/error.hpp>
#include <qbipc/kernel.hpp>

namespace qbipc::detail {

// Not in every libc's headers that this is built with.
inline constexpr unsigned memfd_noexec_seal = 0x0008;
inline constexpr int madvise_populate_read = 22;
inline constexpr int madvise_populate_write = 23;

/// Seals of the client's area until the client has mapped it; then it gets the others too, by whoever comes first.
inline constexpr int client_area_seals = F_SEAL_SHRINK | F_SEAL_GROW;
inline constexpr int last_client_area_seals = F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
/// Seals of the service's area, from the moment the service has mapped it.
inline constexpr int service_area_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;

/// Makes shared memory of `size` bytes, all zero, for this user only.
/// Errors: what the kernel says; EFBIG above RLIMIT_FSIZE (where the kernel would send SIGXFSZ instead of an error).
template <class Kernel>
Result<Descriptor> make_memory(const char* name, std::size_t size) {
    rlimit limit{};
    if (const int error = Kernel::getrlimit(RLIMIT_FSIZE, limit); error < 0) return fail_system(-error);
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < size) return fail_system(EFBIG);

    const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int fd = Kernel::memfd_create(name, flags | memfd_noexec_seal);
    if (fd == -EINVAL) fd = Kernel::memfd_create(name, flags);  // before 6.3
    auto memory = Descriptor::from(fd);
    if (!memory) return memory;
    int error = Kernel::ftruncate(fd, static_cast<off_t>(size));
    if (error >= 0) error = Kernel::fchmod(fd, 0600);
    if (error < 0) return fail_system(-error);
    return memory;
}

template <class Kernel>
std::error_code add_seals(int memory, int seals) {
    const int error = Kernel::fcntl(memory, F_ADD_SEALS, seals);
    return error < 0 ? std::error_code(-error, std::system_category()) : std::error_code();
}

/// Adds the last seals to the client's area, which is mapped where it has to be. The other side may have been first;
/// false: with others.
template <class Kernel>
bool seal_client_area(int memory) {
    if (!add_seals<Kernel>(memory, last_client_area_seals)) return true;
    const int seals = Kernel::fcntl(memory, F_GET_SEALS);
    return seals >= 0 && (seals & last_client_area_seals) == last_client_area_seals;
}

/// What a client asks of memory it was handed, before it maps it: that it can't be resized, that touching it can't fail
/// for reasons of another file system (hugetlb takes the same seals, and SIGBUS comes at the first touch), that it has
/// exactly the size that the reply said. Not whose it is: a service may have dropped privileges since it began to
/// listen. Errors: protocol_violation; what the kernel says.
template <class Kernel>
std::error_code check_memory(int memory, std::size_t size, int required_seals) {
    const int seals = Kernel::fcntl(memory, F_GET_SEALS);
    if (seals < 0 || (seals & required_seals) != required_seals) return errc::protocol_violation;
    struct statfs system {};
    if (const int error = Kernel::fstatfs(memory, system); error < 0) return {-error, std::system_category()};
    if (system.f_type != TMPFS_MAGIC) return errc::protocol_violation;
    struct stat status {};
    if (const int error = Kernel::fstat(memory, status); error < 0) return {-error, std::system_category()};
    if (!S_ISREG(status.st_mode) || status.st_size < 0 || static_cast<std::uint64_t>(status.st_size) != size)
        return errc::protocol_violation;
    return {};
}

enum class Access : bool { read, write };

/// Mapped shared memory. A forked child doesn't inherit the mapping, and so must not unmap it: what lies at those
/// addresses there may be something else by then.
template <class Kernel>
class Mapping {
public:
    Mapping() noexcept : region_() {}
    Mapping(Mapping&& other) noexcept : region_(std::move(other.region_)), guard_(other.guard_) {}
    Mapping& operator=(Mapping&& other) noexcept {
        if (this != &other) {
            drop();
            ::new (&region_) Region(std::move(other.region_));
            guard_ = other.guard_;
        }
        return *this;
    }
    ~Mapping() { drop(); }

    /// Errors: not_enough_memory, what mmap() said, or the kernel.
    static Result<Mapping> make(int memory, std::size_t size, Access access, ForkGuard guard) {
        namespace ipc = boost::interprocess;
        Mapping mapping;
        try {
            const auto mode = access == Access::write ? ipc::read_write : ipc::read_only;
            Region region(Handle{memory, mode}, mode, 0, size);
            mapping.region_.swap(region);
        } catch (const ipc::interprocess_exception& exception) {
            const int error = exception.get_native_error();
            return fail_system(error != 0 ? error : ENOMEM);
        } catch (...) {
            return no_memory();
        }
        mapping.guard_ = guard;
        const int error = Kernel::madvise(mapping.region_.get_address(), size, MADV_DONTFORK);
        if (error < 0) return fail_system(-error);
        return mapping;
    }

    std::byte* data() const noexcept { return static_cast<std::byte*>(region_.get_address()); }
    std::size_t size() const noexcept { return region_.get_size(); }

    /// Makes the kernel find pages for [from, from + size): an error now instead of SIGBUS at the first touch.
    /// Errors: not_supported (kernels before 5.14); ENOMEM, or what the kernel says.
    std::error_code populate(std::size_t from, std::size_t size, Access access = Access::write) const noexcept {
        const auto page = static_cast<std::size_t>(Region::get_page_size());
        const std::size_t begin = from / page * page;
        const int advice = access == Access::write ? madvise_populate_write : madvise_populate_read;
        const int error = Kernel::madvise(data() + begin, from + size - begin, advice);
        if (error == -EINVAL) return errc::not_supported;
        // EFAULT and EHWPOISON are what would have been SIGBUS.
        if (error == -EFAULT) return std::make_error_code(std::errc::not_enough_memory);
        return error < 0 ? std::error_code(-error, std::system_category()) : std::error_code();
    }

    /// How many bytes of [from, from + size), some pages at most, nobody has allocated yet; or has had to lend to swap.
    std::size_t missing(std::size_t from, std::size_t size) const noexcept {
        const auto page = static_cast<std::size_t>(Region::get_page_size());
        const std::size_t begin = from / page * page;
        std::array<unsigned char, 32> there{};
        const std::size_t pages = std::min((from + size - begin + page - 1) / page, there.size());
        if (Kernel::mincore(data() + begin, pages * page, there.data()) < 0) return 0;
        const auto missing = std::count_if(there.data(), there.data() + pages, [](auto one) { return (one & 1) == 0; });
        return static_cast<std::size_t>(missing) * page;
    }

    /// Advice, from now on; kernels that know of no huge pages for shared memory ignore it.
    void want_huge_pages() const noexcept { (void)Kernel::madvise(data(), size(), MADV_HUGEPAGE); }

    /// Keeps all of it in memory. Errors: memory_not_locked; or what the kernel says.
    std::error_code lock() const noexcept {
        const int error = Kernel::mlock(data(), size());
        if (error == -ENOMEM || error == -EPERM || error == -EAGAIN) return errc::memory_not_locked;
        return error < 0 ? std::error_code(-error, std::system_category()) : std::error_code();
    }

private:
    using Region = boost::interprocess::mapped_region;

    /// A descriptor as Boost.Interprocess takes it; it isn't closed.
    struct Handle {
        int fd;
        boost::interprocess::mode_t mode;
        boost::interprocess::mapping_handle_t get_mapping_handle() const noexcept { return {fd, false}; }
        boost::interprocess::mode_t get_mode() const noexcept { return mode; }
    };

    void drop() noexcept {
        if (region_.get_address() == nullptr || !guard_.forked()) region_.~Region();
    }

    union {
        Region region_;  // its destructor unmaps: drop() decides whether it runs
    };
    ForkGuard guard_;
};

/// The beginning of each lane that the service pays for, so that a connection that says little costs little to set up.
inline constexpr std::size_t ready_at_start = std::size_t{4} << 10;

}  // namespace qbipc::detail
