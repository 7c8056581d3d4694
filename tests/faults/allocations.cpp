// SPDX-License-Identifier: BSL-1.0
// Every allocation of a service's and a client's whole life fails once; and then it and all that follow.
//
// usage: allocations [--full | --first]
#include <cstdio>
#include <cstring>
#include <string>
#include <system_error>

#include <qbipc/transport/shm_ring.hpp>
#include <qbipc/transport/unix_socket.hpp>

#include "faults/failing_memory.hpp"
#include "faults/life.hpp"

namespace {

using namespace faults;
using qbipc::errc;

class FailingMemory final : public Suffering {
public:
    FailingMemory(std::uint64_t at, bool and_after) : at_(at), and_after_(and_after) {}

    void plan() override { memory_plan() = {at_, and_after_, 0, 0, memory_plan().held_up}; }
    void begin() override { --memory_plan().held_up; }
    void end() override { ++memory_plan().held_up; }
    bool over() override {
        const auto failed = memory_plan().failed;
        report.injected(failed);
        memory_plan() = {0, false, 0, 0, memory_plan().held_up};
        return failed != 0;
    }
    bool explains(std::error_code error) const override {
        // The last three are what a caller hears whose service has no memory for his answer.
        for (const auto told : {errc::disconnected, errc::handler_failed, errc::unanswered, errc::over_quota})
            if (error == told) return true;
        return error == std::errc::not_enough_memory;
    }
    std::string text() const override {
        return "allocation " + std::to_string(at_) + (and_after_ ? " and all after it" : "");
    }

private:
    std::uint64_t at_;
    bool and_after_;
};

const char* name_of(Sufferer sufferer) {
    switch (sufferer) {
        case Sufferer::listening:
            return "from listen() on";
        case Sufferer::serving:
            return "in the service";
        case Sufferer::client:
            break;
    }
    return "in the client";
}

template <class T>
void sweep(const char* transport, bool full) {
    for (const auto sufferer : {Sufferer::listening, Sufferer::serving, Sufferer::client}) {
        for (const auto drive : {Drive::dispatch, Drive::run}) {
            // The client doesn't see what drives its service.
            if (sufferer == Sufferer::client && drive == Drive::run) continue;
            for (const bool and_after : {false, true}) {
                // From birth on nobody could connect.
                if (sufferer == Sufferer::listening && and_after) continue;
                const auto start = std::chrono::steady_clock::now();
                std::uint64_t n = 1;
                for (;; ++n) {
                    FailingMemory fault(n, and_after);
                    report.at(std::string(transport) + (drive == Drive::run ? ", run(), " : ", dispatch(), ") +
                              name_of(sufferer) + ": " + fault.text());
                    if (!Life<T>(fault, sufferer, drive, unique_name()).live()) break;
                    if (!full && report.findings() > 100) break;
                }
                std::printf("%s, %s, %s%s: %llu allocations, %.1f s\n", transport,
                            drive == Drive::run ? "run()" : "dispatch()", name_of(sufferer),
                            and_after ? ", and all after" : "", static_cast<unsigned long long>(n - 1),
                            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
                std::fflush(stdout);
            }
        }
    }
}

}  // namespace

int main(int count, char** arguments) {
    if (count > 1 && std::strcmp(arguments[1], "--first") == 0) report.end_at_first("allocations");
    const bool full = count > 1 && std::strcmp(arguments[1], "--full") == 0;
    sweep<qbipc::ShmRing>("ShmRing", full);
    sweep<qbipc::UnixSocket>("UnixSocket", full);
    return report.end("allocations");
}
