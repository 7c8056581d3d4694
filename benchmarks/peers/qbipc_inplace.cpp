// SPDX-License-Identifier: BSL-1.0
// qbipc_inplace.cpp: this library over shared memory, built and read where it lies.
#include "qbipc_peer.hpp"

int main(int argc, char** argv) {
    return bench::run<bench::ours::Peer<qbipc::ShmRing, bench::ours::How::in_place>>(argc, argv);
}
