// SPDX-License-Identifier: BSL-1.0
// A peer that changes a shared word between any two instructions of who is just reading it, in the release build: what
// is delivered is a message that was checked, or nothing; nobody crashes, hangs or goes on with what it never checked.
//   torture-flips [--full] [--seed N] [--region NAME [--at K --field F --value V]]
// The short form draws places, words and values at random; the full form takes all of them.
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <string>
#include <vector>

#include <qbipc/detail/layout.hpp>

#include "torture/findings.hpp"
#include "torture/regions.hpp"

using namespace qbipc;
using namespace qbipc::testing;
namespace layout = qbipc::detail;

namespace {

constexpr std::uint64_t lane_size = 64 << 10;
constexpr auto soon = 20ms;  ///< an answer that was flipped into somebody else's never comes

// ---- who reads

struct Reading {
    static int take_request(const std::string& name, Board& board) {
        auto service = or_exit(listen<Ring>(name, selector_of(board, false, [] {}), {}, tight<Ring>()), "listen");
        marker();
        DyingService<Ring>::warm_up(service, board);
        marker(), marker();
        const auto taken = service.dispatch();
        marker();
        for (int turn = 0; turn < 3; ++turn)
            if (!service.dispatch()) return 3;
        return taken ? 0 : 1;
    }
    static int take_answer(const std::string& name, Board& board) {
        auto client = warm_client<Ring>(name);
        const auto text = patterned(7, flipped_size);
        auto pending = client.start(with_tail(Echo{}, text));
        if (!pending) return 2;
        marker(), marker();
        auto echo = client.wait(*pending, soon);
        marker();
        if (echo) {
            ++board.seen;
            board.seen_size = echo->tail().size();
        } else if (!(echo.error() == errc::timed_out || echo.error() == errc::protocol_violation ||
                     echo.error() == errc::disconnected || echo.error() == errc::wrong_size ||
                     echo.error().category() != category())) {
            board.result = static_cast<std::uint64_t>(echo.error().value());
            return 4;
        }
        (void)client.call(Add{1, 0}, soon);
        return 0;
    }
    static int take_event(const std::string& name, Board& board) {
        auto client = warm_client<Ring>(name);
        if (!client.send(Wish{1, flipped_size, 0, 0})) return 2;
        auto selector = routes(on<Tick>([&](const Tick&, std::string_view text) {
            ++board.seen;
            board.seen_size = text.size();
        }));
        marker(), marker();
        const auto got = client.receive(selector, soon);
        marker();
        if (!got && got.error() != errc::timed_out && got.error() != errc::protocol_violation &&
            got.error() != errc::disconnected) {
            board.result = static_cast<std::uint64_t>(got.error().value());
            return 4;
        }
        (void)client.call(Add{1, 0}, soon);
        return 0;
    }
};

// ---- who writes: through the mapping of the process whose words they are

class Words64 {
public:
    Words64(pid_t pid, const char* area)
        : memory_(::open(("/proc/" + std::to_string(pid) + "/mem").c_str(), O_RDWR | O_CLOEXEC)) {
        std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
        for (std::string line; std::getline(maps, line);)
            if (line.find(area) != line.npos && line.find(" rw") != line.npos) base_ = std::stoull(line, nullptr, 16);
    }
    Words64(const Words64&) = delete;
    Words64& operator=(const Words64&) = delete;
    ~Words64() { ::close(memory_); }

    bool good() const { return memory_ >= 0 && base_ != 0; }
    std::uint64_t get(std::uint64_t at) const {
        std::uint64_t word = 0;
        return ::pread(memory_, &word, sizeof word, static_cast<off_t>(base_ + at)) == sizeof word ? word : 0;
    }
    bool put(std::uint64_t at, std::uint64_t word) const {
        return ::pwrite(memory_, &word, sizeof word, static_cast<off_t>(base_ + at)) == sizeof word;
    }
    /// Where the last frame of a lane lies: that which is being read.
    std::uint64_t last_frame(std::uint64_t lane) const {
        std::uint64_t last = lane;
        for (std::uint64_t at = lane; at < lane + lane_size;) {
            const auto first = get(at);
            if (first == 0) break;
            last = at;
            at += layout::frame_span(first & 0xff'ffff);
        }
        return last;
    }

private:
    int memory_;
    std::uint64_t base_ = 0;
};

/// One word, and what it is made: bits of it replaced.
struct Field {
    const char* name;
    bool in_frame;  ///< at: from the frame's beginning, or from the area's
    std::uint64_t at;
    unsigned shift, bits;
    std::array<std::uint64_t, 6> values;
};

constexpr std::uint64_t all = ~std::uint64_t{0};
constexpr std::array<Field, 4> frame_fields{{
    {"size", true, 0, 0, 32, {0, 8, 56 + 8, lane_size / 4 - header_size, lane_size / 4, 0xff'ffff}},
    {"kind and flags", true, 0, 32, 16, {0, 0xff, 6, 7, 8, 0x0104}},
    {"service id and ids", true, 8, 0, 64, {0, 1, 99, 0xffff'ffff, all, 0x1'0000'0001}},
    {"payload", true, 16, 0, 64, {0, 1, flipped_size + 1, 1ull << 63, all, 0x7fff'ffff}},
}};
using C = layout::ClientArea;
using S = layout::ServiceArea;
constexpr std::array<std::uint64_t, 6> credits{0, 1, 64, 1ull << 20, 1ull << 63, all};
constexpr std::array<std::uint64_t, 6> flags{0, 1, 2, 3, 4, all};
constexpr std::array<Field, 4> client_words{{
    {"responses_credit", false, C::responses_credit, 0, 64, credits},
    {"events_credit", false, C::events_credit, 0, 64, credits},
    {"responses_asleep", false, C::responses_asleep, 0, 64, flags},
    {"requests_wants_room", false, C::requests_wants_room, 0, 64, flags},
}};
constexpr std::array<Field, 4> service_words{{
    {"requests_credit", false, S::requests_credit, 0, 64, credits},
    {"requests_asleep", false, S::requests_asleep, 0, 64, flags},
    {"responses_wants_room", false, S::responses_wants_room, 0, 64, flags},
    {"events_wants_room", false, S::events_wants_room, 0, 64, flags},
}};

struct Read {
    Region region;
    const char* area;
    std::uint64_t lane;
    std::size_t fixed;  ///< of the message, before its text
    const std::array<Field, 4>& words;
};

}  // namespace

int main(int argc, char** argv) {
    const Words words(argc, argv);
    struct sigaction action {};
    action.sa_handler = [](int) { Tracee::overdue = 1; };
    ::sigaction(SIGALRM, &action, nullptr);
    Findings findings;
    Bench<Ring> bench("flip", findings);
    Random random(2);

    const std::vector<Read> reads{
        {{.name = "take_request", .body = Reading::take_request, .order = Order::jot, .ordered = false},
         "qbipc-client",
         C::requests(),
         sizeof(Jot),
         client_words},
        {{.name = "take_answer",
          .body = Reading::take_answer,
          .taken = &Board::warm,
          .least = 1,
          .most = 2,
          .ordered = false},
         "qbipc-service",
         S::responses(),
         0,
         service_words},
        {{.name = "take_event",
          .body = Reading::take_event,
          .taken = &Board::warm,
          .least = 1,
          .most = 2,
          .ordered = false},
         "qbipc-service",
         layout::area_header + lane_size,
         sizeof(Tick),
         service_words},
    };
    const std::string only = words.after("--region");
    long flips = 0, delivered = 0, cut = 0;
    for (const auto& read : reads) {
        const auto& region = read.region;
        if ((!only.empty() && only != region.name) || findings.hopeless()) continue;
        const pid_t writer = bench.is_service(region) ? bench.client_pid() : bench.service_pid();
        Path path;
        bench.round(region, [&](Tracee& victim) {
            while (path.step(victim) == Tracee::Stop::step) {
            }
            return std::string("at its end");
        });
        const auto flip = [&](std::size_t k, std::size_t which, std::size_t value) {
            const Field& field = which < 4 ? frame_fields[which] : read.words[which - 4];
            const auto torment = [&](Tracee& victim) {
                const auto here = "--at " + std::to_string(k) + " --field " + std::to_string(which) + " --value " +
                                  std::to_string(value) + " (" + field.name + ") " + name_of(path.address(k));
                if (victim.run_to(path.address(k), path.occurrence(k)) != Tracee::Stop::step) return here;
                const Words64 memory(writer, read.area);
                const std::uint64_t at = field.in_frame ? memory.last_frame(read.lane) + field.at : field.at;
                const std::uint64_t mask = (field.bits == 64 ? all : (std::uint64_t{1} << field.bits) - 1)
                                           << field.shift;
                const std::uint64_t now = memory.get(at);
                if (!memory.good() || !memory.put(at, (now & ~mask) | (field.values[value] << field.shift & mask)))
                    findings.fail(here + ": can't be written");
                ++flips;
                const bool came = victim.run() == Tracee::Stop::marker && victim.run() == Tracee::Stop::died &&
                                  WIFEXITED(victim.status()) && WEXITSTATUS(victim.status()) == 0;
                if (!came)
                    findings.fail(std::string(region.name) + ' ' + here + ": it came to a bad end, status " +
                                  std::to_string(victim.status()) + ", " + std::to_string(bench.board->result));
                const auto seen = bench.is_service(region) ? bench.board->jots.load() : bench.board->seen.load();
                const std::uint64_t size = bench.board->seen_size + read.fixed;
                const std::uint64_t honest = flipped_size + read.fixed;
                const std::uint64_t other = which == 0 ? field.values[value] : honest;
                if (seen > 1) findings.fail(std::string(region.name) + ' ' + here + ": one message came twice");
                if (seen == 1 && size != honest && (size != other || other > lane_size / 4 - header_size))
                    findings.fail(std::string(region.name) + ' ' + here + ": delivered with a size never checked, " +
                                  std::to_string(size));
                ++(seen == 1 ? delivered : cut);
                return here;
            };
            Tracee::overdue = 0;
            ::alarm(300);
            bench.round(region, torment);
            ::alarm(0);
            if (Tracee::overdue) findings.fail(std::string(region.name) + " --at " + std::to_string(k) + ": it hangs");
        };
        const auto began = std::chrono::steady_clock::now();
        const long before = flips;
        if (words.number("--at", -1) >= 0) {
            flip(static_cast<std::size_t>(words.number("--at", 0)),
                 static_cast<std::size_t>(words.number("--field", 0)),
                 static_cast<std::size_t>(words.number("--value", 0)));
        } else if (words.full()) {
            for (std::size_t k = 0; k < path.size() && !findings.hopeless(); ++k)
                for (std::size_t which = 0; which < 8; ++which)
                    for (std::size_t value = 0; value < 6; ++value) flip(k, which, value);
        } else {
            for (long i = words.number("--flips", 400); i > 0 && !findings.hopeless(); --i)
                flip(random.below(path.size()), random.below(8), random.below(6));
        }
        std::printf("  %-14s %5zu instructions %7ld flips %6.1f s\n", region.name, path.size(), flips - before,
                    std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
    }
    std::printf("  delivered all the same: %ld, not: %ld\n", delivered, cut);
    return findings.end("flips", std::to_string(flips) + " words changed under a reader's eyes");
}
