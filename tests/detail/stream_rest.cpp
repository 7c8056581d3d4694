// SPDX-License-Identifier: BSL-1.0
#include "qbipc/detail/stream_rest.hpp"

#include "support/catch.hpp"

using qbipc::detail::StreamRest;

namespace {

/// Takes so many messages and finds the lane empty.
void take(StreamRest& stream, std::size_t messages) {
    stream.took(messages);
    stream.emptied();
}

StreamRest streaming() {
    StreamRest stream;
    for (std::size_t i = 0; i < StreamRest::try_after; ++i) take(stream, 1);
    return stream;
}

}  // namespace

TEST_CASE("a rest is tried after many messages that nobody waits for an answer to", "[stream]") {
    StreamRest stream;
    for (std::size_t i = 1; i < StreamRest::try_after; ++i) {
        take(stream, 1);
        REQUIRE_FALSE(stream.due());
    }
    take(stream, 1);
    CHECK(stream.due());
    stream.rest();
    CHECK_FALSE(stream.due());  // one for each time the lane is empty
}

TEST_CASE("an answer that somebody waits for ends all rests", "[stream]") {
    StreamRest stream = streaming();
    REQUIRE(stream.due());
    stream.answered();
    CHECK_FALSE(stream.due());
    take(stream, StreamRest::try_after - 1);
    CHECK_FALSE(stream.due());
}

TEST_CASE("rests grow while they bring batches, however many turns it takes to take one", "[stream]") {
    StreamRest stream = streaming();
    auto longest = StreamRest::shortest;
    for (int i = 0; i < 10; ++i) {
        REQUIRE(stream.due());
        CHECK(stream.length() >= longest);
        longest = stream.length();
        stream.rest();
        const auto times = static_cast<std::size_t>(stream.length() / StreamRest::shortest);
        for (std::size_t turn = 0; turn < times; ++turn) stream.took(StreamRest::per_shortest);
        stream.emptied();
    }
    CHECK(longest == StreamRest::longest);
}

TEST_CASE("a rest that brings less than a stream would is the last for a while", "[stream]") {
    StreamRest stream = streaming();
    stream.rest();
    take(stream, StreamRest::per_shortest - 1);
    CHECK_FALSE(stream.due());
    CHECK(stream.length() == StreamRest::shortest);
    take(stream, StreamRest::try_after);
    CHECK(stream.due());
}
