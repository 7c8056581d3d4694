// SPDX-License-Identifier: BSL-1.0
// qbipc_socket.cpp: this library over Unix sockets.
#include "qbipc_peer.hpp"

int main(int argc, char** argv) { return bench::run<bench::ours::Peer<qbipc::UnixSocket>>(argc, argv); }
