// SPDX-License-Identifier: BSL-1.0
// headtail.cpp: a limit of the usual design: a ring for each direction whose head and tail have lines of their own,
// bytes copied in and out, both sides spinning. No header but a size, no ids, no sleep.
#include <atomic>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../harness/main.hpp"

namespace {

constexpr std::uint64_t ring_size = std::uint64_t{4} << 20;

struct Ring {
    alignas(128) std::atomic<std::uint64_t> head{0};
    alignas(128) std::atomic<std::uint64_t> tail{0};
    alignas(128) std::byte data[ring_size];
};

/// One side's view of both rings. A message is never broken at the end of a ring: the rest is skipped, by both alike.
class End {
public:
    End(Ring& out, Ring& in, std::size_t size)
        : out_(out), in_(in), size_(size), span_((size + 8 + 63) & ~std::size_t{63}) {}

    void send(const std::byte* bytes) {
        const std::uint64_t at = place(head_);
        while (head_ + span_ > tail_seen_ + ring_size) tail_seen_ = out_.tail.load(std::memory_order_acquire);
        std::memcpy(out_.data + at, &size_, sizeof size_);
        std::memcpy(out_.data + at + sizeof size_, bytes, size_);
        head_ += span_;
        out_.head.store(head_, std::memory_order_release);
    }

    void receive(std::byte* bytes) {
        const std::uint64_t at = place(tail_);
        while (tail_ >= head_seen_) head_seen_ = in_.head.load(std::memory_order_acquire);
        std::uint64_t size = 0;
        std::memcpy(&size, in_.data + at, sizeof size);
        bench::expect(size == size_, "the size of a message");
        std::memcpy(bytes, in_.data + at + sizeof size, size);
        tail_ += span_;
        in_.tail.store(tail_, std::memory_order_release);
    }

private:
    /// Where the message goes or comes from; moves on to the ring's start where it wouldn't fit in what is left.
    std::uint64_t place(std::uint64_t& position) const {
        const std::uint64_t at = position & (ring_size - 1);
        if (at + span_ <= ring_size) return at;
        position += ring_size - at;
        return 0;
    }

    Ring& out_;
    Ring& in_;
    const std::uint64_t size_, span_;
    std::uint64_t head_ = 0, tail_ = 0, head_seen_ = 0, tail_seen_ = 0;
};

struct Peer {
    static constexpr std::size_t largest = std::size_t{1} << 20;
    static constexpr bool sleeps = false;

    struct Common {
        explicit Common(const bench::Setup&) {}
        Ring& there = *bench::make_shared_memory<Ring>();
        Ring& back = *bench::make_shared_memory<Ring>();
    };

    class Service {
    public:
        Service(const bench::Setup& setup, Common& common)
            : setup_(setup), buffer_(setup.size), end_(common.back, common.there, setup.size) {}
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
            : out_(setup.size, std::byte{1}), in_(setup.size), end_(common.there, common.back, setup.size) {}
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
