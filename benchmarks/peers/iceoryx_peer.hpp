// SPDX-License-Identifier: BSL-1.0
// iceoryx_peer.hpp: iceoryx, untyped: client and server for calls, publisher and subscriber for one way and events.
// Messages lie in shared memory: as with anything in place, each byte is written once, where it will be read, and an
// answer is filled from its request where that lies.
//
// All needs iceoryx's daemon, RouDi, of which a machine can have one. It runs in a process of its own here, with just
// the memory that the case needs; what is measured goes past it.
#pragma once

#pragma GCC diagnostic ignored "-Wnull-dereference"  // iceoryx's expected<> draws false ones wherever it is inlined

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <iceoryx_hoofs/log/logmanager.hpp>
#include <iceoryx_posh/iceoryx_posh_config.hpp>
#include <iceoryx_posh/internal/roudi/roudi.hpp>
#include <iceoryx_posh/popo/untyped_client.hpp>
#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/popo/untyped_server.hpp>
#include <iceoryx_posh/popo/untyped_subscriber.hpp>
#include <iceoryx_posh/popo/wait_set.hpp>
#include <iceoryx_posh/roudi/iceoryx_roudi_components.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>
#include <memory>
#include <sched.h>
#include <signal.h>
#include <string>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <system_error>
#include <vector>

#include "../harness/clock.hpp"
#include "../harness/janitor.hpp"
#include "../harness/main.hpp"

/// How a side waits for a message: by asking for one over and over, iceoryx's way to the lowest latency, or asleep in a
/// WaitSet.
enum class IceoryxWaits { spinning, in_wait_set };

class IceoryxDaemon {
public:
    explicit IceoryxDaemon(const bench::Setup& setup)
        : janitor_([user = user()] { remove_files(user); }), roudi_([&](auto&& ready) { run(setup, ready); }, true) {}

private:
    /// Only one measurement at a time, and none beside another RouDi: whose files they are is known by that alone.
    /// A bound socket without a file is a lock that goes with the last process that has it.
    static std::string user() {
        sockaddr_un lock{.sun_family = AF_UNIX, .sun_path = "\0qbipc-bench-iceoryx"};
        const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        for (const auto end = bench::now_ns() + bench::ns_of(20);
             ::bind(fd, reinterpret_cast<const sockaddr*>(&lock), sizeof lock) != 0;) {
            if (bench::now_ns() > end) bench::unavailable("another measurement of iceoryx runs on this machine");
            ::usleep(10'000);
        }
        const int roudis = ::open("/tmp/roudi.lock", O_RDWR | O_CLOEXEC);
        if (roudis >= 0) {
            if (::flock(roudis, LOCK_EX | LOCK_NB) != 0) bench::unavailable("another RouDi runs on this machine");
            ::close(roudis);
        }
        return iox::posix::PosixGroup::getGroupOfCurrentProcess().getName().c_str();
    }

    static void remove_files(const std::string& segment) {
        std::error_code ignored;
        for (const std::string path : {"/dev/shm/iceoryx_mgmt", "/tmp/roudi", "/tmp/roudi.lock"})
            std::filesystem::remove(path, ignored);
        std::filesystem::remove("/dev/shm/" + segment, ignored);
        const std::string runtimes = "qbipc-bench-iceoryx-";
        std::vector<std::filesystem::path> found;
        for (const auto& entry : std::filesystem::directory_iterator("/tmp", ignored))
            if (entry.path().filename().string().starts_with(runtimes)) found.push_back(entry.path());
        for (const auto& path : found) std::filesystem::remove(path, ignored);
    }

    template <class Ready>
    static void run(const bench::Setup& setup, Ready&& ready) {
        ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // rather than SIGKILL: it has something to tidy up
        const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
        ::dup2(nowhere, STDOUT_FILENO);  // it says hello there
        sigset_t ends;
        ::sigemptyset(&ends);
        ::sigaddset(&ends, SIGTERM);
        ::sigprocmask(SIG_BLOCK, &ends, nullptr);
        iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kError,
                                                                 iox::log::LogLevelOutput::kHideLogLevel);
        iox::mepoo::MePooConfig pool;
        const auto chunk = static_cast<std::uint32_t>((setup.size + 256 + 63) & ~std::size_t{63});
        const auto count = static_cast<std::uint32_t>(16 + 4 * (queue_capacity(setup) + setup.sessions));
        pool.addMemPool({chunk, count});
        iox::RouDiConfig_t config;
        const auto group = iox::posix::PosixGroup::getGroupOfCurrentProcess().getName();
        config.m_sharedMemorySegments.push_back({group, group, pool});
        iox::roudi::IceOryxRouDiComponents components(config);
        const iox::roudi::RouDi roudi(components.rouDiMemoryManager, components.portManager,
                                      {iox::roudi::MonitoringMode::OFF, false});
        ready();
        int signal = 0;
        ::sigwait(&ends, &signal);
    }

public:
    /// In messages.
    static std::size_t queue_capacity(const bench::Setup& setup) {
        return std::clamp<std::size_t>((std::size_t{4} << 20) / setup.size, 4, 256);
    }

private:
    bench::Janitor janitor_;
    bench::Child roudi_;
};

/// What iceoryx does as a process ends needs a RouDi that still runs, and complains without: leave it out.
template <class Peer>
[[noreturn]] void run_iceoryx(int argc, char** argv) {
    const int status = bench::run<Peer>(argc, argv);
    std::fflush(nullptr);
    std::_Exit(status);
}

template <IceoryxWaits How>
struct IceoryxPeer {
    static constexpr std::size_t largest = std::size_t{1} << 20;
    static constexpr std::size_t sessions = 200;  // iceoryx's default build has a limit of 256
    static constexpr bool sleeps = How == IceoryxWaits::in_wait_set;
    static constexpr bool connects = false;  // RouDi frees what ended 10 times a second: connecting over and over
                                             // runs out of ports
    using Common = IceoryxDaemon;

    /// Once a process.
    static void register_process() {
        static const bool once = [] {
            iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kError,
                                                                     iox::log::LogLevelOutput::kHideLogLevel);
            const std::string name = "qbipc-bench-iceoryx-" + std::to_string(::getpid());
            iox::runtime::PoshRuntime::initRuntime(iox::RuntimeName_t(iox::cxx::TruncateToCapacity, name.c_str()));
            return true;
        }();
        (void)once;
    }
    static iox::capro::ServiceDescription describe(const bench::Setup& setup, const char* what) {
        const iox::capro::IdString_t instance(iox::cxx::TruncateToCapacity, setup.address.c_str());
        return {"qbipc-bench", instance, iox::capro::IdString_t(iox::cxx::TruncateToCapacity, what)};
    }

    /// A port, and the wait for what comes to it.
    template <class Port>
    class Receiver {
    public:
        template <class State, class... Arguments>
        explicit Receiver(State state, Arguments&&... arguments) : port(std::forward<Arguments>(arguments)...) {
            if constexpr (sleeps) bench::expect(!set_.attachState(port, state).has_error(), "attaching to a WaitSet");
        }

        const void* take(std::size_t expected) {
            for (;;) {
                auto taken = port.take();
                if (!taken.has_error()) {
                    const void* const payload = taken.value();
                    bench::expect(iox::mepoo::ChunkHeader::fromUserPayload(payload)->userPayloadSize() == expected,
                                  "a message of another size came");
                    return payload;
                }
                if constexpr (sleeps)
                    (void)set_.wait();
                else
                    bench::pause();
            }
        }

        Port port;

    private:
        struct Nothing {};
        std::conditional_t<sleeps, iox::popo::WaitSet<4>, Nothing> set_;
    };
    using Subscriber = Receiver<iox::popo::UntypedSubscriber>;

    static iox::popo::PublisherOptions publishing() {
        iox::popo::PublisherOptions options;
        options.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
        return options;
    }
    static iox::popo::SubscriberOptions subscribing(const bench::Setup& setup) {
        iox::popo::SubscriberOptions options;
        options.queueCapacity = IceoryxDaemon::queue_capacity(setup);
        options.queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
        return options;
    }
    static void publish(iox::popo::UntypedPublisher& publisher, const std::vector<std::byte>& bytes) {
        auto loan = publisher.loan(static_cast<std::uint32_t>(bytes.size()));
        bench::expect(!loan.has_error(), "iceoryx: loaning memory for a message");
        std::memcpy(loan.value(), bytes.data(), bytes.size());
        publisher.publish(loan.value());
    }

    class Service {
    public:
        Service(const bench::Setup& setup, Common&) : setup_(setup), event_(setup.size, std::byte{1}) {
            register_process();
            if (setup.mode == bench::Mode::echo) {
                server_ = std::make_unique<Server>(iox::popo::ServerState::HAS_REQUEST, describe(setup, "calls"));
                return;
            }
            events_ = std::make_unique<iox::popo::UntypedPublisher>(describe(setup, "events"), publishing());
            messages_ = std::make_unique<Subscriber>(iox::popo::SubscriberState::HAS_DATA, describe(setup, "messages"),
                                                     subscribing(setup));
        }

        void serve() {
            if (server_) answer();
            for (;;) {
                messages_->port.release(messages_->take(setup_.size));
                if (setup_.mode == bench::Mode::consume) {
                    bench::count(setup_);
                    continue;
                }
                const std::uint64_t started = bench::now_ns();
                for (auto left = setup_.shared->wanted.load(); left != 0; --left) publish(*events_, event_);
                if (setup_.mode == bench::Mode::publish) bench::published(setup_, bench::now_ns() - started);
            }
        }

    private:
        using Server = Receiver<iox::popo::UntypedServer>;

        [[noreturn]] void answer() {
            for (;;) {
                const void* const request = server_->take(setup_.size);
                auto loan = server_->port.loan(iox::popo::RequestHeader::fromPayload(request),
                                               static_cast<std::uint32_t>(setup_.size), 8);
                bench::expect(!loan.has_error(), "iceoryx: loaning memory for an answer");
                std::memcpy(loan.value(), request, setup_.size);
                bench::expect(!server_->port.send(loan.value()).has_error(), "iceoryx: sending an answer");
                server_->port.releaseRequest(request);
            }
        }

        const bench::Setup& setup_;
        std::vector<std::byte> event_;
        std::unique_ptr<Server> server_;
        std::unique_ptr<iox::popo::UntypedPublisher> events_;
        std::unique_ptr<Subscriber> messages_;
    };

    class Client {
    public:
        Client(const bench::Setup& setup, Common&) : out_(setup.size, std::byte{1}) {
            register_process();
            if (setup.mode == bench::Mode::echo) {
                caller_ = std::make_unique<Caller>(iox::popo::ClientState::HAS_RESPONSE, describe(setup, "calls"));
                until([&] { return caller_->port.getConnectionState() == iox::ConnectionState::CONNECTED; });
                return;
            }
            events_ = std::make_unique<Subscriber>(iox::popo::SubscriberState::HAS_DATA, describe(setup, "events"),
                                                   subscribing(setup));
            messages_ = std::make_unique<iox::popo::UntypedPublisher>(describe(setup, "messages"), publishing());
            until([&] { return events_->port.getSubscriptionState() == iox::SubscribeState::SUBSCRIBED; });
            until([&] { return messages_->hasSubscribers(); });
        }

        void call() {
            auto loan = caller_->port.loan(static_cast<std::uint32_t>(out_.size()), 8);
            bench::expect(!loan.has_error(), "iceoryx: loaning memory for a request");
            std::memcpy(loan.value(), out_.data(), out_.size());
            bench::expect(!caller_->port.send(loan.value()).has_error(), "iceoryx: sending a request");
            caller_->port.releaseResponse(caller_->take(out_.size()));
        }
        void send() { publish(*messages_, out_); }
        void poke() { send(); }
        std::size_t take() {
            events_->port.release(events_->take(out_.size()));
            return 1;
        }

    private:
        using Caller = Receiver<iox::popo::UntypedClient>;

        template <class Condition>
        static void until(Condition&& condition) {
            while (!condition()) ::sched_yield();
        }

        std::vector<std::byte> out_;
        std::unique_ptr<Caller> caller_;
        std::unique_ptr<Subscriber> events_;
        std::unique_ptr<iox::popo::UntypedPublisher> messages_;
    };
};
