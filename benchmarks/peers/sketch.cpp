// SPDX-License-Identifier: BSL-1.0
// sketch.cpp: a limit of this library's own design: its lane and nothing else. A frame's first word is its publication,
// so that a small message is one cache line; both sides spin. No ids, no correlation, no sleep, no checks.
#include <atomic>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../harness/main.hpp"

namespace {

constexpr std::uint64_t lane_size = std::uint64_t{4} << 20;
constexpr std::uint64_t header = 16;
constexpr std::uint64_t wrap_marker = 2;

/// What one side writes, and nobody else.
struct Area {
    alignas(128) std::atomic<std::uint64_t> credit{0};
    alignas(128) std::byte lane[lane_size];
};

std::atomic_ref<std::uint64_t> word(std::byte* at) { return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(at)); }

class End {
public:
    End(Area& mine, Area& peers, std::size_t size)
        : mine_(mine), peers_(peers), size_(size), span_((size + header + 63) & ~std::uint64_t{63}) {}

    void send(const std::byte* bytes) {
        std::uint64_t at = head_ & (lane_size - 1);
        const std::uint64_t skipped = at + span_ > lane_size ? lane_size - at : 0;
        while (head_ + skipped + span_ + 64 > credit_seen_ + lane_size)
            credit_seen_ = peers_.credit.load(std::memory_order_acquire);
        if (skipped != 0) {
            word(mine_.lane).store(0, std::memory_order_relaxed);
            word(mine_.lane + at).store(wrap_marker, std::memory_order_release);
            head_ += skipped, at = 0;
        }
        std::memcpy(mine_.lane + at + header, bytes, size_);
        head_ += span_;
        word(mine_.lane + (head_ & (lane_size - 1))).store(0, std::memory_order_relaxed);  // what follows isn't there
        word(mine_.lane + at).store(size_ << 2 | 1, std::memory_order_release);            // this is
        std::atomic_thread_fence(std::memory_order_seq_cst);  // where a sleeper would be looked for
    }

    void receive(std::byte* bytes) {
        for (;;) {
            const std::uint64_t at = tail_ & (lane_size - 1);
            const std::uint64_t first = word(peers_.lane + at).load(std::memory_order_acquire);
            if (first == 0) continue;
            if (first == wrap_marker) {
                tail_ += lane_size - at;
                continue;
            }
            bench::expect(first >> 2 == size_, "the size of a message");
            std::memcpy(bytes, peers_.lane + at + header, size_);
            tail_ += span_;
            if (tail_ - shown_ > lane_size / 8) mine_.credit.store(shown_ = tail_, std::memory_order_release);
            return;
        }
    }

private:
    Area& mine_;
    Area& peers_;
    const std::uint64_t size_, span_;
    std::uint64_t head_ = 0, tail_ = 0, credit_seen_ = 0, shown_ = 0;
};

struct Peer {
    static constexpr std::size_t largest = std::size_t{1} << 20;
    static constexpr bool sleeps = false;

    struct Common {
        explicit Common(const bench::Setup&) {}
        Area& clients = *bench::make_shared_memory<Area>();
        Area& services = *bench::make_shared_memory<Area>();
    };

    class Service {
    public:
        Service(const bench::Setup& setup, Common& common)
            : setup_(setup), buffer_(setup.size), end_(common.services, common.clients, setup.size) {}
        void serve() {
            for (;;) {
                end_.receive(buffer_.data());
                if (setup_.mode == bench::Mode::consume)
                    bench::count(setup_);
                else
                    end_.send(buffer_.data());
            }
        }

    private:
        const bench::Setup& setup_;
        std::vector<std::byte> buffer_;
        End end_;
    };

    class Client {
    public:
        Client(const bench::Setup& setup, Common& common)
            : out_(setup.size, std::byte{1}), in_(setup.size), end_(common.clients, common.services, setup.size) {}
        void call() {
            end_.send(out_.data());
            end_.receive(in_.data());
        }
        void send() { end_.send(out_.data()); }

    private:
        std::vector<std::byte> out_, in_;
        End end_;
    };
};

}  // namespace

int main(int argc, char** argv) { return bench::run<Peer>(argc, argv); }
