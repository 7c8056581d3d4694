// SPDX-License-Identifier: BSL-1.0
// What is built in place is written where the peer reads it, and what is viewed is read where it lies: by counting the
// bytes that the library copies out of shared memory, and by where the pointers point.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>
#include <unistd.h>

#include <qbipc/client.hpp>
#include <qbipc/service.hpp>
#include <qbipc/transport/shm_ring.hpp>

#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using qbipc::build;
using qbipc::on;
using qbipc::View;

std::atomic<std::uint64_t> copied = 0;

struct CountingMemory : qbipc::PlainMemory {
    static void copy_in(void* to, const void* from, std::size_t count) noexcept {
        copied += count;
        PlainMemory::copy_in(to, from, count);
    }
};
using Transport = qbipc::BasicShmRing<qbipc::Adaptive, qbipc::LinuxKernel, CountingMemory>;

struct Found {
    using Tail = std::byte;
    std::uint64_t sum;
};
struct Question {
    static constexpr qbipc::MessageId id = 1;
    using Reply = Found;
    using Tail = std::byte;
    std::uint64_t number;
};
struct News {
    static constexpr qbipc::EventId id = 1;
    using Tail = std::byte;
    std::uint64_t number;
};

/// Whether it points into a lane: mapped memory of a file that the library named.
bool in_a_lane(const void* pointer) {
    const auto address = reinterpret_cast<std::uintptr_t>(pointer);
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        if (line.find("memfd:qbipc") == line.npos) continue;
        std::size_t dash = 0;
        const auto begin = std::stoull(line, &dash, 16), end = std::stoull(line.substr(dash + 1), nullptr, 16);
        if (address >= begin && address < end) return true;
    }
    return false;
}

std::uint64_t sum_of(std::span<const std::byte> bytes) {
    std::uint64_t sum = 0;
    for (const auto byte : bytes) sum += static_cast<std::uint64_t>(byte);
    return sum;
}
void fill_with(std::span<std::byte> bytes, unsigned value) {
    for (auto& byte : bytes) byte = static_cast<std::byte>(value);
}

}  // namespace

TEST_CASE("nothing is copied of what is built in place and viewed in place", "[zero-copy]") {
    constexpr std::size_t size = 1'000'000;
    qbipc::ServiceOptions options;
    options.lane_size = std::size_t{8} << 20;
    const std::string name = "zero-copy-" + std::to_string(::getpid());
    std::atomic<bool> service_in_place = true;
    auto service = qbipc::or_exit(
        qbipc::listen<Transport>(
            name,
            qbipc::routes(on<Question>([&](auto& session, const View<Question>& question, qbipc::Answer<Found> answer) {
                service_in_place = service_in_place && in_a_lane(question.tail().data());
                const std::uint64_t sum = sum_of(question.tail());
                const auto sent = session.send(build<News>(size, [&](News& news, std::span<std::byte> tail) {
                    service_in_place = service_in_place && in_a_lane(tail.data());
                    news.number = question->number;
                    fill_with(tail, 3);
                }));
                service_in_place = service_in_place && sent;
                const auto answered = answer.send(build<Found>(size, [&](Found& found, std::span<std::byte> tail) {
                    service_in_place = service_in_place && in_a_lane(tail.data());
                    found.sum = sum;
                    fill_with(tail, 2);
                }));
                service_in_place = service_in_place && answered;
            })),
            qbipc::same_user_or_root, options),
        "listen");
    std::jthread thread([&](std::stop_token stop) { (void)service.run(stop); });
    qbipc::Options wish;
    wish.lane_size = options.lane_size;
    auto client =
        qbipc::or_exit(qbipc::Client<Transport>::connect(name, 20s, qbipc::same_user_or_root, wish), "connect");

    constexpr std::uint64_t rounds = 20;
    std::uint64_t right = 0, news = 0;
    bool in_place = true;
    auto events = qbipc::routes(on<News>([&](const View<News>& one) {
        in_place = in_place && in_a_lane(one.tail().data());
        news += one->number == news && sum_of(one.tail()) == 3 * size;
    }));
    copied = 0;
    for (std::uint64_t i = 0; i < rounds; ++i) {
        const auto ask = [&](Question& m, std::span<std::byte> tail) {
            in_place = in_place && in_a_lane(tail.data());
            m.number = i;
            fill_with(tail, 1);
        };
        const auto called = client.call(build<Question>(size, ask), 20s, [&](const View<Found>& answer) {
            in_place = in_place && in_a_lane(answer.tail().data());
            right += answer->sum == size && sum_of(answer.tail()) == 2 * size;
        });
        REQUIRE(called);
        while (news <= i) REQUIRE(client.receive(events, 20s));
    }
    CHECK(right == rounds);
    CHECK(in_place);
    CHECK(service_in_place);
    // The fixed parts alone: 8 bytes of each question, answer and event.
    CHECK(copied == 3 * sizeof(std::uint64_t) * rounds);
}
