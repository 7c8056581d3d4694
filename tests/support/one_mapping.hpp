// SPDX-License-Identifier: BSL-1.0
// one_mapping.hpp: ShmRing whose two ends, in one process, see their areas at the same addresses. A thread sanitizer
// finds a race by its address: with two mappings of one memory it finds none.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <utility>

#include <qbipc/detail/shared_memory.hpp>
#include <qbipc/kernel.hpp>
#include <qbipc/transport/shm_ring.hpp>

namespace qbipc::testing {

struct OneMappingKernel : LinuxKernel {
    /// Maps what `memory` refers to, or gives the mapping that there is of it. Null: it can't be mapped.
    static void* map(int memory, std::size_t size) {
        struct stat status {};
        if (LinuxKernel::fstat(memory, status) < 0) return nullptr;
        const std::lock_guard lock(mutex());
        auto& [start, users] = mappings()[status.st_ino];
        if (users == 0) {
            // For writing, whoever asks first: where a reader is first, the writer comes to the same.
            start = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
            if (start == MAP_FAILED) {
                mappings().erase(status.st_ino);
                return nullptr;
            }
        } else {
            ++shared();
        }
        ++users;
        return start;
    }
    static void unmap(void* start, std::size_t size) {
        const std::lock_guard lock(mutex());
        for (auto& [inode, mapping] : mappings()) {
            if (mapping.start != start) continue;
            if (--mapping.users == 0) {
                ::munmap(start, size);
                mappings().erase(inode);
            }
            return;
        }
    }
    /// How often an end came to a mapping that was there.
    static std::size_t times_shared() {
        const std::lock_guard lock(mutex());
        return shared();
    }

private:
    struct Shared {
        void* start = nullptr;
        int users = 0;
    };
    static std::mutex& mutex() {
        static std::mutex one;
        return one;
    }
    static std::map<ino_t, Shared>& mappings() {
        static std::map<ino_t, Shared> all;
        return all;
    }
    static std::size_t& shared() {
        static std::size_t count = 0;
        return count;
    }
};

}  // namespace qbipc::testing

template <>
class qbipc::detail::Mapping<qbipc::testing::OneMappingKernel> {
    using Kernel = qbipc::testing::OneMappingKernel;

public:
    Mapping() noexcept = default;
    Mapping(Mapping&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(other.size_) {}
    Mapping& operator=(Mapping&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~Mapping() {
        if (data_ != nullptr) Kernel::unmap(data_, size_);
    }
    static Result<Mapping> make(int memory, std::size_t size, Access, ForkGuard) {
        Mapping mapping;
        mapping.data_ = static_cast<std::byte*>(Kernel::map(memory, size));
        if (mapping.data_ == nullptr) return fail(std::make_error_code(std::errc::not_enough_memory));
        mapping.size_ = size;
        return mapping;
    }

    std::byte* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    std::error_code populate(std::size_t, std::size_t, Access = Access::write) const noexcept { return {}; }
    std::size_t missing(std::size_t, std::size_t) const noexcept { return 0; }
    void want_huge_pages() const noexcept {}
    std::error_code lock() const noexcept { return {}; }

private:
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

namespace qbipc::testing {

template <WaitStrategy Wait>
using OneMappingRing = BasicShmRing<Wait, OneMappingKernel>;

}  // namespace qbipc::testing
