// SPDX-License-Identifier: BSL-1.0
// moved.hpp: the service's word to a client who came by the address that the flag file has retired.
#pragma once

#include <string>
#include <system_error>

namespace qbipc::detail {

class MovedCategory final : public std::error_category {
public:
    const char* name() const noexcept override { return "qbipc.moved"; }
    std::string message(int) const override { return "the service moved to its other address"; }
};

/// What a handshake gives when the service said `moved`: look at the flag and come again. Users never see it:
/// connect_socket() turns it into another attempt, or into the error of the deadline.
inline std::error_code moved_error() noexcept {
    static const MovedCategory category;
    return {1, category};
}

}  // namespace qbipc::detail
