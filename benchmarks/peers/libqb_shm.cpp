// SPDX-License-Identifier: BSL-1.0
// libqb_shm.cpp: libqb over shared memory, its default on Linux.
#include "libqb_peer.hpp"

int main(int argc, char** argv) { return bench::run<LibqbPeer<QB_IPC_SHM>>(argc, argv); }
