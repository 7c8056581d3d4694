// SPDX-License-Identifier: BSL-1.0
// client.cpp: the clients, one function a verb. Each is written once, for any transport.
#include <chrono>
#include <cstdio>
#include <span>
#include <unistd.h>

#include "commands.hpp"
#include "messages.hpp"
#include "table.hpp"

namespace sysmon {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 10s;

int say_why(const char* doing, std::error_code why) {
    const char* kind = why == qbipc::errc::disconnected ? "disconnected: " : "";
    std::fprintf(stderr, "sysmon: %s: %s%s\n", doing, kind, why.message().c_str());
    return 1;
}

template <class Transport>
qbipc::Client<Transport> connect(const Where& where) {
    return qbipc::or_exit(qbipc::Client<Transport>::connect(where.name, patience), "sysmon: connect");
}

/// Calls `program` with a client over the transport that was chosen.
template <class Program>
int with_client(const Where& where, Program program) {
    if (where.transport == Transport::shm) {
        auto client = connect<qbipc::ShmRing>(where);
        return program(client);
    }
    auto client = connect<qbipc::UnixSocket>(where);
    return program(client);
}

}  // namespace

int snapshot(const Where& where) {
    return with_client(where, [](auto& client) {
        const auto machine = client.call(Snapshot{}, patience);
        if (!machine) return say_why("snapshot", machine.error());
        print_machine((*machine)->load, machine->tail());
        return 0;
    });
}

int process(const Where& where, std::int32_t pid) {
    return with_client(where, [pid](auto& client) {
        const auto found = client.call(Process{pid}, patience);
        if (!found) return say_why("process", found.error());
        auto tail = found->tail();
        const auto command = tail.take((*found)->command_size);  // checked: the service wrote this size
        if (!command) return say_why("process", command.error());
        print_details(**found, *command, tail);
        return 0;
    });
}

int renice(const Where& where, std::int32_t pid, std::int32_t nice) {
    return with_client(where, [pid, nice](auto& client) {
        const auto done = client.call(Renice{pid, nice}, patience);
        if (!done) return say_why("renice", done.error());
        std::printf("process %d: nice %d, was %d\n", pid, done->after, done->before);
        return 0;
    });
}

int watch(const Where& where, const Watch& how) {
    return with_client(where, [&how](auto& client) {
        const bool live = ::isatty(STDOUT_FILENO) != 0;
        std::uint64_t shown = 0;
        auto events = qbipc::routes(qbipc::on<Sample>([&](const Sample& sample, qbipc::TailView<Core> cores) {
            ++shown;
            if (live) std::printf("\x1b[H\x1b[2J");  // to the corner, and wipe
            if (sample.missed > 0) std::printf("(%u samples missed)\n", sample.missed);
            if (live)
                print_machine(sample.load, cores);
            else
                print_line(sample.load);
            std::fflush(stdout);
        }));

        if (const auto sent = client.send(SetInterval{how.interval}, patience); !sent)
            return say_why("watch", sent.error());
        while (how.count == 0 || shown < how.count)
            if (const auto got = client.receive(events, qbipc::forever); !got) return say_why("watch", got.error());
        return 0;
    });
}

}  // namespace sysmon
