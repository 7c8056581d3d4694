// SPDX-License-Identifier: BSL-1.0
// One user who wants more than his share, without the library. Ends when its input does.
//   crowd shm|unix NAME [user=N]    "open N": that many sessions more, until one is refused; "drop N"; "silent N": says
//                                   nothing at the door; "greet": then says at once what each wants, and waits until
//                                   he is let in; "told": waits until each silent one was told why he must go;
//                                   "flood": connects at full speed, "jostle": without
//                                   waiting for a place, "noise": rings, calls and wishes in one session,
//                                   each begun when it answers, until "enough"; "made": how often so far; "halves N":
//                                   sends so many bytes of a long message in each session
#include <atomic>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "attacker/hostile_client.hpp"
#include "process/arguments.hpp"

using namespace attacker;

namespace {

class Crowd {
public:
    Crowd(u8 transport, std::string name) : transport_(transport), name_(std::move(name)) {}

    std::string obey(const std::string& line) {
        std::istringstream words(line);
        std::string verb;
        std::size_t count = 0;
        words >> verb >> count;
        if (verb == "open") return open(count);
        if (verb == "drop") {
            sessions_.resize(sessions_.size() - std::min(count, sessions_.size()));
            return "dropped";
        }
        if (verb == "silent") {
            for (; count != 0; --count) silent_.push_back(connect_to(name_));
            return "silent";
        }
        if (verb == "greet") return "let_in=" + std::to_string(greet());
        if (verb == "told") return "told=" + std::to_string(told());
        if (verb == "halves") return halves(count);
        if (verb == "flood") return beside([this] { knock(); });
        if (verb == "jostle") return beside([this] { knock(SOCK_NONBLOCK); });
        if (verb == "noise") {
            noisy_ = visit();
            return noisy_.c ? beside([this] { make_noise(); }) : "refused";
        }
        if (verb == "made") return "made=" + std::to_string(made_);
        if (verb == "enough") {
            beside_ = {};
            return "made=" + std::to_string(made_.exchange(0));
        }
        return "?";
    }

private:
    struct Visit {
        Fd c;
        std::vector<Fd> more{};
        Reply reply{};
    };

    /// A session, acknowledged; the refusal where there is one.
    Visit visit() const {
        Visit visit{connect_to(name_)};
        Hello hello;
        hello.transport = transport_;
        put_all(visit.c.get(), bytes_of(hello));
        const auto bytes = take(visit.c.get(), sizeof(Reply), &visit.more);
        if (bytes.size() == sizeof(Reply)) std::memcpy(&visit.reply, bytes.data(), sizeof(Reply));
        if (visit.reply.status != admitted || bytes.size() != sizeof(Reply))
            visit.c.close();
        else
            put_byte(visit.c.get(), byte_ack);
        return visit;
    }

    std::string open(std::size_t count) {
        std::size_t opened = 0;
        std::int32_t why = 0;
        for (int busy = 0; opened < count && busy < 10'000;) {
            auto one = visit();
            if (one.c) {
                sessions_.push_back(std::move(one));
                ++opened;
                continue;
            }
            why = one.reply.value;
            if (why != 18) break;  // busy passes
            ++busy;
            std::this_thread::sleep_for(1ms);
        }
        return "opened=" + std::to_string(opened) + " why=" + std::to_string(why);
    }

    int greet() {
        Hello hello;
        hello.transport = transport_;
        for (auto& one : silent_) put_all(one.get(), bytes_of(hello));
        int count = 0;
        for (auto& one : silent_) {
            Visit visit{std::move(one)};
            const auto bytes = take(visit.c.get(), sizeof(Reply), &visit.more);
            count += bytes.size() == sizeof(Reply) && bytes[15] == static_cast<char>(admitted);
            put_byte(visit.c.get(), byte_ack);
            sessions_.push_back(std::move(visit));
        }
        silent_.clear();
        return count;
    }

    int told() {
        int count = 0;
        for (auto& one : silent_) {
            const auto bytes = take(one.get(), sizeof(Reply));
            count += bytes.size() == sizeof(Reply) && bytes[15] == static_cast<char>(refused);
        }
        silent_.clear();
        return count;
    }

    /// A stream's: the beginning of a message of 1 MiB in each session.
    std::string halves(std::size_t bytes) {
        for (auto& one : sessions_) {
            std::string row(bytes_of(u64{1} << 20));
            row.resize(60'000, 'x');
            put_frame(one, {.size = row.size(), .kind = call, .flags = 1, .id = echo_id, .correlation = 1}, row);
            for (std::size_t sent = row.size(); sent < bytes; sent += 60'000)
                put_frame(one, {.size = 60'000, .kind = piece, .id = echo_id, .correlation = 1},
                          std::string(60'000, 'x'));
        }
        std::size_t alive = 0;
        for (auto& one : sessions_) alive += one.c && !hung_up(one.c.get(), 50ms);
        return "alive=" + std::to_string(alive);
    }
    static void put_frame(Visit& one, const Frame& frame, std::string_view payload) {
        if (one.c && !put_all(one.c.get(), HostileClient::stream_frame(frame, payload))) one.c.close();
    }

    void knock(int flags = 0) {
        const Fd one = connect_to(name_, flags);
        if (!one) return;
        if (made_ % 3 == 0) put(one.get(), "no hello");
        ++made_;
    }

    void make_noise() {
        if (transport_ == shm_ring) {
            put(noisy_.c.get(), std::string(512, '\0'));
        } else {
            std::string calls;
            for (int i = 0; i < 20; ++i)
                calls += HostileClient::stream_frame({.size = 16, .kind = one_way, .id = wish_id},
                                                     bytes_of(Wish{.count = 1, .size = 10}));
            put_all(noisy_.c.get(), calls);
        }
        ++made_;
    }

    template <class F>
    std::string beside(F&& f) {
        beside_ = std::jthread([f](std::stop_token stop) {
            while (!stop.stop_requested()) f();
        });
        // A thread that has not run yet is beside nothing.
        while (made_ == 0) std::this_thread::sleep_for(1ms);
        return "begun";
    }

    const u8 transport_;
    const std::string name_;
    std::vector<Visit> sessions_;
    std::vector<Fd> silent_;
    Visit noisy_;
    std::atomic<std::uint64_t> made_{0};
    std::jthread beside_;
};

}  // namespace

int main(int argc, char** argv) {
    const qbipc::testing::Arguments arguments(argc, argv);
    if (argc < 3 || !qbipc::testing::become(arguments)) return 2;
    Crowd crowd(std::string(argv[1]) == "shm" ? shm_ring : unix_socket, argv[2]);
    std::cout << "ready" << std::endl;
    qbipc::testing::Lines lines;
    for (std::string line; lines.next(line);) std::cout << crowd.obey(line) << std::endl;
    return 0;
}
