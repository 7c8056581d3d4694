// SPDX-License-Identifier: BSL-1.0
// descriptor.hpp: a file descriptor with one owner.
#pragma once

#include <utility>

#include <qbipc/error.hpp>
#include <qbipc/kernel.hpp>

namespace qbipc::detail {

/// Owns a file descriptor, or none; closes it when it is dropped. Who makes one asks for close-on-exec in the same call
/// (SOCK_CLOEXEC, O_CLOEXEC, ...): a descriptor that gets the flag later leaks into a child started in between.
template <class Kernel = LinuxKernel>
class BasicDescriptor {
public:
    constexpr BasicDescriptor() noexcept = default;
    constexpr explicit BasicDescriptor(int fd) noexcept : fd_(fd) {}
    BasicDescriptor(BasicDescriptor&& other) noexcept : fd_(other.release()) {}
    BasicDescriptor& operator=(BasicDescriptor&& other) noexcept {
        if (this != &other) reset(other.release());
        return *this;
    }
    ~BasicDescriptor() { reset(); }

    /// From what a function of Kernel gave: a descriptor or -errno.
    static Result<BasicDescriptor> from(int fd_or_error) {
        if (fd_or_error < 0) return fail_system(-fd_or_error);
        return BasicDescriptor(fd_or_error);
    }

    constexpr int get() const noexcept { return fd_; }
    constexpr explicit operator bool() const noexcept { return fd_ >= 0; }

    /// Gives the descriptor up: the caller closes it.
    constexpr int release() noexcept { return std::exchange(fd_, -1); }

    void reset(int fd = -1) noexcept {
        if (fd_ >= 0) Kernel::close(fd_);
        fd_ = fd;
    }

private:
    int fd_ = -1;
};

using Descriptor = BasicDescriptor<>;

}  // namespace qbipc::detail
