// SPDX-License-Identifier: BSL-1.0
// pair.hpp: a peer's service in a child of its own, and clients of it here.
#pragma once

#include <memory>
#include <string>
#include <type_traits>

#include "cpu.hpp"
#include "peer.hpp"
#include "process.hpp"

namespace bench {

struct Nothing {
    explicit Nothing(const Setup&) {}
};

template <class P>
struct CommonOf {
    using type = Nothing;
};
template <traits::HasCommon P>
struct CommonOf<P> {
    using type = typename P::Common;
};

template <PeerType P>
class Pair {
public:
    using Client = typename P::Client;

    /// The service is ready when this returns, on its own cpu; this process is on the client's.
    Pair(const Setup& setup, int client_cpu, int service_cpu)
        : setup_(setup),
          common_(setup_),
          child_(
              [&](auto&& ready) {
                  pin(service_cpu);
                  auto service = make<typename P::Service>();
                  ready();
                  service->serve();
                  service.reset();
              },
              traits::stops_itself<P>()) {
        pin(client_cpu);
    }

    std::unique_ptr<Client> connect() { return make<Client>(); }
    pid_t service() const { return child_.pid(); }
    const Setup& setup() const { return setup_; }

private:
    template <class Side>
    std::unique_ptr<Side> make() {
        if constexpr (traits::HasCommon<P>)
            return std::make_unique<Side>(setup_, common_);
        else
            return std::make_unique<Side>(setup_);
    }

    Setup setup_;
    typename CommonOf<P>::type common_;
    Child child_;
};

}  // namespace bench
