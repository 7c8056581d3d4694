// expect: a selector gives bool: whether it took what came in
// SPDX-License-Identifier: BSL-1.0
#include "messages.hpp"

struct Takes {
    void operator()(auto&, auto&) {}
};
auto service = listen(Takes{});
