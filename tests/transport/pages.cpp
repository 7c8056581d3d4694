// SPDX-License-Identifier: BSL-1.0
// When the memory of lanes comes to be: as it is used, before the connection is made, or for good.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include <qbipc/transport/shm_ring.hpp>

#include "conformance/messages.hpp"
#include "conformance/running.hpp"

namespace {

using namespace conformance;
using qbipc::on;
using qbipc::Pages;
using qbipc::routes;
using qbipc::TailView;
using qbipc::with_tail;

/// Counts, and may refuse to lock.
struct PagesKernel : qbipc::LinuxKernel {
    static inline std::atomic<int> populated = 0, looked = 0, huge = 0, locked = 0;
    static inline std::atomic<int> lock_error = 0, look_error = 0, populate_error = 0;
    static inline std::atomic<bool> absent = false;  ///< no page of a peer's has been allocated, or so it seems

    static int madvise(void* start, std::size_t size, int advice) noexcept {
        populated += advice == qbipc::detail::madvise_populate_write;
        looked += advice == qbipc::detail::madvise_populate_read;
        if (look_error != 0 && advice == qbipc::detail::madvise_populate_read) return -look_error;
        if (populate_error != 0 && advice == qbipc::detail::madvise_populate_write) return -populate_error;
        huge += advice == MADV_HUGEPAGE;
        return LinuxKernel::madvise(start, size, advice);
    }
    static int mlock(const void* start, std::size_t size) noexcept {
        ++locked;
        return lock_error != 0 ? -lock_error : LinuxKernel::mlock(start, size);
    }
    static int mincore(void* start, std::size_t size, unsigned char* pages) noexcept {
        const int result = LinuxKernel::mincore(start, size, pages);
        if (absent) std::fill_n(pages, size / 4096, static_cast<unsigned char>(0));
        return result;
    }
    static void reset() {
        populated = looked = huge = locked = lock_error = look_error = populate_error = 0;
        absent = false;
    }
};
using Ring = qbipc::BasicShmRing<qbipc::Adaptive, PagesKernel>;

auto echo() {
    return routes(
        on<Echo>([](const Echo& m, TailView<std::byte> tail) { return qbipc::Copy<Echoed>(Echoed{m.number}, tail); }));
}

/// A lap of both lanes and more.
bool go_round(qbipc::Client<Ring>& client) {
    const auto bytes = patterned(1, 100'000);
    for (std::uint64_t i = 0; i < 20; ++i) {
        const auto answer = client.call(with_tail(Echo{i}, bytes), patience);
        if (!answer || !is_patterned(answer->tail(), 1, bytes.size())) return false;
    }
    return true;
}

qbipc::ServiceOptions with(Pages pages) {
    qbipc::ServiceOptions options;
    options.pages = pages;
    options.lane_size = std::size_t{1} << 20;
    return options;
}

/// "VmLck" of this process, in KiB.
std::size_t locked_memory() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
        if (word == "VmLck:" && status >> word) return std::stoul(word);
    return 0;
}

}  // namespace

TEST_CASE("memory that was reserved is there before the first message, and is never asked for again", "[pages]") {
    PagesKernel::reset();
    auto service = run<Ring>(echo(), qbipc::same_user_or_root, with(Pages::reserved));
    auto client = connect<Ring>(service.name, with(Pages::reserved));
    const int before = PagesKernel::populated;
    CHECK(before > 0);
    CHECK(go_round(client));
    CHECK(PagesKernel::populated == before);
    CHECK(PagesKernel::locked == 0);
    CHECK(PagesKernel::huge == 0);
}

TEST_CASE("memory that is touched comes as it is used", "[pages]") {
    PagesKernel::reset();
    auto service = run<Ring>(echo(), qbipc::same_user_or_root, with(Pages::touched));
    auto client = connect<Ring>(service.name, with(Pages::touched));
    const int before = PagesKernel::populated;
    const int looked = PagesKernel::looked;
    CHECK(go_round(client));
    CHECK(PagesKernel::populated > before);
    // Nor is anything read of which nobody has made sure.
    CHECK(PagesKernel::looked > looked);
}

TEST_CASE("pages that a peer should have allocated, and for which there is no memory, end the session", "[pages]") {
    PagesKernel::reset();
    Log<qbipc::EndReason> reasons;
    const auto all = [&] {
        return routes(qbipc::on_disconnect([&](auto& session) { reasons.add(session.reason()); }),
                      on<Echo>([](const Echo& m, TailView<std::byte> tail) {
                          return qbipc::Copy<Echoed>(Echoed{m.number}, tail);
                      }));
    };
    auto service = run<Ring>(all(), qbipc::same_user_or_root, with(Pages::touched));
    auto client = connect<Ring>(service.name, with(Pages::touched));
    for (const int error : {ENOMEM, EFAULT}) {
        PagesKernel::look_error = 0;
        auto victim = connect<Ring>(service.name, with(Pages::touched));
        REQUIRE(victim.call(with_tail(Echo{1}), patience));  // it is let in by now
        PagesKernel::look_error = error;
        CHECK(why(victim.call(with_tail(Echo{1}, patterned(1, 100'000)), patience)) == errc::disconnected);
    }
    PagesKernel::look_error = 0;
    CHECK(reasons.wait_for(2) == std::vector{qbipc::EndReason::quota, qbipc::EndReason::quota});
    CHECK(go_round(client));
}

TEST_CASE("what was there from the start is asked for once more when the client can't give it back any longer",
          "[pages]") {
    PagesKernel::reset();
    auto options = with(Pages::touched);
    options.limits.user_lane_bytes = 4096;
    auto service = run<Ring>(routes(on<Ping>([](const Ping&) { return Done{}; })), qbipc::same_user_or_root, options);
    auto honest = connect<Ring>(service.name, with(Pages::touched));
    CHECK(honest.call(Ping{}, patience));
    PagesKernel::absent = true;
    auto hostile = connect<Ring>(service.name, with(Pages::touched));
    CHECK(why(hostile.call(Ping{}, patience)) == errc::disconnected);
    CHECK(service.statistics().accepted == 1);
    PagesKernel::absent = false;
    PagesKernel::look_error = ENOMEM;
    CHECK_FALSE(qbipc::Client<Ring>::connect(service.name, patience));
    PagesKernel::look_error = 0;
    CHECK(honest.call(Ping{}, patience));
}

TEST_CASE("pages that a service allocates in its client's place are on the account of that user", "[pages]") {
    PagesKernel::reset();
    Log<qbipc::EndReason> reasons;
    std::atomic<int> taken = 0;
    auto options = with(Pages::touched);
    options.limits.user_lane_bytes = std::size_t{256} << 10;
    auto service = run<Ring>(routes(qbipc::on_disconnect([&](auto& session) { reasons.add(session.reason()); }),
                                    on<Parcel>([&](const Parcel&, TailView<std::byte>) { ++taken; })),
                             qbipc::same_user_or_root, options);
    const auto send_all = [&](qbipc::Client<Ring>& client) {
        for (std::uint64_t i = 0; i < 40; ++i)
            if (!client.send(with_tail(Parcel{i}, patterned(1, 30'000)), patience)) return false;
        return true;
    };
    auto honest = connect<Ring>(service.name, with(Pages::touched));
    CHECK(send_all(honest));
    REQUIRE(eventually([&] { return taken == 40; }));  // or what is left would seem to be absent, too
    PagesKernel::absent = true;
    auto hostile = connect<Ring>(service.name, with(Pages::touched));
    (void)send_all(hostile);
    REQUIRE(reasons.wait_for(1) == std::vector{qbipc::EndReason::quota});
    CHECK(why(hostile.receive(no_events(), patience)) == errc::disconnected);
    PagesKernel::absent = false;
    CHECK(send_all(honest));
}

TEST_CASE("memory that could not be had is not on the account", "[pages]") {
    PagesKernel::reset();
    auto options = with(Pages::touched);
    options.limits.user_lane_bytes = std::size_t{256} << 10;
    auto service = run<Ring>(routes(on<Tell>([](auto& session, const Tell& m) {
                                        for (std::uint64_t i = 0; i < m.count; ++i)
                                            (void)session.send(with_tail(Chunk{i}, patterned(1, 60'000)));
                                    }),
                                    on<Ping>([](const Ping&) { return Done{}; })),
                             qbipc::same_user_or_root, options);
    auto client = connect<Ring>(service.name, with(Pages::touched));
    REQUIRE(client.call(Ping{}, patience));
    PagesKernel::populate_error = ENOMEM;
    REQUIRE(client.send(Tell{100}));
    REQUIRE(client.call(Ping{}, patience));
    PagesKernel::populate_error = 0;
    CHECK(client.call(Ping{}, patience));
    REQUIRE(client.send(Tell{1}));
    CHECK(client.call(Ping{}, patience));
}

TEST_CASE("sessions that read get by with what their user may have, however large the frames", "[pages]") {
    PagesKernel::reset();
    auto options = with(Pages::touched);
    options.limits.user_lane_bytes = std::size_t{4} << 20;
    auto service = run<Ring>(echo(), qbipc::same_user_or_root, options);
    std::vector<qbipc::Client<Ring>> clients;
    for (int i = 0; i < 10; ++i) clients.push_back(connect<Ring>(service.name, with(Pages::touched)));
    for (int round = 0; round < 40; ++round) {
        for (auto& client : clients) {
            const auto back = client.call(with_tail(Echo{1}, patterned(1, 60'000)), patience);
            REQUIRE(back);
            REQUIRE(back->tail().size() == 60'000);
        }
    }
}

TEST_CASE("one side may reserve what the other doesn't", "[pages]") {
    PagesKernel::reset();
    auto service = run<Ring>(echo(), qbipc::same_user_or_root, with(Pages::touched));
    auto client = connect<Ring>(service.name, with(Pages::reserved));
    CHECK(go_round(client));
}

TEST_CASE("memory that is locked stays, until the connection ends", "[pages]") {
    PagesKernel::reset();
    const auto before = locked_memory();
    {
        auto service = run<Ring>(echo(), qbipc::same_user_or_root, with(Pages::touched));
        qbipc::Options options = with(Pages::locked);
        options.huge_pages = true;
        auto client = qbipc::Client<Ring>::connect(service.name, patience, qbipc::same_user_or_root, options);
        if (!client && client.error() == errc::memory_not_locked) {
            WARN("not tested: RLIMIT_MEMLOCK is too low here");
            return;
        }
        REQUIRE(client);
        CHECK(PagesKernel::locked == 2);
        CHECK(PagesKernel::huge == 2);
        CHECK(locked_memory() >= before + 3 * 1024);
        CHECK(go_round(*client));
    }
    CHECK(locked_memory() == before);
}

TEST_CASE("a limit that forbids locking is named, to the client whichever side it is", "[pages]") {
    for (const int error : {ENOMEM, EPERM, EAGAIN}) {
        PagesKernel::reset();
        PagesKernel::lock_error = error;
        auto service = run<Ring>(echo(), qbipc::same_user_or_root, with(Pages::touched));
        CHECK(why(qbipc::Client<Ring>::connect(service.name, patience, qbipc::same_user_or_root,
                                               with(Pages::locked))) == errc::memory_not_locked);
        auto other = run<Ring>(echo(), qbipc::same_user_or_root, with(Pages::locked));
        CHECK(why(qbipc::Client<Ring>::connect(other.name, patience)) == errc::memory_not_locked);
        CHECK(other.statistics().refused >= 1);
        auto client = connect<Ring>(service.name);
        CHECK(go_round(client));
    }
}
