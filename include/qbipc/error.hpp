// SPDX-License-Identifier: BSL-1.0
// error.hpp: errors are values: the library's error codes, Result, and how an example's main() ends on one.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <system_error>
#include <utility>

#include <tl/expected.hpp>

#include <qbipc/config.hpp>

namespace qbipc {

/// Everything that the library itself reports. Each compares equal to the `std::errc` named beside it.
enum class errc : std::int32_t {
    timed_out = 1,        ///< the deadline passed (std::errc::timed_out)
    lane_full,            ///< no room in the lane now (std::errc::resource_unavailable_try_again)
    message_too_large,    ///< larger than the negotiated limit; nothing was sent (std::errc::message_size)
    disconnected,         ///< the peer is gone, or this side has disconnected (std::errc::not_connected)
    not_permitted,        ///< a policy said no (std::errc::permission_denied)
    wrong_service,        ///< the service is not who the client's policy expects (std::errc::permission_denied)
    no_service,           ///< nobody listens at the address (std::errc::connection_refused)
    address_in_use,       ///< a live service listens there already (std::errc::address_in_use)
    no_such_message,      ///< the service has no function for this id (std::errc::function_not_supported)
    wrong_size,           ///< a payload of another size than the message's (std::errc::bad_message)
    unanswered,           ///< the service dropped the call's Answer (std::errc::no_message)
    handler_failed,       ///< the service's function threw (std::errc::io_error)
    protocol_violation,   ///< the peer sent what no honest peer sends (std::errc::protocol_error)
    incompatible,         ///< other transport, version, word size or byte order (std::errc::protocol_not_supported)
    not_supported,        ///< this kernel can't do it (std::errc::operation_not_supported)
    descriptors_refused,  ///< the kernel or a security module took the descriptors (std::errc::operation_not_permitted)
    too_many_sessions,    ///< the service's limit, in all or for this user (std::errc::connection_refused)
    busy,                 ///< too many half-open connections; try again (std::errc::device_or_resource_busy)
    would_recurse,        ///< dispatch() or receive() inside a handler, or a start() that waits for that one to end
                          ///< (std::errc::resource_deadlock_would_occur)
    used_after_fork,      ///< a forked child used its parent's connection (std::errc::operation_not_permitted)
    bad_name,             ///< a name that is empty, begins with a dot, or has '/' or NUL (std::errc::invalid_argument)
    name_too_long,        ///< a name over 90 bytes, or a path over 107 (std::errc::filename_too_long)
    no_runtime_directory,  ///< no directory of this user's own for a socket file (std::errc::no_such_file_or_directory)
    over_quota,            ///< this session, or its user's, would hold too much (std::errc::not_enough_memory)
    memory_not_locked,     ///< Pages::locked, and RLIMIT_MEMLOCK forbids it (std::errc::not_enough_memory)
};

/// The category of errc.
const std::error_category& category() noexcept;

/// The category of application errors whose own category this side can't name: same value, no text.
const std::error_category& application_category() noexcept;

inline std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), category()}; }

}  // namespace qbipc

template <>
struct std::is_error_code_enum<qbipc::errc> : std::true_type {};

namespace qbipc {

/// What two sides of a handshake may disagree about.
enum class Mismatch : std::uint8_t { transport = 1, version, word_size, byte_order, layout };

/// errc::incompatible with both sides named in its message; compares equal to errc::incompatible.
/// @param ours,theirs  12 bits each: the value of the disagreeing field on this side and on the peer's
std::error_code incompatible(Mismatch what, std::uint16_t ours, std::uint16_t theirs) noexcept;

namespace detail {

struct ErrcEntry {
    const char* text;
    std::errc equivalent;
};

inline ErrcEntry describe(errc code) noexcept {
    switch (code) {
        case errc::timed_out:
            return {"the deadline passed", std::errc::timed_out};
        case errc::lane_full:
            return {"the lane is full", std::errc::resource_unavailable_try_again};
        case errc::message_too_large:
            return {"the message is larger than the negotiated limit", std::errc::message_size};
        case errc::disconnected:
            return {"the peer is gone", std::errc::not_connected};
        case errc::not_permitted:
            return {"a policy refused it", std::errc::permission_denied};
        case errc::wrong_service:
            return {"the service is not who the policy expects", std::errc::permission_denied};
        case errc::no_service:
            return {"no service listens at this address", std::errc::connection_refused};
        case errc::address_in_use:
            return {"a service listens at this address already", std::errc::address_in_use};
        case errc::no_such_message:
            return {"the service has no such message", std::errc::function_not_supported};
        case errc::wrong_size:
            return {"the payload has another size than the message", std::errc::bad_message};
        case errc::unanswered:
            return {"the service dropped the call without an answer", std::errc::no_message};
        case errc::handler_failed:
            return {"the service's function threw an exception", std::errc::io_error};
        case errc::protocol_violation:
            return {"the peer broke the protocol", std::errc::protocol_error};
        case errc::incompatible:
            return {"the two sides are incompatible", std::errc::protocol_not_supported};
        case errc::not_supported:
            return {"this kernel does not support it", std::errc::operation_not_supported};
        case errc::descriptors_refused:
            return {"the descriptors did not arrive (a security module or the descriptor limit); UnixSocket may work",
                    std::errc::operation_not_permitted};
        case errc::too_many_sessions:
            return {"the service has too many sessions", std::errc::connection_refused};
        case errc::busy:
            return {"the service has too many half-open connections", std::errc::device_or_resource_busy};
        case errc::would_recurse:
            return {"dispatch() or receive() inside a handler", std::errc::resource_deadlock_would_occur};
        case errc::used_after_fork:
            return {"a forked child used its parent's connection", std::errc::operation_not_permitted};
        case errc::bad_name:
            return {"not a name for a service: 1 to 90 bytes, no '/', no leading dot (a file is Address::path())",
                    std::errc::invalid_argument};
        case errc::name_too_long:
            return {"the name is too long", std::errc::filename_too_long};
        case errc::no_runtime_directory:
            return {"this user has no runtime directory for a socket", std::errc::no_such_file_or_directory};
        case errc::memory_not_locked:
            return {"the lanes can't be locked in memory (RLIMIT_MEMLOCK)", std::errc::not_enough_memory};
        case errc::over_quota:
            return {"too many answers of this session wait for room", std::errc::not_enough_memory};
    }
    return {"an error code this version does not know", std::errc::protocol_error};
}

struct Category final : std::error_category {
    const char* name() const noexcept override { return "qbipc"; }
    std::string message(int value) const override { return describe(static_cast<errc>(value)).text; }
    std::error_condition default_error_condition(int value) const noexcept override {
        return std::make_error_condition(describe(static_cast<errc>(value)).equivalent);
    }
};

struct ApplicationCategory final : std::error_category {
    const char* name() const noexcept override { return "application"; }
    std::string message(int value) const override { return "application error " + std::to_string(value); }
};

/// The value packs what they disagree about (8 bits), ours and theirs (12 bits each), so that the message names both.
struct IncompatibleCategory final : std::error_category {
    const char* name() const noexcept override { return "qbipc.incompatible"; }
    std::string message(int value) const override;
    std::error_condition default_error_condition(int) const noexcept override {
        return std::make_error_condition(std::errc::protocol_not_supported);
    }
};

inline const std::error_category& incompatible_category() noexcept {
    static const IncompatibleCategory instance;
    return instance;
}

}  // namespace detail

inline const std::error_category& category() noexcept {
    static const detail::Category instance;
    return instance;
}

inline const std::error_category& application_category() noexcept {
    static const detail::ApplicationCategory instance;
    return instance;
}

inline std::error_code incompatible(Mismatch what, std::uint16_t ours, std::uint16_t theirs) noexcept {
    const auto value = static_cast<std::uint32_t>(what) << 24 | (ours & 0xfffu) << 12 | (theirs & 0xfffu);
    return {static_cast<int>(value), detail::incompatible_category()};
}

/// Exact, but for errc::incompatible, which any disagreement of a handshake equals, whatever its details.
inline bool operator==(const std::error_code& error, errc code) noexcept {
    if (code == errc::incompatible && error.category() == detail::incompatible_category()) return true;
    return error == make_error_code(code);
}

/// A value, or the error that stood in its way.
template <class T = void>
using Result = tl::expected<T, std::error_code>;

/// `return fail(errc::x);` in a function that gives a Result. Takes any error code enum.
inline tl::unexpected<std::error_code> fail(std::error_code error) { return tl::unexpected<std::error_code>(error); }
/// The same for `std::errc`, which is no error code enum.
inline tl::unexpected<std::error_code> fail(std::errc error) { return fail(std::make_error_code(error)); }

/// `return fail(errno)`-style: an error of the system.
inline tl::unexpected<std::error_code> fail_system(int error_number) {
    return fail(std::error_code(error_number, std::system_category()));
}

namespace detail {
/// What becomes of a bad_alloc on its way out.
inline tl::unexpected<std::error_code> no_memory() { return fail(std::make_error_code(std::errc::not_enough_memory)); }
}  // namespace detail

/// The value; or the error on stderr, preceded by `doing` where given, and exit(1). For main() of small programs:
/// tl::expected's own value() would end in an exception that doesn't say the reason.
template <class T>
T or_exit(Result<T> result, const char* doing = nullptr) {
    if (!result) {
        std::fprintf(stderr, "%s%s%s\n", doing ? doing : "", doing ? ": " : "", result.error().message().c_str());
        std::exit(EXIT_FAILURE);
    }
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}

namespace detail {

inline std::string IncompatibleCategory::message(int value) const {
    const auto bits = static_cast<std::uint32_t>(value);
    const auto ours = bits >> 12 & 0xfff, theirs = bits & 0xfff;
    const auto transport = [](std::uint32_t id) -> std::string {
        return id == 1 ? "ShmRing" : id == 2 ? "UnixSocket" : "transport " + std::to_string(id);
    };
    const auto order = [](std::uint32_t id) -> std::string { return id == 1 ? "little-endian" : "big-endian"; };
    switch (static_cast<Mismatch>(bits >> 24)) {
        case Mismatch::transport:
            return "incompatible: this side speaks " + transport(ours) + ", the peer " + transport(theirs);
        case Mismatch::version:
            return "incompatible: protocol version " + std::to_string(ours) + " here, " + std::to_string(theirs) +
                   " on the peer's side";
        case Mismatch::word_size:
            return "incompatible: " + std::to_string(ours) + "-bit words here, " + std::to_string(theirs) +
                   "-bit words on the peer's side";
        case Mismatch::byte_order:
            return "incompatible: " + order(ours) + " here, " + order(theirs) + " on the peer's side";
        case Mismatch::layout:
            return "incompatible: cache lines of " + std::to_string(ours) + " bytes here, " + std::to_string(theirs) +
                   " on the peer's side";
    }
    return "incompatible";
}

}  // namespace detail
}  // namespace qbipc
