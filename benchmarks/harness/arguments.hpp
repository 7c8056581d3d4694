// SPDX-License-Identifier: BSL-1.0
// arguments.hpp: the command line of every bench-NAME.
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

struct Arguments {
    bool list = false;
    std::string which;               ///< the case
    std::size_t size = 48;           ///< bytes
    std::size_t count = 1;           ///< sessions, or clients
    std::vector<int> cpus = {0, 1};  /// < the client's, the service's, further clients'
    double seconds = 0.5;

    static Arguments parse(int argc, char** argv) {
        Arguments arguments;
        for (int i = 1; i < argc; ++i) {
            const std::string_view name = argv[i];
            if (name == "--list") {
                arguments.list = true;
                continue;
            }
            if (i + 1 == argc) usage(argv[0]);
            const char* const value = argv[++i];
            if (name == "--case")
                arguments.which = value;
            else if (name == "--size")
                arguments.size = std::strtoull(value, nullptr, 10);
            else if (name == "--count")
                arguments.count = std::strtoull(value, nullptr, 10);
            else if (name == "--seconds")
                arguments.seconds = std::strtod(value, nullptr);
            else if (name == "--cpus")
                arguments.cpus = numbers(value);
            else
                usage(argv[0]);
        }
        if ((!arguments.list && arguments.which.empty()) || arguments.cpus.size() < 2 || arguments.seconds <= 0 ||
            arguments.count == 0)
            usage(argv[0]);
        return arguments;
    }

private:
    static std::vector<int> numbers(const char* text) {
        std::vector<int> all;
        for (char* end = nullptr; *text != '\0'; text = *end == ',' ? end + 1 : end) {
            all.push_back(static_cast<int>(std::strtol(text, &end, 10)));
            if (end == text) return {};
        }
        return all;
    }

    [[noreturn]] static void usage(const char* program) {
        std::fprintf(stderr,
                     "usage: %s --list | --case CASE [--size BYTES] [--count N] [--cpus A,B,...] [--seconds S]\n",
                     program);
        std::exit(2);
    }
};

}  // namespace bench
