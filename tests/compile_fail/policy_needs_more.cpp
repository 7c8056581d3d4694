// expect: this policy needs credentials that the transport doesn't vouch for
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

struct Anonymous : qbipc::UnixSocket {
    static constexpr auto vouches = qbipc::Vouch::pid;
};
auto service =
    qbipc::listen<Anonymous>("calculator", qbipc::routes(qbipc::on<Clear>([](const Clear&) {})), qbipc::uids<0>);
