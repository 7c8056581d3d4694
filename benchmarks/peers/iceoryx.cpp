// SPDX-License-Identifier: BSL-1.0
// iceoryx.cpp: iceoryx, both sides spinning.
#include "iceoryx_peer.hpp"

int main(int argc, char** argv) { run_iceoryx<IceoryxPeer<IceoryxWaits::spinning>>(argc, argv); }
