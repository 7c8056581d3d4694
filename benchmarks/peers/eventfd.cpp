// SPDX-License-Identifier: BSL-1.0
// eventfd.cpp: a machine limit: two processes wake each other by eventfds, and sleep in between.
#include <cstdint>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../harness/main.hpp"

namespace {

void ring(int fd) {
    const std::uint64_t one = 1;
    bench::expect(::write(fd, &one, sizeof one) == sizeof one, "write");
}

void await(int fd) {
    std::uint64_t rung = 0;
    bench::expect(::read(fd, &rung, sizeof rung) == sizeof rung, "read");
}

struct Peer {
    static constexpr std::size_t largest = 8;
    static constexpr std::size_t smallest = 8;

    struct Common {
        explicit Common(const bench::Setup&) { bench::expect(there >= 0 && back >= 0, "eventfd"); }
        int there = ::eventfd(0, EFD_CLOEXEC);
        int back = ::eventfd(0, EFD_CLOEXEC);
    };

    class Service {
    public:
        Service(const bench::Setup&, Common& common) : common_(common) {}
        void serve() {
            for (;;) {
                await(common_.there);
                ring(common_.back);
            }
        }

    private:
        Common& common_;
    };

    class Client {
    public:
        Client(const bench::Setup&, Common& common) : common_(common) {}
        void call() {
            ring(common_.there);
            await(common_.back);
        }

    private:
        Common& common_;
    };
};

}  // namespace

int main(int argc, char** argv) { return bench::run<Peer>(argc, argv); }
