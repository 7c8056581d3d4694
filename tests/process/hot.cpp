// SPDX-License-Identifier: BSL-1.0
// The hot path, for hot_path.cpp to watch: a client and a service in two threads, and a marker before and after.
// usage: helper-hot calls|sends|events MESSAGES
// Prints "allocations=N locks=N" of what happened between the markers, which are calls of getppid().
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <dlfcn.h>
#include <iostream>
#include <new>
#include <pthread.h>
#include <string>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include <qbipc/client.hpp>
#include <qbipc/service.hpp>
#include <qbipc/transport/shm_ring.hpp>

namespace {

std::atomic<bool> watching = false;
std::atomic<std::uint64_t> allocations = 0, locks = 0;

}  // namespace

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifndef SANITIZED  // which have allocators and locks of their own
[[gnu::noinline]] void* operator new(std::size_t size) {
    if (watching.load(std::memory_order_relaxed)) ++allocations;
    if (void* const memory = std::malloc(size != 0 ? size : 1)) return memory;
    throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

extern "C" int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
    static const auto real = reinterpret_cast<int (*)(pthread_mutex_t*)>(::dlsym(RTLD_NEXT, "pthread_mutex_lock"));
    if (watching.load(std::memory_order_relaxed)) ++locks;
    return real(mutex);
}
#endif

namespace {

using namespace std::chrono_literals;

struct Sum {
    std::uint64_t value;
};
struct Add {
    static constexpr qbipc::MessageId id = 1;
    using Reply = Sum;
    std::uint64_t a, b;
};
struct Note {
    static constexpr qbipc::MessageId id = 2;
    std::uint64_t number;
};
struct Tell {
    static constexpr qbipc::MessageId id = 3;
    std::uint64_t count;
};
struct Tick {
    static constexpr qbipc::EventId id = 1;
    std::uint64_t number;
};

constexpr auto patience = 60s;

[[noreturn]] void fail(const std::string& what) {
    std::cout << "failed: " << what << std::endl;
    std::_Exit(1);
}

void mark(bool on) {
    watching = on;
    ::syscall(SYS_getppid);
}

template <class Client>
void calls(Client& client, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto sum = client.call(Add{i, 1}, patience);
        if (!sum || sum->value != i + 1) fail("a call");
    }
}

template <class Client>
void sends(Client& client, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i)
        if (!client.send(Note{i}, patience)) fail("a send");
}

template <class Client>
void events(Client& client, std::uint64_t count) {
    std::uint64_t got = 0;
    auto ticks = qbipc::routes(qbipc::on<Tick>([&](const Tick&) { ++got; }));
    constexpr std::uint64_t at_once = 1000;
    for (std::uint64_t wanted = at_once; wanted <= count; wanted += at_once) {
        if (!client.send(Tell{at_once}, patience)) fail("a send");
        while (got < wanted)
            if (!client.receive(ticks, patience)) fail("an event");
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const std::string what = argv[1];
    const std::uint64_t count = std::stoull(argv[2]);
    using Transport = qbipc::BasicShmRing<qbipc::Spin>;  // the others sleep, which is a system call, when they have to

    const std::string name = "hot-" + std::to_string(::getpid());
    auto service = qbipc::or_exit(
        qbipc::listen<Transport>(name, qbipc::routes(qbipc::on<Add>([](const Add& add) { return Sum{add.a + add.b}; }),
                                                     qbipc::on<Note>([](const Note&) {}),
                                                     qbipc::on<Tell>([](auto& session, const Tell& tell) {
                                                         for (std::uint64_t i = 0; i < tell.count; ++i)
                                                             if (!session.send(Tick{i}))
                                                                 fail("an event that found no room");
                                                     }))),
        "listen");
    std::jthread thread([&](std::stop_token stop) { (void)service.run(stop); });
    auto client = qbipc::or_exit(qbipc::Client<Transport>::connect(name, patience), "connect");

    const auto run = [&](std::uint64_t n) {
        if (what == "calls") return calls(client, n);
        if (what == "sends") return sends(client, n);
        return events(client, n);
    };
    run(count);  // pages, tables and vectors come to be
    calls(client, 100);
    mark(true);
    run(count);
    mark(false);
    std::cout << "allocations=" << allocations << " locks=" << locks << std::endl;
}
