// SPDX-License-Identifier: BSL-1.0
// transports.hpp: which transports the conformance suite is run over: all of the library's, or one of your own.
//
// A transport of your own: compile the files of this folder (and ../support/main.cpp) with
//     -DQBIPC_CONFORMANCE_INCLUDE='"my/transport.hpp"' -DQBIPC_CONFORMANCE_TRANSPORT=my::Transport
// The suite asks nothing but what TransportPolicy says; its services run in a thread of the same process.
#pragma once

#include <tuple>

#ifdef QBIPC_CONFORMANCE_TRANSPORT
#include QBIPC_CONFORMANCE_INCLUDE
#else
#include <qbipc/transport/in_process.hpp>
#include <qbipc/transport/shm_ring.hpp>
#include <qbipc/transport/unix_socket.hpp>
#endif

namespace conformance {

#ifdef QBIPC_CONFORMANCE_TRANSPORT
using Transports = std::tuple<QBIPC_CONFORMANCE_TRANSPORT>;
#else
using Transports = std::tuple<qbipc::InProcess, qbipc::ShmRing, qbipc::UnixSocket>;
#endif

}  // namespace conformance
