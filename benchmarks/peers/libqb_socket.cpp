// SPDX-License-Identifier: BSL-1.0
// libqb_socket.cpp: libqb over Unix datagram sockets.
#include "libqb_peer.hpp"

int main(int argc, char** argv) { return bench::run<LibqbPeer<QB_IPC_SOCKET>>(argc, argv); }
