// SPDX-License-Identifier: BSL-1.0
#include <type_traits>

#include <qbipc/ids.hpp>

#include "support/catch.hpp"

namespace {

enum class Name : unsigned { first = 1, last = 4'000'000'000u };
enum Old { old_one = 7 };

template <class Id>
constexpr bool takes_numbers_alone =
    std::is_convertible_v<int, Id> && std::is_convertible_v<Name, Id> && std::is_convertible_v<Old, Id> &&
    !std::is_convertible_v<bool, Id> && !std::is_convertible_v<double, Id> && !std::is_convertible_v<void*, Id> &&
    !std::is_convertible_v<Id, int>;

}  // namespace

TEST_CASE("ids are numbers or enumerators, and none passes for another kind", "[ids]") {
    using namespace qbipc;
    STATIC_REQUIRE(takes_numbers_alone<ServiceId> && takes_numbers_alone<MessageId> && takes_numbers_alone<EventId>);
    STATIC_REQUIRE_FALSE(std::is_convertible_v<ServiceId, MessageId> || std::is_convertible_v<MessageId, EventId> ||
                         std::is_convertible_v<EventId, ServiceId> || std::is_convertible_v<MessageId, ServiceId>);
    STATIC_REQUIRE(MessageId(Name::last).value == 4'000'000'000u);
    STATIC_REQUIRE(EventId(old_one) == EventId(7));
    STATIC_REQUIRE(ServiceId().value == 0);
    STATIC_REQUIRE(ServiceId(65535).value == 65535);
    constexpr MessageId one = 1, two = Name::first;
    STATIC_REQUIRE(one == two);
    CHECK(MessageId(1) != MessageId(2));
}
