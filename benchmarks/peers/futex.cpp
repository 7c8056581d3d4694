// SPDX-License-Identifier: BSL-1.0
// futex.cpp: a machine limit: two processes wake each other by futexes, and sleep in between.
#include <atomic>
#include <climits>
#include <cstdint>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../harness/main.hpp"

namespace {

using Word = std::atomic<std::uint32_t>;

struct Words {
    alignas(128) Word there{0};
    alignas(128) Word back{0};
};

void set(Word& word, std::uint32_t value) {
    word.store(value, std::memory_order_release);
    ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

void await(Word& word, std::uint32_t value) {
    for (std::uint32_t seen; (seen = word.load(std::memory_order_acquire)) != value;)
        ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, nullptr, nullptr, 0);
}

struct Peer {
    static constexpr std::size_t largest = 8;
    static constexpr std::size_t smallest = 8;

    struct Common {
        explicit Common(const bench::Setup&) {}
        Words& words = *bench::make_shared_memory<Words>();
    };

    class Service {
    public:
        Service(const bench::Setup&, Common& common) : words_(common.words) {}
        void serve() {
            for (std::uint32_t next = 1;; ++next) {
                await(words_.there, next);
                set(words_.back, next);
            }
        }

    private:
        Words& words_;
    };

    class Client {
    public:
        Client(const bench::Setup&, Common& common) : words_(common.words) {}
        void call() {
            set(words_.there, ++last_);
            await(words_.back, last_);
        }

    private:
        Words& words_;
        std::uint32_t last_ = 0;
    };
};

}  // namespace

int main(int argc, char** argv) { return bench::run<Peer>(argc, argv); }
