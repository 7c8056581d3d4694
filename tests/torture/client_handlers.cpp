// SPDX-License-Identifier: BSL-1.0
// Services that die while their client is at work: in every function that it gives to the library, in every wait, while
// half of something is there, in the one half or the other. The mirror of handlers.cpp. Built with
// AddressSanitizer too.
//   torture-client-handlers [--full] [--seed N] [--times N] [--place NAME]
//
// The client kills its service itself, and waits until the kernel says that it is gone: each death is at one place.
#include <iterator>
#include <string>
#include <unistd.h>

#include <qbipc/qbipc.hpp>
#include <qbipc/transport/shm_ring.hpp>
#include <qbipc/transport/unix_socket.hpp>

#include "process/arguments.hpp"
#include "torture/client_places.hpp"
#include "torture/findings.hpp"
#include "torture/kin.hpp"
#include "torture/orphan.hpp"

using namespace qbipc;
using namespace qbipc::testing;

namespace {

template <class T>
void run(Findings& findings, Board& board, Nursery& nursery, char transport, const Words& words) {
    const std::string called = transport == 's' ? "shm" : "unix", only = words.after("--place");
    const auto name = "torture-" + std::to_string(::getpid()) + "-client-handlers-" + called;
    const long times = words.number("--times", words.full() ? 1'000 : 100);
    Random random(transport == 's' ? 70 : 71);
    for (const auto& place : Places<T>::all) {
        if (!only.empty() && only != place.name) continue;
        const auto where = called + ' ' + place.name;
        long slow = 0;
        for (long time = 0; time < times && !findings.hopeless(); ++time) {
            const int descriptors = open_descriptors(), mappings = session_mappings();
            Orphan<T> orphan(findings, board, nursery, name, transport, where, random);
            orphan.bear();
            if (place.owed) {
                if (const auto error = orphan.meet(anyone)) {
                    orphan.fail("connect gives: " + error.message());
                    continue;
                }
                orphan.owe();
            }
            place.run(orphan);
            if (place.last) orphan.settle();
            slow += orphan.end();
            orphan.audit();
            if (const int now = open_descriptors(); now != descriptors)
                orphan.fail(std::to_string(now - descriptors) + " descriptors are left");
            if (const int now = session_mappings(); now != mappings)
                orphan.fail(std::to_string(now - mappings) + " mappings are left");
            ++findings.kills;
        }
        // Now and then the machine is as slow.
        if (slow > times / 4) findings.fail(where + ": the client's end waits for a service that is dead");
    }
}

}  // namespace

int main(int argc, char** argv) {
    const Words words(argc, argv);
    Findings findings;
    Shared<Board> board;
    const auto name = "torture-" + std::to_string(::getpid()) + "-client-handlers-";
    Nursery nursery([&](char transport) {
        return transport == 's' ? serve<ShmRing>(*board, name + "shm") : serve<UnixSocket>(*board, name + "unix");
    });
    run<ShmRing>(findings, *board, nursery, 's', words);
    run<UnixSocket>(findings, *board, nursery, 'u', words);
    return findings.end("client-handlers",
                        std::to_string(std::size(Places<ShmRing>::all)) + " places in both transports" + how_built());
}
