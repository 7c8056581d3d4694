// SPDX-License-Identifier: BSL-1.0
// boost_mq.cpp: Boost.Interprocess's message_queue, one for each direction.
//
// A queue belongs to nobody: there are no connections, and nobody learns that the other side has died.
#include <memory>
#include <string>
#include <vector>

#include <boost/interprocess/ipc/message_queue.hpp>

#include "../harness/janitor.hpp"
#include "../harness/main.hpp"

namespace {

using boost::interprocess::message_queue;

struct Peer {
    static constexpr std::size_t largest = std::size_t{1} << 20;
    static constexpr bool connects = false;

    /// Both queues are made here; their files go when all is over.
    struct Common {
        explicit Common(const bench::Setup& setup)
            : there(setup.address + "-there"),
              back(setup.address + "-back"),
              slots(setup.max_message > 65536 ? 16 : 256),
              janitor([this] {
                  message_queue::remove(there.c_str());
                  message_queue::remove(back.c_str());
              }),
              requests(boost::interprocess::create_only, there.c_str(), slots, setup.max_message),
              answers(boost::interprocess::create_only, back.c_str(), slots, setup.max_message) {}

        std::string there, back;
        std::size_t slots;
        bench::Janitor janitor;
        message_queue requests, answers;
    };

    static void receive(message_queue& queue, std::vector<std::byte>& buffer, std::size_t expected) {
        message_queue::size_type got = 0;
        unsigned priority = 0;
        queue.receive(buffer.data(), buffer.size(), got, priority);
        bench::expect(got == expected, "a message of another size came");
    }

    class Service {
    public:
        Service(const bench::Setup& setup, Common& common)
            : setup_(setup), common_(common), buffer_(setup.max_message) {}

        void serve() {
            for (;;) {
                receive(common_.requests, buffer_, setup_.size);
                if (setup_.mode == bench::Mode::consume) {
                    bench::count(setup_);
                    continue;
                }
                const auto answers = setup_.mode == bench::Mode::push ? setup_.shared->wanted.load() : 1;
                for (std::uint64_t i = 0; i < answers; ++i) common_.answers.send(buffer_.data(), setup_.size, 0);
            }
        }

    private:
        const bench::Setup& setup_;
        Common& common_;
        std::vector<std::byte> buffer_;
    };

    class Client {
    public:
        Client(const bench::Setup& setup, Common& common)
            : common_(common), out_(setup.size, std::byte{1}), in_(setup.max_message) {}

        void call() {
            send();
            receive(common_.answers, in_, out_.size());
        }
        void send() { common_.requests.send(out_.data(), out_.size(), 0); }
        void poke() { send(); }
        std::size_t take() {
            receive(common_.answers, in_, out_.size());
            return 1;
        }

    private:
        Common& common_;
        std::vector<std::byte> out_, in_;
    };
};

}  // namespace

int main(int argc, char** argv) { return bench::run<Peer>(argc, argv); }
