# SPDX-License-Identifier: BSL-1.0
"""Names, socket files, and the crowd at the door."""
from fault import Cases, Fault

FILE, DIRECTORY = "detail/socket_file.hpp", "detail/runtime_directory.hpp"

FAULTS = [
    Fault(
        "a socket file's mode is what the umask leaves",
        FILE,
        "        if (const int error = set_mode(options.mode.value_or(0666) & 07777); error < 0) return to_error(error);\n",
        "",
        Cases("detail/socket_file.cpp", "a socket file has exactly the mode that was asked for, whatever the umask"),
    ),
    Fault(
        "the way to the sockets may be a link",
        DIRECTORY,
        "O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC",
        "O_PATH | O_DIRECTORY | O_CLOEXEC",
        Cases("detail/runtime_directory.cpp", "what isn't this user's own directory is no library directory"),
    ),
    Fault(
        "somebody else's directory will do",
        DIRECTORY,
        "    if (status.st_uid != Kernel::geteuid()) return fail(errc::no_runtime_directory);\n",
        "",
        Cases("detail/runtime_directory.cpp", "what isn't this user's own directory is no library directory", root=True),
    ),
    Fault(
        "a directory that others write in is a user's own",
        DIRECTORY,
        " && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0",
        "",
        Cases("detail/runtime_directory.cpp", "a user's sockets are in his runtime directory, if it is his own"),
    ),
    Fault(
        "several hold a directory's lock at once",
        DIRECTORY,
        "LOCK_EX | LOCK_NB",
        "LOCK_SH | LOCK_NB",
        Cases("detail/runtime_directory.cpp", "a directory's lock has one holder at a time, and is taken once he lets go"),
    ),
    Fault(
        "a forked child keeps a directory's lock",
        DIRECTORY,
        "        if (directory_ >= 0) Kernel::flock(directory_, LOCK_UN);\n",
        "",
        Cases("detail/runtime_directory.cpp", "a child forked under the lock doesn't keep it"),
    ),
    Fault(
        "a service with a full backlog is taken for a dead one",
        FILE,
        "            case EAGAIN:      // lives, with a full backlog\n",
        "",
        Cases("detail/socket_file.cpp", "a live socket is never taken"),
    ),
    Fault(
        "a service that ends removes whatever has its name",
        FILE,
        "if (in_place()) Kernel::unlinkat",
        "Kernel::unlinkat",
        Cases("detail/socket_file.cpp", "a service whose name somebody else has taken leaves his file alone"),
    ),
    Fault(
        "a forked child that ends removes its parent's file",
        FILE,
        "owner_ == 0 || owner_ != Kernel::getpid()",
        "owner_ == 0",
        Cases("detail/socket_file.cpp", "a forked child that ends leaves its parent's file alone"),
    ),
    Fault(
        "a service out of descriptors spins",
        "detail/listening.hpp",
        "            if (is_scarcity(fd)) {\n                rest();\n                continue;",
        "            if (is_scarcity(fd)) {\n                continue;",
        Cases("detail/listening.cpp", "a service out of descriptors tells some that it is busy, does not spin, and recovers"),
    ),
    Fault(
        "a service without memory for a visitor spins",
        "detail/listening.hpp",
        "return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS;",
        "return error == -EMFILE || error == -ENFILE;",
        Cases("detail/listening.cpp", "a service short of memory waits a little and goes on"),
    ),
    Fault(
        "whoever floods the door fills a queue of thousands",
        "detail/listening_socket.hpp",
        "Kernel::listen(socket->get(), backlog)",
        "Kernel::listen(socket->get(), SOMAXCONN)",
        Cases("detail/listening.cpp", "few wait in the kernel: a flood is not in the way of others for long"),
    ),
    Fault(
        "a door that rests is never opened again",
        "detail/listening.hpp",
        "        return 1u << abstract_door | 1u << file_door;",
        "        return 0u;",
        Cases("detail/listening.cpp", "a door that rests is quiet, whoever knocks"),
    ),
    Fault(
        "a door that rests is watched all the same",
        "detail/listening.hpp",
        "return resting() ? 0u : std::uint32_t{EPOLLIN};",
        "return std::uint32_t{EPOLLIN};",
        Cases("detail/listening.cpp", "a door that rests is quiet, whoever knocks"),
    ),
    Fault(
        "who had to wait for his turn at the door is forgotten",
        "detail/reception.hpp",
        "if (!all) listener_.rest_until",
        "if (false) listener_.rest_until",
        Cases("process/floods.cpp", "beside a busy session all are let in", helpers=("peer",), others=("crowd", "victim"), root=True),
    ),
    Fault(
        "sessions are forgotten while their clients wait for the core",
        "detail/connecting_share.hpp",
        "contended_until_ = now + memory;",
        "contended_until_ = now + Clock::duration(1);",
        Cases("detail/connecting_share.cpp", "sessions are expected to have more"),
    ),
    Fault(
        "an impostor is greeted",
        "detail/connecting.hpp",
        "            if (const std::error_code refusal = check(*service)) {",
        "            if (const std::error_code refusal = candidates->empty() ? check(*service) : std::error_code()) {",
        Cases("detail/connecting.cpp", "an impostor gets not a byte, and the check's reason is the client's"),
    ),
    Fault(
        "who comes by the old door isn't told that the service moved",
        "detail/listening.hpp",
        "Accepted visitor{Descriptor(fd), {}, door != wanted_, {}};",
        "Accepted visitor{Descriptor(fd), {}, false, {}};",
        Cases("detail/listening.cpp", "when the flag changes the new door opens without a visitor, and the old one says moved"),
    ),
]
