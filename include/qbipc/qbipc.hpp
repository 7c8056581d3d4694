// SPDX-License-Identifier: BSL-1.0
// qbipc.hpp: the core of the library; the in-process transport is included by name.
#pragma once

#include <qbipc/address.hpp>
#include <qbipc/answer.hpp>
#include <qbipc/auth.hpp>
#include <qbipc/client.hpp>
#include <qbipc/config.hpp>
#include <qbipc/credentials.hpp>
#include <qbipc/error.hpp>
#include <qbipc/event.hpp>
#include <qbipc/frame.hpp>
#include <qbipc/halves.hpp>
#include <qbipc/ids.hpp>
#include <qbipc/incoming.hpp>
#include <qbipc/memory.hpp>
#include <qbipc/message.hpp>
#include <qbipc/options.hpp>
#include <qbipc/outgoing.hpp>
#include <qbipc/padding.hpp>
#include <qbipc/pending.hpp>
#include <qbipc/request.hpp>
#include <qbipc/selector.hpp>
#include <qbipc/service.hpp>
#include <qbipc/session.hpp>
#include <qbipc/statistics.hpp>
#include <qbipc/time.hpp>
#include <qbipc/transport.hpp>
#include <qbipc/transport/shm_ring.hpp>
#include <qbipc/transport/unix_socket.hpp>
#include <qbipc/version.hpp>
#include <qbipc/wait.hpp>
