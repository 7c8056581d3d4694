// SPDX-License-Identifier: BSL-1.0
// Makes each hostile move against victims in processes of their own, and says how many they withstood.
//   attacker [--sanitized] [PART OF A SENTENCE]
// The victims' programs are in the folder that QBIPC_TEST_PROGRAMS names.
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

#include "attacker/battle.hpp"

using namespace attacker;

namespace {

/// One move; the reason why it wasn't withstood, or nothing.
std::string make(const Move& move, Battle& battle) {
    try {
        for (Fortress* fortress : {&battle.shm, &battle.stream}) fortress->remember();
        for (Visitor* visitor : {&battle.visitor, &battle.stream_visitor}) visitor->remember();
        move.make(battle);
        for (Fortress* fortress : {&battle.shm, &battle.stream}) fortress->must_stand();
        for (Visitor* visitor : {&battle.visitor, &battle.stream_visitor}) visitor->must_stand();
    } catch (const NotWithstood& reason) {
        return reason.what();
    } catch (const std::exception& trouble) {
        return std::string("the attack itself failed: ") + trouble.what();
    }
    return {};
}

std::unique_ptr<Battle> prepare(bool release) {
    auto battle = std::make_unique<Battle>(Battle{.run = std::to_string(::getpid()), .release = release});
    for (Fortress* fortress : {&battle->shm, &battle->stream})
        if (!fortress->open()) return nullptr;
    return battle;
}

}  // namespace

int main(int argc, char** argv) {
    bool release = true;
    const char* part = "";
    for (int i = 1; i < argc; ++i)
        if (std::strcmp(argv[i], "--sanitized") == 0)
            release = false;
        else
            part = argv[i];
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    std::setvbuf(stdout, nullptr, _IOLBF, 0);

    auto battle = prepare(release);
    if (!battle) {
        std::puts("attacker: the victims don't start");
        return 2;
    }
    int made = 0, withstood = 0;
    long after_first = 0;
    for (const auto* moves : {&handshake_moves, &descriptor_moves, &bell_moves, &frame_moves, &memory_moves,
                              &stream_moves, &leak_moves, &greeting_moves, &service_moves}) {
        for (const Move& move : *moves) {
            if (std::strstr(move.sentence, part) == nullptr) continue;
            const auto start = std::chrono::steady_clock::now();
            const std::string reason = make(move, *battle);
            const auto took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
            ++made;
            withstood += reason.empty();
            std::printf("%s %5.1f s  %s\n", reason.empty() ? "ok    " : "FAILED", took, move.sentence);
            if (!reason.empty()) {
                std::printf("        %s\n", reason.c_str());
                battle.reset();  // the next ones have their own
                battle = prepare(release);
                if (!battle) return 2;
            }
            if (made == 1) after_first = battle->shm.resident_kib();
            for (const auto& remark : battle->remarks) std::printf("        %s\n", remark.c_str());
            battle->remarks.clear();
        }
    }
    try {
        std::printf("slowest call of an honest client: %lld us (shm), %lld us (unix); the service grew by %ld KiB\n",
                    battle->shm.slowest_call_us(), battle->stream.slowest_call_us(),
                    battle->shm.resident_kib() - after_first);
        for (Fortress* fortress : {&battle->shm, &battle->stream}) fortress->must_end_well();
        for (Visitor* visitor : {&battle->visitor, &battle->stream_visitor}) visitor->must_end_well();
    } catch (const NotWithstood& reason) {
        std::printf("FAILED at the end: %s\n", reason.what());
        withstood = 0;
    }
    std::printf("attacker: %d of %d moves withstood\n", withstood, made);
    return made > 0 && withstood == made ? 0 : 1;
}
