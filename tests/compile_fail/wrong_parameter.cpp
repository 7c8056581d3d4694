// expect: this handler can't take its message: on<M> needs a callable with \(auto& session, const M&\) or \(const M&\)
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

auto service = listen(qbipc::routes(qbipc::on<Add>([](const Clear&) { return Sum{}; })));
