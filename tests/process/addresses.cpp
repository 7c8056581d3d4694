// SPDX-License-Identifier: BSL-1.0
// Takes part in tests of addresses; ends when its input does.
//   addresses claim FILE             on each "claim" tries to become the owner of the socket file, on "drop" lets it go
//   addresses serve NAME FLAG DIR    lets visitors in by one byte, and says how many came
//   addresses visit NAME FLAG DIR    connects again and again, with a second for each, and says how often it failed
#include <csignal>
#include <iostream>
#include <optional>
#include <poll.h>
#include <string>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <qbipc/detail/connecting.hpp>
#include <qbipc/detail/listening.hpp>

#include "support/scratch_kernel.hpp"

using namespace qbipc;
using namespace qbipc::detail;
using namespace qbipc::testing;

namespace {

/// Whether stdin has ended. The other side writes nothing to those who ask this.
bool input_ended() {
    pollfd input{0, POLLIN, 0};
    return ::poll(&input, 1, 0) != 0;
}

int claim(const std::string& path) {
    std::optional<SocketFile<>> file;
    for (std::string line; std::getline(std::cin, line);) {
        if (line == "drop") {
            file.reset();
            std::cout << "dropped" << std::endl;
            continue;
        }
        auto claimed = SocketFile<>::claim(path, DirectoryOwner::user, {}, Deadline(std::chrono::seconds(60)));
        if (claimed) file.emplace(*std::move(claimed));
        std::cout << (claimed                                   ? "owner"
                      : claimed.error() == errc::address_in_use ? "in use"
                                                                : claimed.error().message())
                  << std::endl;
    }
    return 0;
}

int serve(const std::string& name, ServiceOptions options) {
    auto listening = Listening<ScratchKernel>::open(name, options);
    if (!listening) {
        std::cout << listening.error().message() << std::endl;
        return 1;
    }
    std::cout << "ready" << std::endl;
    int welcome = 0, moved = 0, errors = 0;
    for (;;) {
        pollfd descriptors[]{{listening->fd(), POLLIN, 0}, {0, POLLIN, 0}};
        ::poll(descriptors, 2, -1);
        if (descriptors[1].revents != 0) break;
        for (;;) {
            auto visitor = listening->accept();
            if (!visitor) {
                ++errors;
                continue;
            }
            if (!*visitor) break;
            const char word = (*visitor)->moved ? 'm' : 'w';
            ++((*visitor)->moved ? moved : welcome);
            ::send((*visitor)->socket.get(), &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        }
    }
    std::cout << welcome << ' ' << moved << ' ' << errors << std::endl;
    return 0;
}

int visit(const std::string& name, const Options& options) {
    int by_file = 0, by_abstract = 0, failed = 0;
    std::string first_failure = "-";
    const auto anybody = [](const Credentials&) { return std::error_code(); };
    do {
        const Deadline deadline(std::chrono::seconds(30));
        const auto shake_hands = [&](Descriptor& socket, const Credentials&) -> Result<bool> {
            pollfd descriptor{socket.get(), POLLIN, 0};
            if (poll_until(&descriptor, 1, deadline) <= 0) return fail(errc::timed_out);
            char word = 0;
            if (::recv(socket.get(), &word, 1, 0) != 1) return fail(errc::disconnected);
            if (word == 'm') return fail(moved_error());
            sockaddr_un peer{};
            socklen_t size = sizeof peer;
            ::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&peer), &size);
            return peer.sun_path[0] != '\0';
        };
        const auto file = connect_socket<ScratchKernel>(name, options, deadline, CredentialCheck(anybody), shake_hands);
        if (file) {
            ++(*file ? by_file : by_abstract);
        } else if (failed++ == 0) {
            first_failure = file.error().message();
        }
    } while (!input_ended());
    std::cout << by_file << ' ' << by_abstract << ' ' << failed << ' ' << first_failure << std::endl;
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const std::string verb = argc > 1 ? argv[1] : "";
    if (verb == "claim" && argc == 3) return claim(argv[2]);
    if (argc != 5) return 2;
    ServiceOptions options;
    options.flag_file = argv[3];
    ScratchKernel::use(argv[4]);
    if (verb == "serve") return serve(argv[2], options);
    if (verb == "visit") return visit(argv[2], options);
    return 2;
}
