// SPDX-License-Identifier: BSL-1.0
// detail/make_room.hpp: room in a list, made where its lack can still be reported, so that adding later can't fail.
#pragma once

#include <algorithm>
#include <cstddef>

namespace qbipc::detail {

/// Room for `count` elements in all; grows by doubling, as adding would.
template <class List>
void make_room(List& list, std::size_t count) {
    if (list.capacity() < count) list.reserve(std::max(count, 2 * list.capacity()));
}

}  // namespace qbipc::detail
