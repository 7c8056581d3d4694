// SPDX-License-Identifier: BSL-1.0
// seqpacket.cpp: a machine limit: a bare Unix seqpacket socket.
#include "socket_peer.hpp"

int main(int argc, char** argv) { return bench::run<bench::bare::Peer<SOCK_SEQPACKET>>(argc, argv); }
