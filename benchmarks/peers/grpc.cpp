// SPDX-License-Identifier: BSL-1.0
// grpc.cpp: gRPC over an abstract Unix socket, with its synchronous interface, for a message that is bytes and nothing
// else. The service answers from a pool of threads.
#include <algorithm>
#include <grpcpp/grpcpp.h>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "../harness/clock.hpp"
#include "../harness/main.hpp"
#include "grpc.grpc.pb.h"

namespace {

using qbipc_bench::Bytes;
using Watched = grpc::ServerReaderWriter<Bytes, Bytes>;

std::string address_of(const bench::Setup& setup) { return "unix-abstract:" + setup.address; }

struct Peer {
    static constexpr std::size_t largest = std::size_t{1} << 20;
    static constexpr std::size_t sessions = 1000;

    class Service final : qbipc_bench::Bench::Service {
    public:
        explicit Service(const bench::Setup& setup) : setup_(setup) {
            event_.set_data(std::string(setup.size, '\1'));
            grpc::ServerBuilder builder;
            builder.AddListeningPort(address_of(setup), grpc::InsecureServerCredentials());
            builder.AddChannelArgument(GRPC_ARG_OPTIMIZATION_TARGET, "latency");
            builder.SetMaxReceiveMessageSize(-1);
            builder.RegisterService(this);
            server_ = builder.BuildAndStart();
            bench::expect(server_ != nullptr, "starting the gRPC server");
        }

        void serve() { server_->Wait(); }

    private:
        grpc::Status Call(grpc::ServerContext*, const Bytes* request, Bytes* answer) override {
            check(*request);
            answer->set_data(request->data());
            return grpc::Status::OK;
        }

        grpc::Status Take(grpc::ServerContext*, grpc::ServerReader<Bytes>* messages, Bytes*) override {
            for (Bytes message; messages->Read(&message);) {
                check(message);
                bench::count(setup_);
            }
            return grpc::Status::OK;
        }

        grpc::Status Watch(grpc::ServerContext*, Watched* stream) override {
            {
                const std::lock_guard lock(mutex_);
                watched_.push_back(stream);
            }
            stream->SendInitialMetadata();
            for (Bytes poke; stream->Read(&poke);) {
                const auto wanted = setup_.shared->wanted.load();
                if (setup_.mode == bench::Mode::push) {
                    for (auto left = wanted; left != 0; --left) stream->Write(event_);
                    continue;
                }
                const std::lock_guard lock(mutex_);
                const std::uint64_t started = bench::now_ns();
                for (auto left = wanted; left != 0; --left)
                    for (Watched* each : watched_) each->Write(event_);
                bench::published(setup_, bench::now_ns() - started);
            }
            const std::lock_guard lock(mutex_);
            std::erase(watched_, stream);
            return grpc::Status::OK;
        }

        void check(const Bytes& message) const {
            bench::expect(message.data().size() == setup_.size, "a message of another size came");
        }

        const bench::Setup& setup_;
        Bytes event_;
        std::mutex mutex_;
        std::vector<Watched*> watched_;
        std::unique_ptr<grpc::Server> server_;
    };

    class Client {
    public:
        explicit Client(const bench::Setup& setup) {
            out_.set_data(std::string(setup.size, '\1'));
            grpc::ChannelArguments arguments;
            arguments.SetMaxReceiveMessageSize(-1);
            arguments.SetString(GRPC_ARG_OPTIMIZATION_TARGET, "latency");
            arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // else all channels of a process share one socket
            const auto channel =
                grpc::CreateCustomChannel(address_of(setup), grpc::InsecureChannelCredentials(), arguments);
            bench::expect(channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20)),
                          "connecting a gRPC channel");
            stub_ = qbipc_bench::Bench::NewStub(channel);
            if (setup.mode == bench::Mode::consume) writer_ = stub_->Take(&stream_context_, &in_);
            if (setup.mode == bench::Mode::push || setup.mode == bench::Mode::publish) {
                events_ = stub_->Watch(&stream_context_);
                events_->WaitForInitialMetadata();
            }
        }
        Client(const Client&) = delete;
        Client& operator=(const Client&) = delete;
        ~Client() {
            stream_context_.TryCancel();
            if (writer_) writer_->Finish();
            if (events_) events_->Finish();
        }

        void call() {
            grpc::ClientContext context;
            const auto status = stub_->Call(&context, out_, &in_);
            bench::expect(status.ok() && in_.data().size() == out_.data().size(), "another answer, or none");
        }
        void send() { bench::expect(writer_->Write(out_), "writing to a gRPC stream"); }
        void poke() { bench::expect(events_->Write(out_), "writing to a gRPC stream"); }
        std::size_t take() {
            bench::expect(events_->Read(&in_) && in_.data().size() == out_.data().size(), "another event, or none");
            return 1;
        }

    private:
        Bytes out_, in_;
        std::unique_ptr<qbipc_bench::Bench::Stub> stub_;
        grpc::ClientContext stream_context_;
        std::unique_ptr<grpc::ClientWriter<Bytes>> writer_;
        std::unique_ptr<grpc::ClientReaderWriter<Bytes, Bytes>> events_;
    };
};

}  // namespace

int main(int argc, char** argv) { return bench::run<Peer>(argc, argv); }
