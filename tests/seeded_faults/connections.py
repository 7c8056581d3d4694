# SPDX-License-Identifier: BSL-1.0
"""Open connections: quotas, deaths, forks, what a process has besides."""
from fault import Cases, Fault

ADMISSION = "detail/admission.hpp"
NO_WAIT = Cases("transport/sockets.cpp", "no call waits for a peer, though somebody has made its socket wait")
NO_SIGNAL = Cases("transport/sockets.cpp", "a peer that is gone is an error for whoever sends to it, never a signal")

FAULTS = [
    Fault(
        "a session's place isn't given back",
        ADMISSION,
        "        sessions_.give_back(found->second.sessions);\n        if (found->second.sessions == 0) users_.erase(found);\n",
        "",
        Cases("detail/admission.cpp", "whoever comes and goes, the counts are those of who is there"),
    ),
    Fault(
        "a half-open place isn't given back by who never was in",
        ADMISSION,
        "        if (!established) half_open_.give_back(found->second.half_open);\n",
        "        (void)established;\n",
        Cases("detail/admission.cpp", "half-open connections are limited for each user and in all, and the limit passes"),
    ),
    Fault(
        "one user may have all the places that are left",
        ADMISSION,
        "return his < (in_all_ - (taken_ - his)) / (users_ + 1);",
        "return true;",
        Cases("detail/admission.cpp", "whoever comes late finds a place, however many users took all they could get"),
    ),
    Fault(
        "what lanes grow to isn't counted",
        "detail/shm_end.hpp",
        "pages_.take(count) ? ",
        "true ? ",
        Cases("process/quotas.cpp", "a user whose clients don't read costs a service no more shared memory than his quota"),
    ),
    Fault(
        "what lanes grew to isn't given back",
        "detail/memory_account.hpp",
        "std::exchange(account_, nullptr)->give_back(std::exchange(held_, 0));",
        "account_ = nullptr;",
        Cases("process/quotas.cpp", "a user whose clients don't read costs a service no more shared memory than his quota"),
    ),
    Fault(
        "who broke the protocol is heard for as long as he goes on",
        "detail/shm_end.hpp",
        "        if constexpr (side == Side::service) hang_up();\n        break_off();\n",
        "        standing_.break_off();\n",
        Cases("process/quotas.cpp", "who shows an impossible credit is heard for one more lap at most"),
    ),
    Fault(
        "a bell waits for room in a full socket",
        "detail/ring_bell.hpp",
        "Kernel::send(socket, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);",
        "Kernel::send(socket, &byte, 1, MSG_NOSIGNAL);",
        NO_WAIT,
    ),
    Fault(
        "a frame waits for room in a full socket",
        "detail/frame_sender.hpp",
        "MSG_DONTWAIT | MSG_NOSIGNAL",
        "MSG_NOSIGNAL",
        NO_WAIT,
    ),
    Fault(
        "a look for bells waits until one comes",
        "detail/shm_end.hpp",
        "Kernel::recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT)",
        "Kernel::recv(socket, bytes.data(), bytes.size(), 0)",
        NO_WAIT,
    ),
    Fault(
        "a bell for a dead peer is a SIGPIPE",
        "detail/ring_bell.hpp",
        "Kernel::send(socket, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);",
        "Kernel::send(socket, &byte, 1, MSG_DONTWAIT);",
        NO_SIGNAL,
    ),
    Fault(
        "a frame for a dead peer is a SIGPIPE",
        "detail/frame_sender.hpp",
        "MSG_DONTWAIT | MSG_NOSIGNAL",
        "MSG_DONTWAIT",
        NO_SIGNAL,
    ),
    Fault(
        "a reply to a dead visitor is a SIGPIPE",
        "detail/greeting.hpp",
        "Kernel::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL)",
        "Kernel::sendmsg(socket, &message, MSG_DONTWAIT)",
        NO_SIGNAL,
    ),
    Fault(
        "a call that a signal cut short isn't made again",
        "kernel.hpp",
        "            if (errno != EINTR) return static_cast",
        "            return static_cast",
        Cases("kernel.cpp", "a signal cuts no call short that reads or takes something"),
    ),
    Fault(
        "a wait ends at whatever signal comes",
        "detail/waiting.hpp",
        "if (ready != -EINTR) return ready;",
        "return ready;",
        Cases("kernel.cpp", "a wait with a deadline goes on after a signal"),
    ),
    Fault(
        "death is noticed by a hang-up alone",
        "detail/shm_service_end.hpp",
        "            process_.watch(call_.get(), epoll_, tag_);\n",
        "            ;\n",
        Cases("process/liveness.cpp", "a client that is killed is lost, though its forked child keeps its sockets", helpers=("peer",)),
    ),
    Fault(
        "the end of a client's stream is taken for silence",
        "detail/shm_end.hpp",
        "    if (count <= 0) {\n        heard.gone = true;\n        return heard;\n    }\n",
        "    if (count <= 0) return heard;\n",
        Cases("transport/ends.cpp", "a client that vanishes is told from one that says bye"),
    ),
    Fault(
        "a session that ended stays in the epoll where a child has a copy",
        "detail/shm_service_end.hpp",
        "Kernel::epoll_ctl(std::exchange(epoll_, -1), EPOLL_CTL_DEL, call_.get(), nullptr);",
        "epoll_ = -1;",
        Cases("process/liveness.cpp", "a service whose own child holds copies of all its descriptors forgets who has died", helpers=("peer",)),
    ),
    Fault(
        "a forked child may use its parent's connection",
        "detail/fork_guard.hpp",
        "return mark_->load(std::memory_order_relaxed) == 0;",
        "return false;",
        Cases("transport/ends.cpp", "a forked child can neither use nor disturb the connection"),
    ),
    Fault(
        "a connection that is dropped stays mapped",
        "detail/shared_memory.hpp",
        "if (region_.get_address() == nullptr || !guard_.forked()) region_.~Region();",
        "if (region_.get_address() == nullptr) region_.~Region();",
        Cases("process/quotas.cpp", "a service can't make its client hold messages or lanes larger than it accepts"),
    ),
    Fault(
        "a client's socket is left to programs that it executes",
        "detail/connecting.hpp",
        "Kernel::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)",
        "Kernel::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)",
        Cases("detail/connecting.cpp", "the connected socket doesn't block, and is closed on exec"),
    ),
    Fault(
        "descriptors that are received are left to programs that are executed",
        "detail/greeting.hpp",
        "MSG_DONTWAIT | MSG_CMSG_CLOEXEC",
        "MSG_DONTWAIT",
        Cases("process/offspring.cpp", "a program that is executed while others connect inherits no descriptor", helpers=("busy",)),
    ),
    Fault(
        "accepted sockets are left to programs that are executed",
        "detail/listening.hpp",
        "return Kernel::accept4(socket_of(door), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);",
        "return Kernel::accept4(socket_of(door), nullptr, nullptr, SOCK_NONBLOCK);",
        Cases("process/offspring.cpp", "a program that is executed while others connect inherits no descriptor", helpers=("busy",)),
    ),
]
