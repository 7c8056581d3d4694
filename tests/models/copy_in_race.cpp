// SPDX-License-Identifier: BSL-1.0
// A message is copied out of shared memory, one field of the copy is checked, and the copy is used, while another
// thread changes the original. Says how many got through with a field that had failed the check. Compiled by
// copy_in_race.py, at several levels of optimization; with QBIPC_TEST_BARE_MEMCPY the copy is not fenced, which is what
// copy_in() is there for.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include <qbipc/memory.hpp>

// No function here is local: the compiler must build each as if others called it too.
struct Message {
    std::uint32_t index, other;
    double values[15];
};

alignas(64) Message shared_message;
std::uint64_t delivered, bad;

[[gnu::noinline]] void handle(const Message& message) {
    ++delivered;
    if (message.index >= 16) ++bad;
}

[[gnu::noinline]] void deliver(const Message* shared) {
    Message copy;
#ifdef QBIPC_TEST_BARE_MEMCPY
    std::memcpy(&copy, shared, sizeof copy);
#else
    qbipc::PlainMemory::copy_in(&copy, shared, sizeof copy);
#endif
    if (copy.index < 16) handle(copy);
}

int main() {
    std::atomic<bool> stop{false};
    std::thread writer([&] {
        volatile std::uint32_t* index = &shared_message.index;
        while (!stop.load(std::memory_order_relaxed)) {
            *index = 3;
            *index = 3;
            *index = 1000;
        }
    });
    // By count of tries, and by time: on one core the writer seldom interferes.
    const char* const sought = std::getenv("QBIPC_TEST_RACE");  // for so many seconds, until it happens once
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(sought ? 1000 * std::atoi(sought) : 300);
    while ((std::chrono::steady_clock::now() < end && !(sought && bad != 0)) || delivered == 0) {
        for (int i = 0; i < 1000; ++i) deliver(&shared_message);
    }
    stop = true;
    writer.join();
    std::printf("%llu %llu\n", static_cast<unsigned long long>(delivered), static_cast<unsigned long long>(bad));
}
