# SPDX-License-Identifier: BSL-1.0
"""Who is let in, and with what: credentials, the handshake, descriptors, memory that is handed over."""
from fault import Cases, Fault

GREETING, MEMORY = "detail/greeting.hpp", "detail/shared_memory.hpp"
TAKEN = Cases("process/quotas.cpp", "a client takes no descriptor but those that belong to a session, and keeps none of the others")
LARGER = Cases("process/quotas.cpp", "a service can't make its client hold messages or lanes larger than it accepts")
MADE = Cases("detail/shared_memory.cpp", "memory is made for its user alone, and not for programs that he executes")
WRONG_MEMORY = Cases("detail/shared_memory.cpp", "a client finds out what is wrong with memory it is given")

FAULTS = [
    Fault(
        "a surplus descriptor stays open",
        GREETING,
        "            if (have < into.size()) into[have] = std::move(taken);\n",
        "            if (have < into.size()) into[have] = std::move(taken);\n            (void)taken.release();\n",
        TAKEN,
    ),
    Fault(
        "descriptors that were cut off aren't missed",
        GREETING,
        "cut = cut || (message.msg_flags & MSG_CTRUNC) != 0;",
        "",
        Cases("process/quotas.cpp", "a control message that was cut is refused, though as much came as was announced"),
    ),
    Fault(
        "more descriptors may come than were announced",
        GREETING,
        "if (descriptors > reply->descriptors || descriptors == 0)",
        "if (descriptors == 0)",
        TAKEN,
    ),
    Fault(
        "anything is taken for a socket",
        GREETING,
        "        if (!is_unix_socket<Kernel>(welcome.descriptors[0].get())) return fail(errc::protocol_violation);\n"[4:],
        "",
        TAKEN,
    ),
    Fault(
        "a service decides how large a lane its client maps",
        "detail/shm_session.hpp",
        "lane > lane_size_for(options.lane_size) || ",
        "",
        LARGER,
    ),
    Fault(
        "a service decides how long a message its client holds",
        "detail/negotiation.hpp",
        "return in_force <= std::max(options.max_message, options.message_ceiling);",
        "return in_force != 0 || options.max_message == 0;",
        LARGER,
    ),
    Fault(
        "memory that can shrink is mapped",
        MEMORY,
        "(seals & required_seals) != required_seals",
        "(seals & required_seals) != (required_seals & ~F_SEAL_SHRINK)",
        Cases("detail/shared_memory.cpp", "each seal of an area is asked for"),
    ),
    Fault(
        "memory of huge pages is mapped",
        MEMORY,
        "    if (system.f_type != TMPFS_MAGIC) return errc::protocol_violation;\n",
        "",
        Cases("detail/shared_memory.cpp", "memory of huge pages is refused, though its seals and its size are right"),
    ),
    Fault(
        "memory of another size is mapped",
        MEMORY,
        " || static_cast<std::uint64_t>(status.st_size) != size",
        "",
        WRONG_MEMORY,
    ),
    Fault(
        "shared memory is everybody's to open",
        MEMORY,
        "    if (error >= 0) error = Kernel::fchmod(fd, 0600);\n",
        "",
        MADE,
    ),
    Fault(
        "shared memory is left to programs that are executed",
        MEMORY,
        "const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;",
        "const unsigned flags = MFD_ALLOW_SEALING;",
        MADE,
    ),
    Fault(
        "a limit on file sizes is met by a signal",
        MEMORY,
        "    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < size) return fail_system(EFBIG);\n",
        "",
        Cases("detail/shared_memory.cpp", "memory beyond the limit on file sizes is an error, not the kernel's signal"),
    ),
    Fault(
        "a client may write into its service's area",
        MEMORY,
        "F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;",
        "F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;",
        Cases("transport/ends.cpp", "nobody can write a service's area, or resize either, once the session is open"),
    ),
    Fault(
        "a client may punch holes into its area for as long as it lives",
        "detail/shm_service_end.hpp",
        "if (!seal_client_area<Kernel>(client_area_.get())) return this->violation();",
        "",
        Cases("process/strangers.cpp", "a client that seals nothing can't punch holes into its area once it is let in", helpers=("peer",)),
    ),
    Fault(
        "a bell is as good as an ack",
        "detail/shm_service_end.hpp",
        " || (heard.bells && heard.ack == established_)",
        "",
        Cases("transport/ends.cpp", "a session is half-open until the ack, and whatever else comes first ends it"),
    ),
    Fault(
        "a visitor who hangs up in the middle of his hello stays",
        GREETING,
        "            if (count == 0 || means_gone(count)) return fail(errc::disconnected);\n",
        "            if (count == 0) return false;\n            if (means_gone(count)) return fail(errc::disconnected);\n",
        Cases("transport/sockets.cpp", "a visitor who hangs up in the middle of his hello is known to be gone"),
    ),
    Fault(
        "a client reads on behind the end of its service's words",
        GREETING,
        "        if (count <= 0) return fail(errc::disconnected);\n        descriptors",
        "        if (count < 0) return fail(errc::disconnected);\n        descriptors",
        Cases("transport/sockets.cpp", "a service that hangs up in the middle of its reply is known to be gone"),
        hangs=True,
    ),
    Fault(
        "versions aren't compared",
        "detail/handshake.hpp",
        "if (ours.version != theirs.version) return",
        "if (false) return",
        Cases("detail/handshake.cpp", "any single bit wrong in what both must agree about is refused"),
    ),
    Fault(
        "a question about credentials that failed says root",
        "detail/credentials_of.hpp",
        """    if (const int error = Kernel::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &user, &size); error < 0)
        return fail_system(-error);
""",
        "    (void)Kernel::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &user, &size);\n",
        Cases("detail/credentials_of.cpp", "an error or an odd answer means no credentials at all"),
    ),
    Fault(
        "half an answer about credentials is believed",
        "detail/credentials_of.hpp",
        "size != sizeof user || ",
        "",
        Cases("detail/credentials_of.cpp", "an error or an odd answer means no credentials at all"),
    ),
    Fault(
        "credentials that nobody filled are root's",
        "credentials.hpp",
        "uid_t uid = static_cast<uid_t>(-1);",
        "uid_t uid = 0;",
        Cases("auth.cpp", "ids that name nobody match nothing, not even a negation"),
    ),
    Fault(
        "a user who isn't mapped is a user like any other",
        "credentials.hpp",
        "return id != static_cast<std::uint32_t>(-1) && id != 65534;",
        "return id != static_cast<std::uint32_t>(-1);",
        Cases("auth.cpp", "ids that name nobody match nothing, not even a negation"),
    ),
    Fault(
        "a visitor of whom nothing is known is let in",
        "detail/listening.hpp",
        "                visitor.refusal = credentials.error();\n",
        "                visitor.credentials = {};\n",
        Cases("detail/listening.cpp", "a visitor whose credentials can't be had is not let in"),
    ),
]
