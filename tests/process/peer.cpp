// SPDX-License-Identifier: BSL-1.0
// The other process of the tests here. Ends when its input does.
//   peer serve|client|ledger|connecting shm|unix ADDRESS [key=value...]
//   peer mute COUNT NAME user=N      connects so often, says hello, and never a word more
//   peer descriptors                 says which descriptors it has
#include <array>
#include <iostream>
#include <string>
#include <vector>

#include "process/peer_client.hpp"
#include "process/peer_service.hpp"
#include "process/raw.hpp"

using namespace qbipc;
using namespace qbipc::testing;

namespace {

template <TransportPolicy T>
int run(const std::string& verb, const std::string& address, const Arguments& arguments) {
    const std::string policy = arguments.text("auth");
    // One type for all the policies that aren't the default, for each costs a compilation of everything.
    const auto chosen = [policy](const Credentials& who) -> std::error_code {
        if (policy == "anyone") return check(anyone, who);
        if (policy == "uids") return check(uids<2001, 2002>, who);
        if (policy == "gids") return check(gids<3001>, who);
        if (policy == "not2001") return check(!uids<2001>, who);
        return make_error_code(errc::not_permitted);
    };
    if (verb == "serve")
        return policy.empty() ? serve<T>(address, arguments, same_user_or_root) : serve<T>(address, arguments, chosen);
    return policy.empty() ? visit<T>(verb, address, arguments, same_user_or_root)
                          : visit<T>(verb, address, arguments, chosen);
}

int stay_mute(int count, const std::string& name) {
    std::vector<RawPeer> visitors;
    for (int i = 0; i < count; ++i) {
        visitors.push_back(RawPeer::connect(name));
        visitors.back().say_hello(detail::TransportId::shm_ring);
    }
    std::cout << "mute" << std::endl;
    std::string line;
    Lines().next(line);
    return 0;
}

int list_descriptors() {
    std::string found;
    for (int fd = 0; fd < 1024; ++fd)
        if (::fcntl(fd, F_GETFD) >= 0) found += ' ' + std::to_string(fd);
    std::cout << "descriptors" << found << std::endl;
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string verb = argc > 1 ? argv[1] : "";
    const Arguments arguments(argc, argv);
    if (!become(arguments)) {
        std::cout << "failed: to become another user" << std::endl;
        return 1;
    }
    if (verb == "descriptors") return list_descriptors();
    if (argc < 4) return 2;
    const std::string transport = argv[2], address = argv[3];
    if (verb == "mute") return stay_mute(std::stoi(transport), address);
    if (transport == "shm") return run<ShmRing>(verb, address, arguments);
    if (transport == "unix") return run<UnixSocket>(verb, address, arguments);
    return 2;
}
