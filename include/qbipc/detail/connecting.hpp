// SPDX-License-Identifier: BSL-1.0
// connecting.hpp: finds the service of an address, makes sure who it is, and tries again while that may help.
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <fcntl.h>
#include <optional>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <system_error>
#include <type_traits>
#include <utility>

#include <qbipc/address.hpp>
#include <qbipc/credentials.hpp>
#include <qbipc/detail/credentials_of.hpp>
#include <qbipc/detail/descriptor.hpp>
#include <qbipc/detail/flag_file.hpp>
#include <qbipc/detail/moved.hpp>
#include <qbipc/detail/names.hpp>
#include <qbipc/detail/runtime_directory.hpp>
#include <qbipc/detail/waiting.hpp>
#include <qbipc/error.hpp>
#include <qbipc/kernel.hpp>
#include <qbipc/options.hpp>
#include <qbipc/time.hpp>

namespace qbipc::detail {

inline constexpr auto flag_is_fresh = std::chrono::seconds(2);

/// connect() of a blocking socket, until the deadline. 0, or -errno; -EAGAIN at the deadline.
template <class Kernel>
int connect_blocking(int socket, const SocketAddress& address, Deadline deadline) {
    for (;;) {
        if (!deadline.is_forever()) {
            using std::chrono::microseconds;
            // Zero would mean for ever.
            const auto rest =
                std::max(std::chrono::ceil<microseconds>(left<Kernel>(deadline)), microseconds(1)).count();
            const timeval limit{rest / 1'000'000, rest % 1'000'000};
            const int error = Kernel::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
            if (error < 0) return error;
        }
        const int error = Kernel::connect(socket, address.get(), address.size());
        if (error != -EAGAIN && error != -EINTR) return error;
        if (left<Kernel>(deadline) == Clock::duration::zero()) return -EAGAIN;
    }
}

/// A connected, non-blocking socket. Where the service's backlog is full it waits in the kernel, until the deadline: a
/// non-blocking connect fails at once, and poll() has nothing to wait for.
/// Errors: timed_out, or what the kernel said.
template <class Kernel = LinuxKernel>
Result<Descriptor> connect_to(const SocketAddress& address, Deadline deadline) {
    auto socket = Descriptor::from(Kernel::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return socket;
    int error = Kernel::connect(socket->get(), address.get(), address.size());
    if (error == -EAGAIN) {  // so many wait there already that there is no place: only a blocking socket waits for one
        if (error = Kernel::fcntl(socket->get(), F_SETFL, 0); error < 0) return fail_system(-error);
        error = connect_blocking<Kernel>(socket->get(), address, deadline);
        const int flags = Kernel::fcntl(socket->get(), F_SETFL, O_NONBLOCK);
        if (flags < 0) return fail_system(-flags);
    }
    if (error == -EAGAIN) return fail(errc::timed_out);
    if (error < 0) return fail_system(-error);
    return socket;
}

/// Whether a failed connect just means that nobody is there: refusals by permission included, where it is the way to
/// the place that is closed and not the socket. A starting service may be there soon.
template <class Kernel>
bool nobody_there(const SocketAddress& address, std::error_code error) noexcept {
    if (error.category() != std::system_category()) return false;
    switch (error.value()) {
        case ECONNREFUSED:
        case ENOENT:
        case ENOTDIR:
            return true;
        case EACCES: {
            struct stat status {};
            return address.is_file() && Kernel::fstatat(AT_FDCWD, address.path(), status, 0) < 0;
        }
        default:
            return false;
    }
}

/// Connects to the service at an address and shakes hands with it.
///
/// Goes through the places where the service may be (places()); at each: connects, asks `check` about the service's
/// credentials before anything is sent, then calls `attempt(Descriptor& socket, const Credentials& service)`, which may
/// take the socket. What that gives is the answer, but for errc::busy and moved_error(): then it begins again, with a
/// look at the flag, after 1, 2, 4 ... 50 ms. Where nobody is there it tries for 50 ms; until the deadline, where a
/// service has said that it is there, the flag has just changed, or the options say to wait.
///
/// Blocking: until the deadline; at least one attempt is made.
/// Errors: bad_name, name_too_long; no_service; timed_out; busy (still, at the deadline); the refusal of `check`, where
/// no other place had the service either; std::errc::permission_denied (the socket file's mode); what `attempt` gave;
/// or what the kernel said.
template <class Kernel = LinuxKernel, class Attempt>
auto connect_socket(const Address& address, const Options& options, Deadline deadline, CredentialCheck check,
                    Attempt&& attempt) -> std::invoke_result_t<Attempt&, Descriptor&, const Credentials&> {
    const auto start = Kernel::now();
    const bool by_name = address.form() == Address::Form::name;
    const auto directories = by_name ? client_directories<Kernel>(check.only_user()) : Directories{};
    bool insist = options.wait_for_service;
    for (Backoff backoff;;) {
        const bool flag = by_name && flag_is_up<Kernel>(options.flag_file);
        const auto candidates = places(address, flag, directories);
        if (!candidates) return fail(candidates.error());

        auto verdict = make_error_code(errc::no_service);
        std::error_code impostor;
        bool asked_to_return = false;
        for (const auto& place : *candidates) {
            auto socket = connect_to<Kernel>(place, deadline);
            if (!socket) {
                if (socket.error() == errc::timed_out) return fail(errc::timed_out);
                if (!nobody_there<Kernel>(place, socket.error())) verdict = socket.error();
                continue;
            }
            const auto service = credentials_of<Kernel>(socket->get());
            if (!service) return fail(service.error());
            if (const std::error_code refusal = check(*service)) {
                // Not a byte for him; but who took one place doesn't keep us from the next.
                impostor = refusal;
                continue;
            }
            auto outcome = attempt(*socket, *service);
            if (outcome) return outcome;
            if (outcome.error() == moved_error()) {
                verdict = make_error_code(errc::timed_out);
                asked_to_return = true;
                continue;
            }
            if (outcome.error() == make_error_code(errc::disconnected) && options.wait_for_service) {
                verdict = outcome.error();  // it went away meanwhile, and may be on its way back
                continue;
            }
            if (outcome.error() != make_error_code(errc::busy)) return outcome;
            verdict = outcome.error();
            asked_to_return = true;
            break;
        }
        if (impostor && !asked_to_return) return fail(impostor);
        insist = insist || asked_to_return;
        if (left<Kernel>(deadline) == Clock::duration::zero()) return fail(verdict);
        if (!insist && Kernel::now() - start >= patience_with_absence &&
            !(by_name && flag_changed_within<Kernel>(options.flag_file, flag_is_fresh)))
            return fail(verdict);
        pause_until<Kernel>(deadline, backoff.next());
    }
}

}  // namespace qbipc::detail
