// SPDX-License-Identifier: BSL-1.0
// nng.cpp: nng over abstract Unix sockets, with the pattern that each case asks for: req and rep for calls, push and
// pull for one way and for the events of one client, pub and sub for events of many.
//
// nng does its input and output in a pool of threads on each side, however it is called.
#include <algorithm>
#include <atomic>
#include <nng/nng.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <sched.h>
#include <string>
#include <vector>

#include "../harness/clock.hpp"
#include "../harness/main.hpp"

namespace {

class Socket {
public:
    using Open = int (*)(nng_socket*);

    explicit Socket(Open open) {
        bench::expect(open(&handle_) == 0, "nng: opening a socket");
        (void)::nng_socket_set_size(handle_, NNG_OPT_RECVMAXSZ, 0);  // no limit
        if (open == ::nng_pub0_open)
            (void)::nng_socket_set_int(handle_, NNG_OPT_SENDBUF, 128);  // it drops what is more
        if (open == ::nng_sub0_open)
            bench::expect(::nng_socket_set(handle_, NNG_OPT_SUB_SUBSCRIBE, "", 0) == 0, "nng: subscribing");
        const auto more = [](nng_pipe, nng_pipe_ev, void* pipes) {
            static_cast<std::atomic<std::size_t>*>(pipes)->fetch_add(1);
        };
        bench::expect(::nng_pipe_notify(handle_, NNG_PIPE_EV_ADD_POST, more, &pipes_) == 0, "nng_pipe_notify");
    }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket() { ::nng_close(handle_); }

    void listen(const std::string& url) {
        bench::expect(::nng_listen(handle_, url.c_str(), nullptr, 0) == 0, "nng_listen");
    }
    void dial(const std::string& url) { bench::expect(::nng_dial(handle_, url.c_str(), nullptr, 0) == 0, "nng_dial"); }
    void wait_for_pipes(std::size_t count) const {
        while (pipes_ < count) ::sched_yield();
    }

    nng_msg* receive(std::size_t expected) {
        nng_msg* message = nullptr;
        bench::expect(::nng_recvmsg(handle_, &message, 0) == 0, "nng_recvmsg");
        bench::expect(::nng_msg_len(message) == expected, "a message of another size came");
        return message;
    }
    void receive(std::vector<std::byte>& into) {
        nng_msg* const message = receive(into.size());
        std::copy_n(static_cast<const std::byte*>(::nng_msg_body(message)), into.size(), into.data());
        ::nng_msg_free(message);
    }
    void send(nng_msg* message) { bench::expect(::nng_sendmsg(handle_, message, 0) == 0, "nng_sendmsg"); }
    void send(const std::vector<std::byte>& from) {
        nng_msg* message = nullptr;
        bench::expect(::nng_msg_alloc(&message, from.size()) == 0, "nng_msg_alloc");
        std::copy(from.begin(), from.end(), static_cast<std::byte*>(::nng_msg_body(message)));
        send(message);
    }

private:
    nng_socket handle_{};
    std::atomic<std::size_t> pipes_{0};
};

std::string requests_of(const bench::Setup& setup) { return "abstract://" + setup.address; }
std::string events_of(const bench::Setup& setup) { return requests_of(setup) + "-events"; }
bool calls(const bench::Setup& setup) { return setup.mode == bench::Mode::echo; }
bool publishes(const bench::Setup& setup) { return setup.mode == bench::Mode::publish; }
bool has_events(const bench::Setup& setup) { return publishes(setup) || setup.mode == bench::Mode::push; }

struct Peer {
    static constexpr std::size_t largest = std::size_t{1} << 20;
    static constexpr std::size_t sessions = 1000;

    class Service {
    public:
        explicit Service(const bench::Setup& setup)
            : setup_(setup),
              buffer_(setup.size),
              requests_(calls(setup) ? ::nng_rep0_open : ::nng_pull0_open),
              events_(publishes(setup) ? ::nng_pub0_open : ::nng_push0_open) {
            requests_.listen(requests_of(setup));
            if (has_events(setup)) events_.listen(events_of(setup));
        }

        void serve() {
            if (has_events(setup_)) events_.wait_for_pipes(setup_.sessions);
            for (;;) {
                if (calls(setup_)) {  // the interface hands over the message itself; it can go back as it is
                    requests_.send(requests_.receive(setup_.size));
                    continue;
                }
                requests_.receive(buffer_);
                if (setup_.mode == bench::Mode::consume) {
                    bench::count(setup_);
                    continue;
                }
                const std::uint64_t started = bench::now_ns();
                for (auto left = setup_.shared->wanted.load(); left != 0; --left) events_.send(buffer_);
                if (publishes(setup_)) bench::published(setup_, bench::now_ns() - started);
            }
        }

    private:
        const bench::Setup& setup_;
        std::vector<std::byte> buffer_;
        Socket requests_, events_;
    };

    class Client {
    public:
        explicit Client(const bench::Setup& setup)
            : out_(setup.size, std::byte{1}),
              in_(setup.size),
              requests_(calls(setup) ? ::nng_req0_open : ::nng_push0_open),
              events_(publishes(setup) ? ::nng_sub0_open : ::nng_pull0_open) {
            requests_.dial(requests_of(setup));
            if (has_events(setup)) events_.dial(events_of(setup));
        }

        void call() {
            requests_.send(out_);
            requests_.receive(in_);
        }
        void send() { requests_.send(out_); }
        void poke() { send(); }
        std::size_t take() {
            events_.receive(in_);
            return 1;
        }

    private:
        std::vector<std::byte> out_, in_;
        Socket requests_, events_;
    };
};

}  // namespace

int main(int argc, char** argv) { return bench::run<Peer>(argc, argv); }
