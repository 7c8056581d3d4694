// SPDX-License-Identifier: BSL-1.0
// deferred.cpp: slow calls are answered by a worker thread; the service goes on meanwhile.
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <qbipc/qbipc.hpp>

#include "program.hpp"

using namespace std::chrono_literals;

namespace primes {

struct Count {
    std::uint64_t value;
};
struct Below {  // how many primes there are below
    static constexpr qbipc::MessageId id = 1;
    using Reply = Count;
    std::uint64_t limit;
};
struct Asked {  // how often that was asked
    static constexpr qbipc::MessageId id = 2;
    using Reply = Count;
};

std::uint64_t count_below(std::uint64_t limit) {
    std::vector<bool> composite(limit);
    std::uint64_t count = 0;
    for (std::uint64_t n = 2; n < limit; ++n) {
        if (composite[n]) continue;
        ++count;
        for (std::uint64_t multiple = n * n; multiple < limit; multiple += n) composite[multiple] = true;
    }
    return count;
}

}  // namespace primes

using namespace primes;

/// Whoever holds an Answer has the duty to answer, once, from any thread. Dropped, the caller gets `unanswered`.
class Worker {
public:
    struct Job {
        Below below;
        qbipc::Answer<Count> answer;
    };
    void add(Job job) {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
        more_.notify_one();
    }

private:
    void work(const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        while (more_.wait(lock, stop, [&] { return !jobs_.empty(); }) && !stop.stop_requested()) {
            Job job = std::move(jobs_.front());
            jobs_.pop_front();
            lock.unlock();
            if (job.below.limit > 10'000'000)
                job.answer.fail(make_error_code(std::errc::argument_out_of_domain));
            else
                job.answer.send(Count{count_below(job.below.limit)});
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable_any more_;
    std::deque<Job> jobs_;
    std::jthread thread_{[this](const std::stop_token& stop) { work(stop); }};
};

int serve(const qbipc::Address& address) {
    Worker worker;  // outlives the service: answers that come too late have nowhere to go, and do no harm
    std::uint64_t asked = 0;
    auto selector = qbipc::routes(qbipc::on<Below>([&](const Below& below, qbipc::Answer<Count> answer) {
                                      ++asked;
                                      worker.add({below, std::move(answer)});
                                  }),
                                  qbipc::on<Asked>([&](const Asked&) { return Count{asked}; }));
    auto service = qbipc::or_exit(qbipc::listen<qbipc::ShmRing>(address, std::move(selector)), "listen");
    return example::serve_until_told(service);
}

int ask(const qbipc::Address& address) {
    auto client = qbipc::or_exit(qbipc::Client<qbipc::ShmRing>::connect(address, 5s), "connect");

    auto slow = qbipc::or_exit(client.start(Below{10'000'000}), "start");
    const auto asked = qbipc::or_exit(client.call(Asked{}, 5s), "asked");
    example::expect(asked.value == 1, "another call is answered while the first is worked on");
    const auto count = qbipc::or_exit(client.wait(slow, 60s), "below");
    example::expect(count.value == 664'579, "there are 664,579 primes below ten million");

    const auto too_many = client.call(Below{1'000'000'000}, 60s);
    example::expect(!too_many && too_many.error() == std::errc::argument_out_of_domain,
                    "an error comes from the worker's thread as well");
    return 0;
}

int main(int argc, char** argv) { return example::run(argc, argv, serve, ask); }
