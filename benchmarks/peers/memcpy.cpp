// SPDX-License-Identifier: BSL-1.0
// memcpy.cpp: a machine limit: the bytes alone, within one process. A round trip is four copies, for there are two in
// each direction; an event to N clients is one copy into each one's memory.
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "../harness/main.hpp"

namespace {

/// Copies that the compiler must not leave out, nor merge.
void copy_bytes(std::byte* to, const std::byte* from, std::size_t size) {
    std::memcpy(to, from, size);
    asm volatile("" ::: "memory");
}

struct Peer {
    static constexpr std::size_t largest = std::size_t{1} << 20;
    static constexpr std::size_t sessions = 100;
    static constexpr bool connects = false;
    static constexpr bool takes_part(std::string_view which) { return which == "rtt" || which == "publish"; }

    struct Common {
        explicit Common(const bench::Setup&) {}
        std::atomic<std::uint64_t>& poked = bench::make_shared_memory<bench::Shared>()->wanted;
    };

    class Service {
    public:
        Service(const bench::Setup& setup, Common& common)
            : setup_(setup), poked_(common.poked), event_(setup.size, std::byte{1}), lanes_(setup.sessions) {
            for (auto& lane : lanes_) lane.resize(setup.size * most);
        }

        void serve() {
            for (std::uint64_t served = 0;; ++served) {
                while (poked_.load(std::memory_order_acquire) == served) bench::pause();
                const std::uint64_t wanted = setup_.shared->wanted.load(), started = bench::now_ns();
                for (std::uint64_t i = 0; i < wanted; ++i)
                    for (auto& lane : lanes_)
                        copy_bytes(lane.data() + i % most * event_.size(), event_.data(), event_.size());
                bench::published(setup_, bench::now_ns() - started);
            }
        }

    private:
        static constexpr std::size_t most = 64;

        const bench::Setup& setup_;
        std::atomic<std::uint64_t>& poked_;
        std::vector<std::byte> event_;
        std::vector<std::vector<std::byte>> lanes_;
    };

    class Client {
    public:
        Client(const bench::Setup& setup, Common& common)
            : setup_(setup), poked_(common.poked), memory_(copies * distance(setup.size) + setup.size) {}

        void call() {
            std::byte* from = memory_.data();
            for (std::size_t i = 0; i < copies; ++i, from += distance(setup_.size))
                copy_bytes(from + distance(setup_.size), from, setup_.size);
        }
        void poke() { poked_.fetch_add(1); }
        std::size_t take() const { return setup_.shared->wanted.load(); }

    private:
        static constexpr std::size_t copies = 4;

        /// Half a page off: where source and destination differ by little modulo a page, loads wait for stores that
        /// have nothing to do with them.
        static constexpr std::size_t distance(std::size_t size) { return (size + 4095) / 4096 * 4096 + 2048; }

        const bench::Setup& setup_;
        std::atomic<std::uint64_t>& poked_;
        std::vector<std::byte> memory_;
    };
};

}  // namespace

int main(int argc, char** argv) { return bench::run<Peer>(argc, argv); }
