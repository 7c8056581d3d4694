// SPDX-License-Identifier: BSL-1.0
// qbipc_spin.cpp: this library over shared memory, never asleep.
#include "qbipc_peer.hpp"

int main(int argc, char** argv) {
    return bench::run<bench::ours::Peer<qbipc::BasicShmRing<qbipc::Spin>, bench::ours::How::by_copy, false>>(argc,
                                                                                                             argv);
}
