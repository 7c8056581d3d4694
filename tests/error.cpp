// SPDX-License-Identifier: BSL-1.0
#include <cstring>
#include <set>
#include <string>

#include <qbipc/error.hpp>

#include "support/catch.hpp"

namespace {

using qbipc::errc;
using qbipc::incompatible;
using qbipc::Mismatch;

struct Equivalent {
    errc code;
    std::errc condition;
};
constexpr Equivalent equivalents[] = {
    {errc::timed_out, std::errc::timed_out},
    {errc::lane_full, std::errc::resource_unavailable_try_again},
    {errc::message_too_large, std::errc::message_size},
    {errc::disconnected, std::errc::not_connected},
    {errc::not_permitted, std::errc::permission_denied},
    {errc::wrong_service, std::errc::permission_denied},
    {errc::no_service, std::errc::connection_refused},
    {errc::address_in_use, std::errc::address_in_use},
    {errc::no_such_message, std::errc::function_not_supported},
    {errc::wrong_size, std::errc::bad_message},
    {errc::unanswered, std::errc::no_message},
    {errc::handler_failed, std::errc::io_error},
    {errc::protocol_violation, std::errc::protocol_error},
    {errc::incompatible, std::errc::protocol_not_supported},
    {errc::not_supported, std::errc::operation_not_supported},
    {errc::descriptors_refused, std::errc::operation_not_permitted},
    {errc::too_many_sessions, std::errc::connection_refused},
    {errc::busy, std::errc::device_or_resource_busy},
    {errc::would_recurse, std::errc::resource_deadlock_would_occur},
    {errc::used_after_fork, std::errc::operation_not_permitted},
    {errc::bad_name, std::errc::invalid_argument},
    {errc::name_too_long, std::errc::filename_too_long},
    {errc::no_runtime_directory, std::errc::no_such_file_or_directory},
    {errc::over_quota, std::errc::not_enough_memory},
    {errc::memory_not_locked, std::errc::not_enough_memory},
};

bool says(const std::error_code& error, const char* part) { return error.message().find(part) != std::string::npos; }

}  // namespace

TEST_CASE("every error code has a text of its own, and equals its standard condition and nothing else", "[error]") {
    std::set<std::string> texts;
    int value = 0;
    for (const auto& [code, condition] : equivalents) {
        CAPTURE(static_cast<int>(code));
        CHECK(static_cast<int>(code) == ++value);  // the numbers are on the wire
        const std::error_code error = code;
        CHECK(error == code);
        CHECK(error == condition);
        CHECK(error != std::errc::address_family_not_supported);
        CHECK(texts.insert(error.message()).second);
        CHECK(error.message().find("does not know") == std::string::npos);
        CHECK(std::string(error.category().name()) == "qbipc");
        CHECK(bool(error));
    }
    CHECK(says({value + 1, qbipc::category()}, "does not know"));
    CHECK(says({-1, qbipc::category()}, "does not know"));
    CHECK(std::error_code(errc::timed_out) != std::error_code(errc::lane_full));
    CHECK(std::error_code(1, std::generic_category()) != errc::timed_out);
}

TEST_CASE("an incompatibility names both sides, and equals errc::incompatible", "[error]") {
    const auto version = incompatible(Mismatch::version, 1, 2);
    CHECK(version == errc::incompatible);
    CHECK(version == std::errc::protocol_not_supported);
    CHECK(version != errc::timed_out);
    CHECK(version != incompatible(Mismatch::version, 2, 1));
    CHECK(says(version, "version 1 here, 2 on"));
    CHECK(says(incompatible(Mismatch::version, 4095, 4094), "version 4095 here, 4094 on"));
    CHECK(says(incompatible(Mismatch::transport, 1, 2), "speaks ShmRing, the peer UnixSocket"));
    CHECK(says(incompatible(Mismatch::transport, 2, 77), "speaks UnixSocket, the peer transport 77"));
    CHECK(says(incompatible(Mismatch::word_size, 64, 32), "64-bit words here, 32-bit words on"));
    CHECK(says(incompatible(Mismatch::byte_order, 1, 2), "little-endian here, big-endian on"));
    CHECK(says(incompatible(Mismatch::layout, 64, 128), "lines of 64 bytes here, 128 on"));
    CHECK(incompatible(static_cast<Mismatch>(99), 1, 1).message() == "incompatible");
    CHECK(std::error_code(errc::incompatible) == errc::incompatible);
}

TEST_CASE("an application's error keeps its value and says so", "[error]") {
    const std::error_code error(7, qbipc::application_category());
    CHECK(error.message() == "application error 7");
    CHECK(std::string(error.category().name()) == "application");
    CHECK(error != errc::no_service);
    CHECK(&qbipc::application_category() == &qbipc::application_category());
}

TEST_CASE("a Result is made of a value, of any error code enum, or of errno", "[error]") {
    const auto value = [](int which) -> qbipc::Result<int> {
        switch (which) {
            case 0:
                return 5;
            case 1:
                return qbipc::fail(errc::busy);
            case 2:
                return qbipc::fail(std::make_error_code(std::errc::io_error));
            default:
                return qbipc::fail_system(ENOENT);
        }
    };
    CHECK(*value(0) == 5);
    CHECK(value(1).error() == errc::busy);
    CHECK(value(2).error() == std::errc::io_error);
    CHECK(value(3).error() == std::errc::no_such_file_or_directory);
    CHECK(value(3).error().category() == std::system_category());
    CHECK(qbipc::or_exit(value(0)) == 5);
    qbipc::or_exit(qbipc::Result<void>());
}
