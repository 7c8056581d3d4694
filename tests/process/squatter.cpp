// SPDX-License-Identifier: BSL-1.0
// Takes an abstract name whenever it is free, lets in whoever comes, listens to him a little, and lets go of the name.
//   squatter NAME user=N      "how often" says how that went, and how many bytes were said to it
#include <atomic>
#include <iostream>
#include <string>
#include <thread>

#include "attacker/sockets.hpp"
#include "process/arguments.hpp"

using namespace attacker;

int main(int argc, char** argv) {
    const qbipc::testing::Arguments arguments(argc, argv);
    if (argc < 2 || !qbipc::testing::become(arguments)) return 2;
    const std::string name = argv[1];
    std::atomic<std::uint64_t> taken{0}, visitors{0}, bytes{0};
    std::jthread squatting([&](std::stop_token stop) {
        while (!stop.stop_requested()) {
            // Now and then somebody else has a chance.
            if (taken % 2 == 1) std::this_thread::sleep_for(std::chrono::milliseconds(5));
            const Fd door = listen_at(name);
            if (!door) {
                std::this_thread::sleep_for(std::chrono::microseconds(300));
                continue;
            }
            ++taken;
            for (int i = 0; i < 3 && readable(door.get(), std::chrono::milliseconds(2)); ++i) {
                const Fd one(::accept4(door.get(), nullptr, nullptr, SOCK_CLOEXEC));
                ++visitors;
                bytes += take(one.get(), 256, nullptr, std::chrono::milliseconds(2)).size();
            }
        }
    });
    std::cout << "ready" << std::endl;
    qbipc::testing::Lines lines;
    for (std::string line; lines.next(line);)
        std::cout << "taken=" << taken << " visitors=" << visitors << " bytes=" << bytes << std::endl;
    return 0;
}
