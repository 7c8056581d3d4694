// SPDX-License-Identifier: BSL-1.0
#include "qbipc/kernel.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/waiting.hpp>

#include "support/catch.hpp"
#include "support/patience.hpp"
#include "support/temporary_directory.hpp"

using qbipc::LinuxKernel;
using qbipc::detail::Descriptor;
using namespace qbipc::testing;

namespace {

std::atomic<int> signals = 0;

/// A handler without SA_RESTART, as a program may have one.
class Handler {
public:
    Handler() {
        struct sigaction action {};
        action.sa_handler = [](int) { ++signals; };
        ::sigaction(SIGUSR1, &action, &before_);
        signals = 0;
    }
    Handler(const Handler&) = delete;
    Handler& operator=(const Handler&) = delete;
    ~Handler() { ::sigaction(SIGUSR1, &before_, nullptr); }

private:
    struct sigaction before_ {};
};

/// What a call gives that waits while its thread gets signals, at least ten of them, and that `finish` then lets end.
template <class Call, class Finish>
auto interrupted(Call call, Finish finish) {
    const Handler handler;
    std::atomic<bool> over = false;
    decltype(call()) result{};
    std::thread waiting([&] {
        result = call();
        over = true;
    });
    const auto end = std::chrono::steady_clock::now() + patience_of(std::chrono::seconds(20));
    while (signals < 10 && !over && std::chrono::steady_clock::now() < end) {
        ::pthread_kill(waiting.native_handle(), SIGUSR1);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    finish();
    waiting.join();
    return result;
}

struct Pair {
    Pair() { REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0); }
    Pair(const Pair&) = delete;
    Pair& operator=(const Pair&) = delete;
    ~Pair() { ::close(fds[0]), ::close(fds[1]); }
    void say_something() const { REQUIRE(::send(fds[1], "x", 1, MSG_NOSIGNAL) == 1); }
    void fill() const {
        const std::array<std::byte, 4096> nothing{};
        while (::send(fds[0], nothing.data(), nothing.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
        }
    }
    void read_all() const {
        std::array<std::byte, 4096> read;
        while (::recv(fds[1], read.data(), read.size(), MSG_DONTWAIT) > 0) {
        }
    }
    int fds[2];
};

/// One byte, as a message.
struct Message {
    std::byte byte{};
    iovec part{&byte, 1};
    msghdr header{};
    Message() { header.msg_iov = &part, header.msg_iovlen = 1; }
    Message(const Message&) = delete;
    Message& operator=(const Message&) = delete;
};

}  // namespace

TEST_CASE("a signal cuts no call short that reads or takes something", "[kernel]") {
    const Pair pair;
    std::byte byte{};
    const auto speak = [&] { pair.say_something(); };
    CHECK(interrupted([&] { return LinuxKernel::read(pair.fds[0], &byte, 1); }, speak) == 1);
    CHECK(interrupted([&] { return LinuxKernel::recv(pair.fds[0], &byte, 1, 0); }, speak) == 1);
    Message message;
    CHECK(interrupted([&] { return LinuxKernel::recvmsg(pair.fds[0], &message.header, 0); }, speak) == 1);

    TemporaryDirectory directory;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (directory / "socket").copy(address.sun_path, sizeof address.sun_path - 1);
    const auto* const name = reinterpret_cast<const sockaddr*>(&address);
    const Descriptor listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
        visitor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(listening.get(), name, sizeof address) == 0);
    REQUIRE(::listen(listening.get(), 1) == 0);
    const Descriptor accepted(
        interrupted([&] { return LinuxKernel::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC); },
                    [&] { REQUIRE(::connect(visitor.get(), name, sizeof address) == 0); }));
    CHECK(accepted);
}

TEST_CASE("a signal cuts no call short that writes something", "[kernel]") {
    const Pair pair;
    const std::byte byte{};
    const auto make_room = [&] { pair.read_all(); };
    pair.fill();
    CHECK(interrupted([&] { return LinuxKernel::write(pair.fds[0], &byte, 1); }, make_room) == 1);
    pair.fill();
    CHECK(interrupted([&] { return LinuxKernel::send(pair.fds[0], &byte, 1, MSG_NOSIGNAL); }, make_room) == 1);
    Message message;
    pair.fill();
    CHECK(interrupted([&] { return LinuxKernel::sendmsg(pair.fds[0], &message.header, MSG_NOSIGNAL); }, make_room) ==
          1);
}

TEST_CASE("a signal cuts neither a lock nor an opening short", "[kernel]") {
    TemporaryDirectory directory;
    const Descriptor first(::open(directory.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
        second(::open(directory.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    REQUIRE(::flock(first.get(), LOCK_EX) == 0);
    CHECK(interrupted([&] { return LinuxKernel::flock(second.get(), LOCK_EX); },
                      [&] { REQUIRE(::flock(first.get(), LOCK_UN) == 0); }) == 0);

    const auto fifo = directory / "fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    Descriptor other;
    const Descriptor reading(
        interrupted([&] { return LinuxKernel::openat(AT_FDCWD, fifo.c_str(), O_RDONLY | O_CLOEXEC); },
                    [&] { other.reset(::open(fifo.c_str(), O_RDWR | O_CLOEXEC)); }));
    CHECK(reading);
}

TEST_CASE("a wait with a deadline goes on after a signal", "[kernel]") {
    const Pair pair;
    pollfd one{pair.fds[0], POLLIN, 0};
    CHECK(interrupted([&] { return qbipc::detail::poll_until(&one, 1, qbipc::forever); },
                      [&] { pair.say_something(); }) == 1);
}
