// SPDX-License-Identifier: BSL-1.0
// main.hpp: the main() of every peer: which cases there are, and which of them this peer takes part in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <signal.h>
#include <string>
#include <string_view>
#include <unistd.h>

#include "arguments.hpp"
#include "cases.hpp"
#include "peer.hpp"
#include "process.hpp"
#include "scratch.hpp"

namespace bench {

/// One row of the table of cases.
struct Case {
    const char* name;
    bool takes_part;
    std::size_t most;     ///< largest size, or most clients
    bool counts_clients;  ///< `most` and --count are clients; the size is --size all the same
    void (*measure)(Run&);
};

template <PeerType P>
class Cases {
public:
    template <class Use>
    static void for_each(Use&& use_part) {
        const auto use = [&](Case row) {
            if constexpr (requires { P::takes_part(std::string_view{}); }) row.takes_part &= P::takes_part(row.name);
            use_part(row);
        };
        constexpr bool sleeps = traits::sleeps<P>();
        constexpr std::size_t sessions = traits::sessions<P>();
        use(Case{"rtt", true, P::largest, false, round_trips<P>});
        use(Case{"rtt_one_core", sleeps, P::largest, false, round_trips<P>});
        use(Case{"percentiles", true, P::largest, false, single_round_trips<P>});
        use(Case{"connect", traits::connects<P>(), P::largest, false, connects<P>});
        if constexpr (traits::Sends<P>) use(Case{"oneway", true, P::largest, false, one_way<P>});
        if constexpr (traits::TakesEvents<P>) {
            use(Case{"events", true, P::largest, false, events<P>});
            use(Case{"publish", sessions >= 100, std::min<std::size_t>(sessions, 100), true, publish<P>});
        }
        use(Case{"sessions", sessions > 1, sessions, true, among_idle_sessions<P>});
        use(Case{"idle", sessions > 1, sessions, true, idle<P>});
        use(Case{"throughput", sessions > 1, std::min<std::size_t>(sessions, 4), true, throughput<P>});
    }
};

template <PeerType P>
int run(int argc, char** argv) {
    const Arguments arguments = Arguments::parse(argc, argv);
    if (arguments.list) {
        Cases<P>::for_each([](const Case& row) {
            if (row.takes_part) std::printf("%s %zu\n", row.name, row.most);
        });
        return 0;
    }

    // Nothing may hang for ever; the service dies with this process.
    ::alarm(static_cast<unsigned>(arguments.seconds * 4) + 60);
    ::signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();

    Setup setup;
    setup.size = std::max(arguments.size, traits::smallest<P>());
    setup.max_message = std::max<std::size_t>(setup.size, 4096);
    setup.address = "qbipc-bench-" + std::to_string(::getpid());
    setup.shared = make_shared_memory<Shared>();
    const ScratchRemover remover(setup);

    int status = 77;
    Cases<P>::for_each([&](const Case& row) {
        if (arguments.which != row.name || !row.takes_part) return;
        if ((row.counts_clients ? arguments.count : setup.size) > row.most) return;
        if (arguments.which == "connect") {  // --size is what may be sent, nothing is
            setup.max_message = arguments.size;
            setup.size = std::max<std::size_t>(48, traits::smallest<P>());
        }
        if (row.counts_clients) setup.sessions = arguments.count;
        if (!traits::sleeps<P>() && arguments.which == "throughput" && arguments.count + 1 > arguments.cpus.size())
            unavailable("more clients that spin than cpus");
        Run measurement{arguments, setup};
        row.measure(measurement);
        status = 0;
    });
    if (status == 77) std::fprintf(stderr, "no case %s of that size here\n", arguments.which.c_str());
    return status;
}

}  // namespace bench
