// SPDX-License-Identifier: BSL-1.0
// line.cpp: a machine limit: one cache line there and one back. Nothing that spins on memory can be faster.
#include <atomic>
#include <cstdint>

#include "../harness/main.hpp"

namespace {

struct Lines {
    alignas(128) std::atomic<std::uint64_t> there{0};
    alignas(128) std::atomic<std::uint64_t> back{0};
};

struct Peer {
    static constexpr std::size_t largest = 8;
    static constexpr std::size_t smallest = 8;
    static constexpr bool sleeps = false;

    struct Common {
        explicit Common(const bench::Setup&) {}
        Lines& lines = *bench::make_shared_memory<Lines>();
    };

    class Service {
    public:
        Service(const bench::Setup&, Common& common) : lines_(common.lines) {}
        void serve() {
            for (std::uint64_t next = 1;; ++next) {
                while (lines_.there.load(std::memory_order_acquire) != next) {
                }
                lines_.back.store(next, std::memory_order_release);
            }
        }

    private:
        Lines& lines_;
    };

    class Client {
    public:
        Client(const bench::Setup&, Common& common) : lines_(common.lines) {}
        void call() {
            lines_.there.store(++last_, std::memory_order_release);
            while (lines_.back.load(std::memory_order_acquire) != last_) {
            }
        }

    private:
        Lines& lines_;
        std::uint64_t last_ = 0;
    };
};

}  // namespace

int main(int argc, char** argv) { return bench::run<Peer>(argc, argv); }
