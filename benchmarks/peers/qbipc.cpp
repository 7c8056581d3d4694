// SPDX-License-Identifier: BSL-1.0
// qbipc.cpp: this library over shared memory, as it comes.
#include "qbipc_peer.hpp"

int main(int argc, char** argv) { return bench::run<bench::ours::Peer<qbipc::ShmRing>>(argc, argv); }
