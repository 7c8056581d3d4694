// SPDX-License-Identifier: BSL-1.0
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <utility>

#include <qbipc/detail/bell.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/test_lane.hpp"

using namespace qbipc;
using namespace qbipc::detail;
using namespace qbipc::testing;
using Clock = std::chrono::steady_clock;

namespace {

/// A flag with both its sides.
template <class Memory = PlainMemory>
struct Flag {
    std::uint64_t word = 0;
    Sleeper<Memory> sleeper{&word};
    Ringer<Memory> ringer{&word};
};

/// Stands for a stream socket: bytes that stay until someone drains them.
class Socket {
public:
    void ring() {
        const std::lock_guard lock(mutex_);
        ++bytes_;
        ++rung_;
        most_ = std::max(most_, bytes_);
        changed_.notify_all();
    }
    /// False: nothing came until the deadline.
    bool wait(Clock::time_point deadline) {
        std::unique_lock lock(mutex_);
        return changed_.wait_until(lock, deadline, [&] { return bytes_ > 0; });
    }
    /// Whether there was at least a byte.
    bool drain() {
        const std::lock_guard lock(mutex_);
        return std::exchange(bytes_, 0) > 0;
    }
    std::uint64_t rung() const { return rung_; }
    std::uint64_t most() const { return most_; }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::uint64_t bytes_ = 0, rung_ = 0, most_ = 0;
};

}  // namespace

TEST_CASE("nobody rings for one who is awake", "[bell]") {
    Flag flag;
    CHECK(flag.ringer.due() == Bell::none);
    const Generation generation;
    flag.sleeper.arm(Bell::call, generation);
    CHECK(flag.sleeper.armed());
    flag.sleeper.disarm();
    CHECK_FALSE(flag.sleeper.armed());
    CHECK(flag.word == 0);
    CHECK(flag.ringer.due() == Bell::none);
}

TEST_CASE("a flag says which bell, and is rung once for each generation", "[bell]") {
    Flag flag;
    Generation generation;
    for (int round = 0; round < 3; ++round) {
        flag.sleeper.arm(Bell::event, generation);
        CHECK(flag.word == (generation.value() << 2 | 2));
        CHECK(flag.ringer.due() == Bell::event);
        CHECK(flag.ringer.due() == Bell::none);
        flag.sleeper.disarm();
        CHECK(flag.ringer.due() == Bell::none);
        // Woken by a look, not by the bell: the byte is still in the socket, and no second is wanted.
        flag.sleeper.arm(Bell::event, generation);
        CHECK(flag.ringer.due() == Bell::none);
        generation.drained();
    }
}

TEST_CASE("a bell that was rung and not drained stays rung while the other is used", "[bell]") {
    Flag flag;
    Generation call, event;
    flag.sleeper.arm(Bell::call, call);
    CHECK(flag.ringer.due() == Bell::call);
    flag.sleeper.arm(Bell::event, event);
    CHECK(flag.ringer.due() == Bell::event);
    event.drained();
    flag.sleeper.arm(Bell::call, call);
    CHECK(flag.ringer.due() == Bell::none);
    flag.sleeper.arm(Bell::event, event);
    CHECK(flag.ringer.due() == Bell::event);
    call.drained();
    flag.sleeper.arm(Bell::call, call);
    CHECK(flag.ringer.due() == Bell::call);
}

TEST_CASE("flags that share a bell are rung each by itself", "[bell]") {
    Flag answers, events;
    Generation generation;
    answers.sleeper.arm(Bell::event, generation);
    events.sleeper.arm(Bell::event, generation);
    CHECK(answers.ringer.due() == Bell::event);
    CHECK(events.ringer.due() == Bell::event);
    generation.drained();
    answers.sleeper.arm(Bell::event, generation);
    CHECK(answers.ringer.due() == Bell::event);
    CHECK(events.ringer.due() == Bell::none);
}

TEST_CASE("a flag that names no bell is not rung", "[bell]") {
    Flag flag;
    for (const std::uint64_t forged : {std::uint64_t{3}, std::uint64_t{4}, std::uint64_t{7}, ~std::uint64_t{0}}) {
        flag.word = forged;
        CHECK(flag.ringer.due() == Bell::none);
    }
}

TEST_CASE("a flag is read once, so that the bell that was checked is the one that rings", "[bell]") {
    Flag<WatchedMemory> flag;
    const Generation generation;
    flag.sleeper.arm(Bell::call, generation);
    WatchedMemory::watch(3);  // a second look would find the other bell
    const Bell due = flag.ringer.due();
    CHECK(WatchedMemory::loads.size() == 1);
    WatchedMemory::watch();
    CHECK(due == Bell::call);
}

TEST_CASE("a flag that already says so isn't written again", "[bell]") {
    Flag flag;
    const Generation generation;
    flag.sleeper.arm(Bell::call, generation);
    flag.word = 77;  // seen by nobody: a side never reads back its own words
    flag.sleeper.arm(Bell::call, generation);
    CHECK(flag.word == 77);
    flag.sleeper.disarm();
    CHECK(flag.word == 0);
}

TEST_CASE("a sleeping receiver is woken by at most one bell for each sleep, and misses nothing", "[bell]") {
    constexpr std::uint64_t frames = 200000;
    const auto deadline = Clock::now() + std::chrono::minutes(20);
    const std::uint64_t lines = GENERATE(16u, 1024u);
    TestLane lane(small_shape(lines));
    Flag<> data, room;
    Socket to_receiver, to_sender;
    std::uint64_t receiver_sleeps = 0, sender_sleeps = 0;
    std::atomic<bool> given_up{false};

    std::thread sender([&] {
        Generation generation;
        for (std::uint64_t k = 0; k < frames && !given_up; ++k) {
            while (lane.writer.reserve(8) == nullptr) {
                room.sleeper.arm(Bell::call, generation);
                PlainMemory::fence();
                if (!lane.writer.has_room(8)) {
                    ++sender_sleeps;
                    if (!to_sender.wait(deadline)) given_up = true;
                    if (given_up) return;
                    if (to_sender.drain()) generation.drained();
                }
                room.sleeper.disarm();
            }
            lane.writer.commit(Header{8, Kind::call, 0, 0, 0, static_cast<std::uint32_t>(k)});
            PlainMemory::fence();
            if (data.ringer.due() != Bell::none) to_receiver.ring();
        }
    });
    {
        Generation generation;
        std::uint64_t got = 0;
        const auto ring_for_room = [&] {
            if (room.ringer.due() != Bell::none) to_sender.ring();
        };
        while (got < frames && !given_up) {
            Frame frame;
            if (lane.reader.peek(frame)) {
                if (frame.header.correlation != got) given_up = true;
                ++got;
                lane.reader.release();
            } else {
                lane.reader.show_credit();
                data.sleeper.arm(Bell::call, generation);
                PlainMemory::fence();
                lane.reader.take_shown();
                ring_for_room();
                if (!lane.reader.peek(frame)) {
                    ++receiver_sleeps;
                    if (!to_receiver.wait(deadline)) given_up = true;
                    if (to_receiver.drain()) generation.drained();
                }
                data.sleeper.disarm();
            }
            if (lane.reader.take_shown()) {
                PlainMemory::fence();
                ring_for_room();
            }
        }
        if (given_up) to_sender.ring();
        CHECK(got == frames);
    }
    sender.join();
    CHECK_FALSE(given_up);
    CHECK(to_receiver.rung() <= receiver_sleeps + 1);
    CHECK(to_sender.rung() <= sender_sleeps + 1);
    CHECK(to_receiver.most() <= 2);
    CHECK(to_sender.most() <= 2);
}
