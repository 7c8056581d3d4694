// SPDX-License-Identifier: BSL-1.0
// options.hpp: what a client or a service may choose; every field has a default that suits most.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>

#include <qbipc/config.hpp>

namespace qbipc {

/// When the memory of lanes comes to be; each side decides for itself. Matters to ShmRing alone.
enum class Pages : std::uint8_t {
    touched,   ///< as it is used: connecting takes the same time whatever the lanes' size
    reserved,  ///< before the connection is made: all that this side writes
    locked,    ///< likewise, and all that this side writes or reads stays in memory: no page fault later
};

/// A client's choices. Sizes are in bytes.
struct Options {
    /// The largest message this side wants to send or receive. In force is what the service makes of it: raised to what
    /// it enforces, cut to its cap; see Client::max_message().
    std::size_t max_message = std::size_t{1} << 20;
    /// A client's bound on what the service may raise that to, and so on what it can make the client hold at once: one
    /// answer and one event of this size. A service that enforces more gives message_too_large.
    std::size_t message_ceiling = std::size_t{256} << 20;
    /// Address space of each lane, rounded up to a power of two of at least 64 KiB; memory comes as it is touched.
    /// A message may be larger than its lane: it then passes through in pieces.
    std::size_t lane_size = std::size_t{4} << 20;
    /// When lanes get their memory. Errors of a connect(), where it can't be had: memory_not_locked (RLIMIT_MEMLOCK),
    /// not_enough_memory.
    Pages pages = Pages::touched;
    /// Ask for huge pages, which the kernel gives where transparent_hugepage/shmem_enabled says so. Ignored otherwise.
    bool huge_pages = false;
    /// Wait for a service that isn't there yet, until the deadline, instead of `no_service` after 50 ms.
    bool wait_for_service = false;
    /// The file whose existence switches new connections to filesystem sockets.
    std::string flag_file = QBIPC_FORCE_FILESYSTEM_SOCKETS;
};

/// A service's limits; over a half-open limit a client is told `busy` and tries again, over others `too_many_sessions`.
/// Once several users have taken half of the sessions, or handshakes, who has some may have no more than his part of
/// what the others leave.
struct Limits {
    std::size_t sessions = 4096;                                     ///< open at once
    std::size_t sessions_per_user = 2048;                            ///< of these, per uid
    std::size_t half_open = 64;                                      ///< in the handshake at once
    std::size_t half_open_per_user = 16;                             ///< of these, per uid
    std::chrono::milliseconds handshake = std::chrono::seconds(30);  ///< for a hello, then for the ack; to linger
    /// Private memory for the answers of one session that wait for room, in bytes; further ones become `over_quota`.
    std::size_t session_bytes = std::size_t{8} << 20;
    /// The same of all sessions of one uid, and what they sent of large messages that aren't complete yet: a session
    /// that needs more ends with EndReason::quota.
    std::size_t user_bytes = std::size_t{256} << 20;
    /// Shared memory that the lanes to the clients of one uid have grown to, which they do while these don't read; and
    /// what of their lanes this side had to allocate, for they published there without: a session that needs more ends
    /// with EndReason::quota. A lane that would grow once half of it is taken grows no further for speed alone.
    /// Pages::reserved isn't counted: it is the service's own wish.
    std::size_t user_lane_bytes = std::size_t{1} << (sizeof(std::size_t) > 4 ? 32 : 30);
    std::size_t unanswered = 4096;  ///< calls of one session taken and not yet answered; more wait in its lane
};

/// A service's choices: a client's, read as caps, and more.
struct ServiceOptions : Options {
    std::size_t min_message = 0;  ///< raise each session's largest message to at least this, whatever the client asked
    std::optional<mode_t> mode = {};  ///< of a filesystem socket; absent: 0666, for policies decide who may connect
    std::optional<uid_t> owner = {};  ///< of a filesystem socket; absent: unchanged
    std::optional<gid_t> group = {};  ///< of a filesystem socket; absent: unchanged
    /// End a session when the process of its client dies, even where a child that it forked keeps its sockets open.
    /// Takes a descriptor for each session, and a kernel from 6.5 on; without either, such a session lasts as long as
    /// the child.
    bool watch_processes = true;
    Limits limits = {};
};

/// How much one dispatch() may do.
struct Budget {
    std::size_t frames = 256;
};

}  // namespace qbipc
