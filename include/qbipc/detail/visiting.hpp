// SPDX-License-Identifier: BSL-1.0
// visiting.hpp: the listener of both transports: turns away who came by the wrong door or found the house full.
#pragma once

#include <optional>
#include <utility>

#include <qbipc/address.hpp>
#include <qbipc/detail/greeting.hpp>
#include <qbipc/detail/handshake.hpp>
#include <qbipc/detail/listening.hpp>
#include <qbipc/error.hpp>
#include <qbipc/options.hpp>

namespace qbipc::detail {

/// A client's wishes as a hello says them.
inline Hello hello_for(TransportId transport, const Options& options) noexcept {
    Hello hello;
    hello.speaker.transport = transport;
    hello.max_message = options.max_message;
    hello.lane_size = options.lane_size;
    return hello;
}

/// Models TransportListener for any visitor that is made of a Guest.
template <class VisitorType, class Kernel, TransportId transport>
class Doorkeeper {
public:
    using Visitor = VisitorType;

    static Result<Doorkeeper> open(const Address& address, const ServiceOptions& options) {
        auto listening = Listening<Kernel>::open(address, options);
        if (!listening) return fail(listening.error());
        return Doorkeeper(*std::move(listening));
    }

    int fd() const noexcept { return listening_.fd(); }
    Result<Descriptor> share() const { return listening_.share(); }

    Result<std::optional<Visitor>> accept() {
        auto accepted = listening_.accept();
        if (!accepted) return fail(accepted.error());
        if (!*accepted) return std::nullopt;
        Accepted& one = **accepted;
        Guest<Kernel> guest(std::move(one.socket), std::move(one.credentials), transport);
        // fd() stays readable while more wait: one for each call is enough.
        if (one.moved) {
            guest.say_moved();
            return std::nullopt;
        }
        if (one.refusal) {
            guest.refuse(one.refusal);
            if (one.refusal == errc::busy) return std::nullopt;
            return fail(one.refusal);
        }
        return std::optional<Visitor>(std::in_place, std::move(guest));
    }

private:
    explicit Doorkeeper(Listening<Kernel>&& listening) noexcept : listening_(std::move(listening)) {}

    Listening<Kernel> listening_;
};

}  // namespace qbipc::detail
