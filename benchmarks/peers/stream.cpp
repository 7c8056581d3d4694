// SPDX-License-Identifier: BSL-1.0
// stream.cpp: a machine limit: a bare Unix stream socket.
#include "socket_peer.hpp"

int main(int argc, char** argv) { return bench::run<bench::bare::Peer<SOCK_STREAM>>(argc, argv); }
