// expect: the private data must be movable
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

struct Pinned {
    Pinned() = default;
    Pinned(Pinned&&) = delete;
};
auto service = listen(qbipc::routes<Pinned>(qbipc::on<Clear>([](const Clear&) {})));
