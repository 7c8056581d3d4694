// SPDX-License-Identifier: BSL-1.0
// The main function of every test executable. Where QBIPC_TEST_REPORT names a file, each test case leaves one line
// there when it begins and one when it ends, so that a crash shows as a case that never ended.
#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
#include <catch2/catch_test_case_info.hpp>
#else
#define CATCH_CONFIG_RUNNER
#endif
#include <cstdlib>
#include <fstream>
#include <string>

#include "support/catch.hpp"

namespace {

std::string report;

#if __has_include(<catch2/catch_session.hpp>)
using ListenerBase = Catch::EventListenerBase;
#else
using ListenerBase = Catch::TestEventListenerBase;
#endif

class Report : public ListenerBase {
public:
    using ListenerBase::ListenerBase;

    void testCaseStarting(const Catch::TestCaseInfo& info) override {
        ListenerBase::testCaseStarting(info);
        write("begin ", info.name);
    }

    void testCaseEnded(const Catch::TestCaseStats& stats) override {
        write(stats.totals.testCases.failed > 0 ? "failed " : "passed ", name_of(stats.testInfo));
        ListenerBase::testCaseEnded(stats);
    }

private:
    // A value in Catch2 2, a pointer in 3.
    static const std::string& name_of(const Catch::TestCaseInfo& info) { return info.name; }
    static const std::string& name_of(const Catch::TestCaseInfo* info) { return info->name; }

    static void write(const char* what, const std::string& name) {
        if (!report.empty()) std::ofstream(report, std::ios::app) << what << name << '\n';
    }
};
CATCH_REGISTER_LISTENER(Report)

}  // namespace

int main(int argc, char** argv) {
    if (const char* path = std::getenv("QBIPC_TEST_REPORT")) {
        report = path;
        unsetenv("QBIPC_TEST_REPORT");  // not for the children
        std::ofstream truncated(report);
    }
    return Catch::Session().run(argc, argv);
}
