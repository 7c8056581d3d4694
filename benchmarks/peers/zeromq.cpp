// SPDX-License-Identifier: BSL-1.0
// zeromq.cpp: libzmq over ipc://, with the pattern that each case asks for: REQ and REP for calls, PUSH and PULL for
// one way, XPUB and SUB for events (without drops). A thread of libzmq's own does the input and output on each side.
#include <array>
#include <string>
#include <vector>
#include <zmq.h>

#include "../harness/clock.hpp"
#include "../harness/main.hpp"

namespace {

/// One context a process, made after the fork: each has its thread.
void* context() {
    static void* const only = [] {
        void* const made = ::zmq_ctx_new();
        ::zmq_ctx_set(made, ZMQ_MAX_SOCKETS, 4096);
        return made;
    }();
    return only;
}

class Socket {
public:
    explicit Socket(int type) : handle_(::zmq_socket(context(), type)) {
        bench::expect(handle_ != nullptr, "zmq_socket");
        set(ZMQ_LINGER, 0);
        if (type == ZMQ_XPUB) {
            set(ZMQ_XPUB_NODROP, 1);
            set(ZMQ_XPUB_VERBOSE, 1);  // tells of equal subscriptions, too
        }
        if (type == ZMQ_SUB) bench::expect(::zmq_setsockopt(handle_, ZMQ_SUBSCRIBE, "", 0) == 0, "zmq_setsockopt");
    }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket() { ::zmq_close(handle_); }

    void bind(const std::string& address) { bench::expect(::zmq_bind(handle_, address.c_str()) == 0, "zmq_bind"); }
    void connect(const std::string& address) {
        bench::expect(::zmq_connect(handle_, address.c_str()) == 0, "zmq_connect");
    }
    void send(const std::vector<std::byte>& from) {
        bench::expect(::zmq_send(handle_, from.data(), from.size(), 0) >= 0, "zmq_send");
    }
    void receive(std::vector<std::byte>& into) {
        const int got = ::zmq_recv(handle_, into.data(), into.size(), 0);
        bench::expect(got == static_cast<int>(into.size()), "a message of another size came, or none");
    }
    /// Whatever comes.
    void skip() {
        std::array<std::byte, 64> any;
        bench::expect(::zmq_recv(handle_, any.data(), any.size(), 0) >= 0, "zmq_recv");
    }

private:
    void set(int option, int value) {
        bench::expect(::zmq_setsockopt(handle_, option, &value, sizeof value) == 0, "zmq_setsockopt");
    }
    void* handle_;
};

/// In the abstract name space: no files.
std::string requests_of(const bench::Setup& setup) { return "ipc://@" + setup.address; }
std::string events_of(const bench::Setup& setup) { return requests_of(setup) + "-events"; }
bool calls(const bench::Setup& setup) { return setup.mode == bench::Mode::echo; }
bool has_events(const bench::Setup& setup) { return !calls(setup) && setup.mode != bench::Mode::consume; }

struct Peer {
    static constexpr std::size_t largest = std::size_t{1} << 20;
    static constexpr std::size_t sessions = 1000;

    class Service {
    public:
        explicit Service(const bench::Setup& setup)
            : setup_(setup), buffer_(setup.size), requests_(calls(setup) ? ZMQ_REP : ZMQ_PULL), events_(ZMQ_XPUB) {
            requests_.bind(requests_of(setup));
            if (has_events(setup)) events_.bind(events_of(setup));
        }

        void serve() {
            // Each client's subscription comes as a message; all must be there before the first event.
            if (has_events(setup_))
                for (std::size_t i = 0; i < setup_.sessions; ++i) events_.skip();
            for (;;) {
                requests_.receive(buffer_);
                switch (setup_.mode) {
                    case bench::Mode::echo:
                        requests_.send(buffer_);
                        break;
                    case bench::Mode::consume:
                        bench::count(setup_);
                        break;
                    case bench::Mode::push:
                        for (auto left = setup_.shared->wanted.load(); left != 0; --left) events_.send(buffer_);
                        break;
                    case bench::Mode::publish:
                        const std::uint64_t started = bench::now_ns();
                        for (auto left = setup_.shared->wanted.load(); left != 0; --left) events_.send(buffer_);
                        bench::published(setup_, bench::now_ns() - started);
                        break;
                }
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
              requests_(calls(setup) ? ZMQ_REQ : ZMQ_PUSH),
              events_(ZMQ_SUB) {
            requests_.connect(requests_of(setup));
            if (has_events(setup)) events_.connect(events_of(setup));
            if (calls(setup)) call();  // libzmq connects in the background: until here nobody knows of anybody
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
