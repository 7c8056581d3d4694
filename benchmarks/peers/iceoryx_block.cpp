// SPDX-License-Identifier: BSL-1.0
// iceoryx_block.cpp: iceoryx, both sides asleep in a WaitSet until a message comes.
#include "iceoryx_peer.hpp"

int main(int argc, char** argv) { run_iceoryx<IceoryxPeer<IceoryxWaits::in_wait_set>>(argc, argv); }
