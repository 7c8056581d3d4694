// SPDX-License-Identifier: BSL-1.0
// detail/event_bell.hpp: a bell between threads of one process: an eventfd. No peer ever holds it: it could block us.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

namespace qbipc::detail {

/// Owns the eventfd. Threads: any.
class EventBell {
public:
    EventBell() noexcept : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
    EventBell(const EventBell&) = delete;
    EventBell& operator=(const EventBell&) = delete;
    ~EventBell() {
        if (fd_ >= 0) ::close(fd_);
    }
    int fd() const noexcept { return fd_; }
    void ring() noexcept { (void)!::eventfd_write(fd_, 1); }
    void quiet() noexcept {
        eventfd_t count = 0;
        (void)!::eventfd_read(fd_, &count);
    }

private:
    int fd_;
};

}  // namespace qbipc::detail
