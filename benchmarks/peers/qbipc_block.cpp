// SPDX-License-Identifier: BSL-1.0
// qbipc_block.cpp: this library over shared memory, asleep whenever it waits.
#include "qbipc_peer.hpp"

int main(int argc, char** argv) { return bench::run<bench::ours::Peer<qbipc::BasicShmRing<qbipc::Block>>>(argc, argv); }
