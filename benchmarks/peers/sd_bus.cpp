// SPDX-License-Identifier: BSL-1.0
// sd_bus.cpp: systemd's sd-bus from peer to peer, without a bus daemon: method calls one way, signals the other, each
// with an array of bytes. The service runs on sd-event.
#include <algorithm>
#include <cstring>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <vector>

#include "../harness/clock.hpp"
#include "../harness/main.hpp"

namespace {

constexpr const char* path = "/qbipc/bench";
constexpr const char* interface = "qbipc.Bench";

int checked(int result, const char* what) {
    if (result < 0) errno = -result;
    bench::expect(result >= 0, what);
    return result;
}

/// A message that ends with its scope.
class Message {
public:
    Message() = default;
    Message(const Message&) = delete;
    Message& operator=(const Message&) = delete;
    ~Message() { ::sd_bus_message_unref(handle); }

    void append(const std::vector<std::byte>& bytes) {
        checked(::sd_bus_message_append_array(handle, 'y', bytes.data(), bytes.size()), "sd_bus_message_append_array");
    }
    static void check(sd_bus_message* message, std::size_t expected) {
        const void* data = nullptr;
        std::size_t size = 0;
        checked(::sd_bus_message_read_array(message, 'y', &data, &size), "sd_bus_message_read_array");
        bench::expect(size == expected, "a message of another size came");
    }

    sd_bus_message* handle = nullptr;
};

/// sd-bus queues what the socket doesn't take; this bounds the queue.
void send_bounded(sd_bus* bus, const Message& message) {
    checked(::sd_bus_send(bus, message.handle, nullptr), "sd_bus_send");
    std::uint64_t queued = 0;
    checked(::sd_bus_get_n_queued_write(bus, &queued), "sd_bus_get_n_queued_write");
    if (queued > 16) checked(::sd_bus_flush(bus), "sd_bus_flush");
}

struct Peer {
    static constexpr std::size_t largest = std::size_t{1} << 20;
    static constexpr std::size_t sessions = 1000;

    class Service {
    public:
        explicit Service(const bench::Setup& setup) : setup_(setup), buffer_(setup.size) {
            checked(::sd_event_default(&event_), "sd_event_default");
            const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            sockaddr_un address{};
            address.sun_family = AF_UNIX;
            std::memcpy(address.sun_path + 1, setup.address.data(), setup.address.size());
            const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + setup.address.size());
            bench::expect(::bind(listener, reinterpret_cast<const sockaddr*>(&address), length) == 0, "bind");
            bench::expect(::listen(listener, 128) == 0, "listen");
            const auto on_connection = [](sd_event_source*, int fd, std::uint32_t, void* self) {
                return static_cast<Service*>(self)->accept(fd);
            };
            checked(::sd_event_add_io(event_, nullptr, listener, EPOLLIN, on_connection, this), "sd_event_add_io");
        }

        void serve() { checked(::sd_event_loop(event_), "sd_event_loop"); }

    private:
        int accept(int listener) {
            const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
            bench::expect(fd >= 0, "accept");
            sd_bus* bus = nullptr;
            sd_id128_t id;
            checked(::sd_bus_new(&bus), "sd_bus_new");
            checked(::sd_bus_set_fd(bus, fd, fd), "sd_bus_set_fd");
            checked(::sd_id128_randomize(&id), "sd_id128_randomize");
            checked(::sd_bus_set_server(bus, 1, id), "sd_bus_set_server");
            const auto on_call = [](sd_bus_message* message, void* self, sd_bus_error*) {
                return static_cast<Service*>(self)->process(message);
            };
            checked(::sd_bus_add_object(bus, nullptr, path, on_call, this), "sd_bus_add_object");
            const auto on_end = [](sd_bus_message* message, void* self, sd_bus_error*) {
                sd_bus* const ended = ::sd_bus_message_get_bus(message);
                std::erase(static_cast<Service*>(self)->buses_, ended);
                ::sd_bus_unref(ended);
                return 0;
            };
            checked(::sd_bus_match_signal(bus, nullptr, nullptr, "/org/freedesktop/DBus/Local",
                                          "org.freedesktop.DBus.Local", "Disconnected", on_end, this),
                    "sd_bus_match_signal");
            checked(::sd_bus_start(bus), "sd_bus_start");
            checked(::sd_bus_attach_event(bus, event_, SD_EVENT_PRIORITY_NORMAL), "sd_bus_attach_event");
            buses_.push_back(bus);
            return 0;
        }

        int process(sd_bus_message* request) {
            const void* data = nullptr;
            std::size_t size = 0;
            checked(::sd_bus_message_read_array(request, 'y', &data, &size), "sd_bus_message_read_array");
            bench::expect(size == setup_.size, "a request of another size came");
            sd_bus* const bus = ::sd_bus_message_get_bus(request);
            switch (setup_.mode) {
                case bench::Mode::echo: {
                    Message answer;
                    checked(::sd_bus_message_new_method_return(request, &answer.handle), "a new answer");
                    checked(::sd_bus_message_append_array(answer.handle, 'y', data, size), "filling the answer");
                    checked(::sd_bus_send(bus, answer.handle, nullptr), "sd_bus_send");
                    break;
                }
                case bench::Mode::consume:
                    bench::count(setup_);
                    break;
                case bench::Mode::push:
                    for (auto left = setup_.shared->wanted.load(); left != 0; --left) signal(bus);
                    break;
                case bench::Mode::publish:
                    const std::uint64_t started = bench::now_ns();
                    for (auto left = setup_.shared->wanted.load(); left != 0; --left)
                        for (sd_bus* each : buses_) signal(each);
                    bench::published(setup_, bench::now_ns() - started);
                    break;
            }
            return 1;
        }

        void signal(sd_bus* bus) {
            Message message;
            checked(::sd_bus_message_new_signal(bus, &message.handle, path, interface, "Event"), "a new signal");
            message.append(buffer_);
            send_bounded(bus, message);
        }

        const bench::Setup& setup_;
        std::vector<std::byte> buffer_;
        sd_event* event_ = nullptr;
        std::vector<sd_bus*> buses_;
    };

    class Client {
    public:
        explicit Client(const bench::Setup& setup) : out_(setup.size, std::byte{1}) {
            checked(::sd_bus_new(&bus_), "sd_bus_new");
            checked(::sd_bus_set_address(bus_, ("unix:abstract=" + setup.address).c_str()), "sd_bus_set_address");
            const auto on_event = [](sd_bus_message* message, void* self, sd_bus_error*) {
                return static_cast<Client*>(self)->process(message);
            };
            checked(::sd_bus_match_signal(bus_, nullptr, nullptr, path, interface, "Event", on_event, this),
                    "sd_bus_match_signal");
            checked(::sd_bus_start(bus_), "sd_bus_start");
            while (checked(::sd_bus_is_ready(bus_), "sd_bus_is_ready") == 0) turn();
        }
        Client(const Client&) = delete;
        Client& operator=(const Client&) = delete;
        ~Client() { ::sd_bus_flush_close_unref(bus_); }

        void call() {
            Message request, answer;
            make_call(request);
            checked(::sd_bus_call(bus_, request.handle, 0, nullptr, &answer.handle), "sd_bus_call");
            Message::check(answer.handle, out_.size());
        }
        void send() {
            Message request;
            make_call(request);
            checked(::sd_bus_message_set_expect_reply(request.handle, 0), "sd_bus_message_set_expect_reply");
            send_bounded(bus_, request);
        }
        void flush() { checked(::sd_bus_flush(bus_), "sd_bus_flush"); }
        void poke() {
            send();
            flush();
        }
        std::size_t take() {
            while (taken_ == 0) turn();
            return std::exchange(taken_, 0);
        }

    private:
        void make_call(Message& request) {
            checked(::sd_bus_message_new_method_call(bus_, &request.handle, nullptr, path, interface, "Call"),
                    "a new call");
            request.append(out_);
        }
        void turn() {
            if (checked(::sd_bus_process(bus_, nullptr), "sd_bus_process") == 0)
                checked(::sd_bus_wait(bus_, UINT64_MAX), "sd_bus_wait");
        }
        int process(sd_bus_message* event) {
            Message::check(event, out_.size());
            ++taken_;
            return 1;
        }

        std::vector<std::byte> out_;
        sd_bus* bus_ = nullptr;
        std::size_t taken_ = 0;
    };
};

}  // namespace

int main(int argc, char** argv) { return bench::run<Peer>(argc, argv); }
