// SPDX-License-Identifier: BSL-1.0
// program.hpp: what the examples share: `NAME serve ADDRESS` until SIGTERM or Ctrl-C, and `NAME ask ADDRESS`, which
// ends with status 0 if all was as it expects.
#pragma once

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <qbipc/qbipc.hpp>

namespace example {

/// Serves until SIGTERM or Ctrl-C.
template <class Service>
int serve_until_told(Service& service) {
    static const auto stop = service.stopper();  // its call is one write(2): a signal handler may
    std::signal(SIGTERM, [](int) { stop(); });
    std::signal(SIGINT, [](int) { stop(); });
    qbipc::or_exit(service.run(), "run");
    std::signal(SIGTERM, SIG_DFL);  // the stopper ends with the service
    std::signal(SIGINT, SIG_DFL);
    return 0;
}

/// What must be so. Ends the program where it isn't.
inline void expect(bool is_so, const char* what) {
    std::printf("%s %s\n", is_so ? "ok:" : "NOT SO:", what);
    if (!is_so) std::exit(EXIT_FAILURE);
}

using Mode = int (*)(const qbipc::Address&);

inline int run(int argc, char** argv, Mode serve, Mode ask) {
    const std::string_view mode = argc == 3 ? argv[1] : "";
    if (mode == "serve") return serve(argv[2]);
    if (mode == "ask") return ask(argv[2]);
    std::fprintf(stderr, "usage: %s serve ADDRESS | ask ADDRESS\n", argv[0]);
    return 2;
}

}  // namespace example
