// SPDX-License-Identifier: BSL-1.0
#include <string>
#include <string_view>
#include <vector>

#include <qbipc/detail/names.hpp>

#include "support/catch.hpp"

using namespace qbipc;
using namespace qbipc::detail;

namespace {

std::string bytes_of(const SocketAddress& address) {
    const auto* raw = reinterpret_cast<const char*>(address.get());
    return {raw + offsetof(sockaddr_un, sun_path), address.size() - offsetof(sockaddr_un, sun_path)};
}

std::vector<std::string> readable(const Result<std::vector<SocketAddress>>& found) {
    std::vector<std::string> texts;
    REQUIRE(found);
    for (const auto& place : *found) texts.push_back(place.is_file() ? place.path() : '@' + bytes_of(place).substr(1));
    return texts;
}

}  // namespace

TEST_CASE("a name has 1 to 90 bytes, no slash, no NUL and no leading dot", "[names]") {
    using namespace std::string_view_literals;
    for (const auto good : {"a"sv, "calculator"sv, "a.b-c_d"sv, "name with spaces"sv, "\xff\x01"sv, "a..b"sv}) {
        INFO(good);
        CHECK_FALSE(check_name(good));
    }
    CHECK_FALSE(check_name(std::string(90, 'n')));
    for (const auto bad : {""sv, "."sv, ".."sv, ".hidden"sv, "/"sv, "a/b"sv, "a/"sv, "\0a"sv, "a\0b"sv, "a\0"sv}) {
        INFO(bad);
        CHECK(check_name(bad) == make_error_code(errc::bad_name));
    }
    CHECK(check_name(std::string(91, 'n')) == make_error_code(errc::name_too_long));
    CHECK(check_name(std::string(1000, '/')) == make_error_code(errc::bad_name));
}

TEST_CASE("an abstract address is the prefix and the name, to the byte", "[names]") {
    const auto address = SocketAddress::abstract("calculator");
    REQUIRE(address);
    CHECK(bytes_of(*address) == std::string("\0qbipc/calculator", 17));
    CHECK(address->get()->sa_family == AF_UNIX);
    CHECK_FALSE(address->is_file());
    const auto longest = SocketAddress::abstract(std::string(90, 'n'));
    REQUIRE(longest);
    CHECK(bytes_of(*longest).size() == 97);
    CHECK(SocketAddress::abstract("a/b").error() == make_error_code(errc::bad_name));
}

TEST_CASE("a socket file's path has at most 107 bytes and ends in a name", "[names]") {
    const auto longest = SocketAddress::file('/' + std::string(106, 'p'));
    REQUIRE(longest);
    CHECK(longest->is_file());
    CHECK(longest->size() == sizeof(sockaddr_un));
    CHECK(bytes_of(*longest) == '/' + std::string(106, 'p') + '\0');
    CHECK(SocketAddress::file('/' + std::string(107, 'p')).error() == make_error_code(errc::name_too_long));
    for (const std::string& bad : {std::string(), std::string("/run/"), std::string("/run/a\0b", 8)})
        CHECK(SocketAddress::file(bad).error() == make_error_code(errc::bad_name));
}

TEST_CASE("a path is split into its directory and its name", "[names]") {
    CHECK(split_path("/run/qbipc/a").directory == "/run/qbipc");
    CHECK(split_path("/run/qbipc/a").name == "a");
    CHECK(split_path("/a").directory == "/");
    CHECK(split_path("a").directory == ".");
    CHECK(split_path("a").name == "a");
    CHECK(split_path("x/y").directory == "x");
}

TEST_CASE("a client looks at the abstract name only while the flag is down", "[names]") {
    const Directories directories{"/run/user/7/qbipc", "/run/qbipc", std::nullopt};
    CHECK(readable(places("calc", false, directories)) ==
          std::vector<std::string>{"@qbipc/calc", "/run/user/7/qbipc/calc", "/run/qbipc/calc"});
    CHECK(readable(places("calc", true, directories)) ==
          std::vector<std::string>{"/run/user/7/qbipc/calc", "/run/qbipc/calc"});
}

TEST_CASE("a client looks into its own directory, root's, and that of the user it wants, each once", "[names]") {
    CHECK(readable(places("calc", true, {"/run/user/7/qbipc", "/run/qbipc", "/run/user/8/qbipc"})) ==
          std::vector<std::string>{"/run/user/7/qbipc/calc", "/run/qbipc/calc", "/run/user/8/qbipc/calc"});
    CHECK(readable(places("calc", true, {"/run/qbipc", "/run/qbipc", "/run/qbipc"})) ==
          std::vector<std::string>{"/run/qbipc/calc"});
    CHECK(readable(places("calc", true, {std::nullopt, "/run/qbipc", "/run/user/8/qbipc"})) ==
          std::vector<std::string>{"/run/qbipc/calc", "/run/user/8/qbipc/calc"});
}

TEST_CASE("a path is its only place, whatever the flag", "[names]") {
    const Directories directories{"/run/user/7/qbipc", "/run/qbipc", std::nullopt};
    for (const bool flag : {false, true})
        CHECK(readable(places(Address::path("/srv/calc.sock"), flag, directories)) ==
              std::vector<std::string>{"/srv/calc.sock"});
}

TEST_CASE("a place whose path is too long is left out, and none at all is an error", "[names]") {
    const std::string name(90, 'n');
    const Directories directories{"/run/user/4294967294/qbipc", "/run/qbipc", std::nullopt};
    CHECK(readable(places(name, true, directories)) == std::vector<std::string>{"/run/qbipc/" + name});
    const Directories deep{std::nullopt, std::string(60, 'd'), std::nullopt};
    CHECK(places(name, true, deep).error() == make_error_code(errc::name_too_long));
    CHECK(places(Address::path(std::string(108, 'p')), true, deep).error() == make_error_code(errc::name_too_long));
    CHECK(places("../calc", true, deep).error() == make_error_code(errc::bad_name));
    CHECK(places(Address::listening_descriptor(3), false, deep).error() == make_error_code(errc::bad_name));
}
