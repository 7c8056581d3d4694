// SPDX-License-Identifier: BSL-1.0
// Processes that fork, or execute programs, while they are at it; and what is left open at the end.
#include <iostream>

#include "process/peers.hpp"
#include "support/effort.hpp"

using namespace qbipc;
using namespace qbipc::testing;

TEMPLATE_LIST_TEST_CASE("a program that is executed while others connect inherits no descriptor",
                        "[process][offspring]", Transports) {
    Child busy("busy", {"exec", word_for<TestType>(), unique_name(), std::to_string(effort(300, 10'000))});
    const auto said = busy.line(10 * Child::patience);
    INFO(said);
    CHECK(said.ends_with(" failed=0 other=0"));
    CHECK_FALSE(said.starts_with("connects=0 "));
    CHECK(exited_well(busy.wait()));
}

TEMPLATE_LIST_TEST_CASE(
    "forks in the middle of whatever a client does are refused in the child, and unnoticed in the parent",
    "[process][offspring]", Transports) {
    ServicePeer<TestType> service;
    REQUIRE(service.ready());
    Child busy("busy", {"fork", word_for<TestType>(), service.name, std::to_string(effort(240, 1'200))});
    CHECK(busy.line(10 * Child::patience) == "children=0 parents=0 gaps=0");
    CHECK(exited_well(busy.wait()));
    CHECK(service.comes_to("bye", 1));
    CHECK(service.status()["lost"] == 0);
}

TEMPLATE_LIST_TEST_CASE(
    "children that come back from what lets a client in end their run, and leave the parent's alone",
    "[process][offspring]", Transports) {
    Child busy("busy", {"back", word_for<TestType>(), unique_name(), "10"});
    CHECK(busy.line(10 * Child::patience) == "served=10 children=40 wrong=0");
    CHECK(exited_well(busy.wait()));
}

TEMPLATE_LIST_TEST_CASE("valgrind finds no descriptor open at the end, no leak and no error", "[process][offspring]",
                        Transports) {
    // Sanitizers and valgrind don't go together.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
    return;
#endif
#endif
    if (std::system("command -v valgrind >/dev/null") != 0) {
        WARN("not tested: descriptors at the end, for valgrind isn't here");
        return;
    }
    TemporaryDirectory directory;
    const char* const folder = std::getenv("QBIPC_TEST_PROGRAMS");
    const auto log = directory / "log";
    const auto command = "valgrind -q --track-fds=yes --leak-check=full --error-exitcode=9 --log-file=" + log + ' ' +
                         (folder != nullptr ? folder : ".") + "/helper-busy once " + word_for<TestType>() + ' ' +
                         unique_name() + ' ' + std::to_string(effort(100, 20'000)) + " >/dev/null";
    const int status = std::system(command.c_str());
    std::ifstream lines(log);
    std::string all, before;
    int left = 0;
    for (std::string line; std::getline(lines, line);) {
        all += line + '\n';
        if (line.find(" Open ") != line.npos) ++left;
        if (line.find("<inherited from parent>") != line.npos) --left;  // whoever runs this test has it open
    }
    INFO(all);
    CHECK(exited_well(status));
    CHECK(left == 0);
}
