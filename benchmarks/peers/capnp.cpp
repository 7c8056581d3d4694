// SPDX-License-Identifier: BSL-1.0
// capnp.cpp: Cap'n Proto's RPC over an abstract Unix socket: ordinary calls, streaming calls (with its flow control)
// for one way, and streaming calls of a capability that the client gives for events. The first segment's size is always
// hinted.
#include <capnp/ez-rpc.h>
#include <string>
#include <utility>
#include <vector>

#include "../harness/clock.hpp"
#include "../harness/main.hpp"
#include "capnp.capnp.h"

#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"  // the generated interfaces have none

namespace {

using Bytes = std::vector<kj::byte>;

capnp::MessageSize hint(const Bytes& bytes) { return {bytes.size() / sizeof(capnp::word) + 8, 0}; }
kj::ArrayPtr<const kj::byte> view(const Bytes& bytes) { return {bytes.data(), bytes.size()}; }
std::string address_of(const bench::Setup& setup) { return "unix-abstract:" + setup.address; }

/// Takes what is streamed to it.
template <class Took>
class Receiver final : public Sink::Server {
public:
    Receiver(std::size_t size, Took took) : size_(size), took_(took) {}
    kj::Promise<void> put(PutContext context) override {
        bench::expect(context.getParams().getData().size() == size_, "a message of another size came");
        took_();
        return kj::READY_NOW;
    }

private:
    std::size_t size_;
    Took took_;
};

template <class Took>
Sink::Client receiver(std::size_t size, Took took) {
    return kj::heap<Receiver<Took>>(size, took);
}

struct Peer {
    static constexpr std::size_t largest = std::size_t{1} << 20;
    static constexpr std::size_t sessions = 1000;

    class Service {
    public:
        explicit Service(const bench::Setup& setup) : rpc_(kj::heap<Server>(setup), address_of(setup).c_str()) {
            rpc_.getPort().wait(rpc_.getWaitScope());  // it listens
        }
        void serve() { kj::Promise<void>(kj::NEVER_DONE).wait(rpc_.getWaitScope()); }

    private:
        class Server final : public Bench::Server, kj::TaskSet::ErrorHandler {
        public:
            explicit Server(const bench::Setup& setup) : setup_(setup), event_(setup.size), background_(*this) {}

            kj::Promise<void> call(CallContext context) override {
                const auto data = context.getParams().getData();
                bench::expect(data.size() == setup_.size, "a request of another size came");
                context.getResults(hint(event_)).setData(data);
                return kj::READY_NOW;
            }
            kj::Promise<void> open(OpenContext context) override {
                sinks_.push_back(context.getParams().getEvents());
                context.getResults().setMessages(receiver(setup_.size, [this] { bench::count(setup_); }));
                return kj::READY_NOW;
            }
            kj::Promise<void> poke(PokeContext) override {
                const std::uint64_t started = bench::now_ns();
                auto pushed = push(setup_.shared->wanted.load());
                if (setup_.mode == bench::Mode::publish)
                    pushed = pushed.then([this, started] { bench::published(setup_, bench::now_ns() - started); });
                background_.add(kj::mv(pushed));
                return kj::READY_NOW;
            }

        private:
            kj::Promise<void> push(std::uint64_t left) {
                if (left == 0) return kj::READY_NOW;
                auto sent = kj::heapArrayBuilder<kj::Promise<void>>(sinks_.size());
                for (auto& sink : sinks_) {
                    auto event = sink.putRequest(hint(event_));
                    event.setData(view(event_));
                    sent.add(event.send());
                }
                return kj::joinPromises(sent.finish()).then([this, left] { return push(left - 1); });
            }
            void taskFailed(kj::Exception&& exception) override { bench::broken(exception.getDescription().cStr()); }

            const bench::Setup& setup_;
            Bytes event_;
            std::vector<Sink::Client> sinks_;
            kj::TaskSet background_;
        };

        capnp::EzRpcServer rpc_;
    };

    class Client {
    public:
        explicit Client(const bench::Setup& setup)
            : out_(setup.size, 1), rpc_(address_of(setup).c_str()), service_(rpc_.getMain<Bench>()) {
            service_.whenResolved().wait(scope());
            if (setup.mode == bench::Mode::echo) return;
            auto request = service_.openRequest();
            request.setEvents(receiver(setup.size, [this] { took_one(); }));
            // Calls of the service itself wouldn't stream: each would wait for its answer.
            messages_ = request.send().wait(scope()).getMessages();
        }
        Client(const Client&) = delete;
        Client& operator=(const Client&) = delete;

        void call() {
            auto request = service_.callRequest(hint(out_));
            request.setData(view(out_));
            const auto answer = request.send().wait(scope());
            bench::expect(answer.getData().size() == out_.size(), "an answer of another size came");
        }
        void send() {
            auto request = messages_.putRequest(hint(out_));
            request.setData(view(out_));
            request.send().wait(scope());
        }
        void flush() { service_.pokeRequest().send().wait(scope()); }  // it is taken after all that was sent before
        void poke() { service_.pokeRequest().send().wait(scope()); }
        std::size_t take() {
            if (taken_ == 0) {
                auto pair = kj::newPromiseAndFulfiller<void>();
                waiting_ = kj::mv(pair.fulfiller);
                pair.promise.wait(scope());
            }
            return std::exchange(taken_, 0);
        }

    private:
        void took_one() {
            ++taken_;
            if (waiting_.get() == nullptr) return;
            waiting_->fulfill();
            waiting_ = nullptr;
        }
        kj::WaitScope& scope() { return rpc_.getWaitScope(); }

        Bytes out_;
        std::size_t taken_ = 0;
        kj::Own<kj::PromiseFulfiller<void>> waiting_;
        capnp::EzRpcClient rpc_;
        Bench::Client service_;
        Sink::Client messages_ = nullptr;
    };
};

}  // namespace

int main(int argc, char** argv) { return bench::run<Peer>(argc, argv); }
