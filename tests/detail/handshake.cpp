// SPDX-License-Identifier: BSL-1.0
#include <string>

#include <qbipc/detail/handshake.hpp>

#include "support/catch.hpp"

using namespace qbipc::detail;
using qbipc::errc;

namespace {

Speaker speaker(TransportId transport = TransportId::shm_ring) {
    Speaker one;
    one.transport = transport;
    return one;
}

Hello sample_hello() { return {speaker(), 0x0102030405060708, 1 << 22}; }

Reply sample_reply() {
    Reply reply;
    reply.speaker = speaker();
    reply.status = Status::ok;
    reply.max_message = 1 << 20;
    reply.max_frame = (1 << 20) - 16;
    reply.lane_size = 1 << 22;
    reply.areas = {8392704, 4198400, {4096, 4096, 4198400}};
    reply.descriptors = 3;
    return reply;
}

std::string message_of(const std::error_code& error) { return error.message(); }

}  // namespace

TEST_CASE("a hello and a reply come back as they went", "[handshake]") {
    const auto hello = check_hello(encode(sample_hello()), speaker());
    REQUIRE(hello);
    CHECK(*hello == sample_hello());
    const auto reply = check_reply(encode(sample_reply()), speaker());
    REQUIRE(reply);
    CHECK(*reply == sample_reply());
}

TEST_CASE("a greeting that differs in any field comes as another", "[handshake]") {
    const auto differs = [](const auto& sample, auto... changes) {
        const auto one = [&](auto change) {
            auto other = sample;
            change(other);
            CHECK(other != sample);
            CHECK(encode(other) != encode(sample));
        };
        (one(changes), ...);
    };
    differs(
        sample_hello(), [](Hello& hello) { ++hello.speaker.version; }, [](Hello& hello) { ++hello.speaker.line_size; },
        [](Hello& hello) { hello.speaker.transport = TransportId::unix_socket; },
        [](Hello& hello) { ++hello.speaker.word_bits; }, [](Hello& hello) { ++hello.speaker.byte_order; },
        [](Hello& hello) { ++hello.speaker.features; }, [](Hello& hello) { ++hello.max_message; },
        [](Hello& hello) { ++hello.lane_size; });
    differs(
        sample_reply(), [](Reply& reply) { ++reply.speaker.version; },
        [](Reply& reply) { reply.status = Status::moved; }, [](Reply& reply) { ++reply.error.domain; },
        [](Reply& reply) { ++reply.error.value; }, [](Reply& reply) { ++reply.max_message; },
        [](Reply& reply) { ++reply.max_frame; }, [](Reply& reply) { ++reply.lane_size; },
        [](Reply& reply) { ++reply.areas.service_size; }, [](Reply& reply) { ++reply.areas.client_size; },
        [](Reply& reply) { ++reply.areas.lane_at[0]; }, [](Reply& reply) { ++reply.areas.lane_at[2]; },
        [](Reply& reply) { ++reply.descriptors; });
}

TEST_CASE("each field of a hello has its place, little-endian, and the rest is zero", "[handshake]") {
    const HandshakeBytes bytes = encode(sample_hello());
    std::array<int, handshake_size> expected{
        'q', 'b', 'i', 'p', 'c', '\r', '\n', 'H', 1, 0, 64, 0, 1, static_cast<int>(8 * sizeof(void*)), 1, 0};
    for (int i = 0; i < 8; ++i) expected[static_cast<std::size_t>(32 + i)] = 8 - i;
    expected[42] = 0x40;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        CAPTURE(i);
        CHECK(std::to_integer<int>(bytes[i]) == expected[i]);
    }
}

TEST_CASE("every byte of a reply that says something is read", "[handshake]") {
    const HandshakeBytes good = encode(sample_reply());
    for (std::size_t i = 0; i < good.size(); ++i) {
        CAPTURE(i);
        HandshakeBytes bytes = good;
        bytes[i] ^= std::byte{0x5a};
        const auto reply = check_reply(bytes, speaker());
        const bool meaning = i < 60 || (i >= 64 && i < 104);
        const bool seen = !reply || *reply != sample_reply();
        CHECK(seen == meaning);
    }
}

TEST_CASE("any single bit wrong in what both must agree about is refused", "[handshake]") {
    const HandshakeBytes good = encode(sample_hello());
    for (std::size_t bit = 0; bit < 15 * 8; ++bit) {
        CAPTURE(bit);
        HandshakeBytes bytes = good;
        bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
        const auto hello = check_hello(bytes, speaker());
        REQUIRE_FALSE(hello);
        CHECK((bit < 64 ? hello.error() == errc::protocol_violation : hello.error() == errc::incompatible));
    }
}

TEST_CASE("what the two sides disagree about is named, with both values", "[handshake]") {
    Hello hello = sample_hello();
    std::string expected;
    SECTION("transport") {
        hello.speaker.transport = TransportId::unix_socket;
        expected = "incompatible: this side speaks ShmRing, the peer UnixSocket";
    }
    SECTION("version") {
        hello.speaker.version = 7;
        expected = "incompatible: protocol version 1 here, 7 on the peer's side";
    }
    SECTION("word size") {
        hello.speaker.word_bits = 32;
        expected = "incompatible: 64-bit words here, 32-bit words on the peer's side";
    }
    SECTION("byte order") {
        hello.speaker.byte_order = 2;
        expected = "incompatible: little-endian here, big-endian on the peer's side";
    }
    SECTION("line size") {
        hello.speaker.line_size = 128;
        expected = "incompatible: cache lines of 64 bytes here, 128 on the peer's side";
    }
    const auto refused = check_hello(encode(hello), speaker());
    REQUIRE_FALSE(refused);
    CHECK(refused.error() == errc::incompatible);
    CHECK(message_of(refused.error()) == expected);

    // The client hears the same refusal from its own point of view, whatever its version.
    const auto heard = check_reply(encode(refusal(speaker(), refused.error())), hello.speaker);
    REQUIRE_FALSE(heard);
    CHECK(heard.error() == errc::incompatible);
    CHECK(seen_from_the_other_side(heard.error()) == refused.error());
    CHECK(heard.error() != refused.error());
}

TEST_CASE("an admission by a service that differs is refused by the client", "[handshake]") {
    Reply reply = sample_reply();
    reply.speaker.version = 2;
    const auto refused = check_reply(encode(reply), speaker());
    REQUIRE_FALSE(refused);
    CHECK(refused.error() == errc::incompatible);
}

TEST_CASE("feature bits that this side doesn't know are ignored in a hello, and wrong in a reply", "[handshake]") {
    Hello hello = sample_hello();
    hello.speaker.features = ~std::uint64_t{0};
    REQUIRE(check_hello(encode(hello), speaker()));
    Reply reply = sample_reply();
    reply.speaker.features = std::uint64_t{1} << 63;
    const auto refused = check_reply(encode(reply), speaker());
    REQUIRE_FALSE(refused);
    CHECK(refused.error() == errc::protocol_violation);
}

TEST_CASE("a truncated hello, padded with anything constant, is no hello", "[handshake]") {
    const HandshakeBytes good = encode(sample_hello());
    for (const auto filler : {std::byte{0}, std::byte{0xff}}) {
        for (std::size_t length = 0; length < 15; ++length) {
            CAPTURE(length);
            HandshakeBytes bytes;
            bytes.fill(filler);
            std::copy_n(good.begin(), length, bytes.begin());
            // Where nothing but the truncation differs the rest would have to be equal by chance.
            CHECK((bytes == good || !check_hello(bytes, speaker())));
        }
    }
}

TEST_CASE("a status that no service sends is a violation", "[handshake]") {
    for (unsigned status = 0; status < 256; ++status) {
        CAPTURE(status);
        Reply reply = sample_reply();
        reply.status = static_cast<Status>(status);
        reply.error = to_wire(errc::too_many_sessions);
        const auto read = check_reply(encode(reply), speaker());
        if (status == 1 || status == 3) {
            CHECK(read);
        } else {
            REQUIRE_FALSE(read);
            CHECK(read.error() == (status == 2 ? errc::too_many_sessions : errc::protocol_violation));
        }
    }
}

TEST_CASE("error codes keep their meaning over the wire", "[handshake]") {
    const std::error_code library = errc::lane_full, generic = std::make_error_code(std::errc::io_error);
    const std::error_code system(28, std::system_category());
    const std::error_code mismatch = qbipc::incompatible(qbipc::Mismatch::version, 1, 2);
    const std::error_code application(42, qbipc::application_category());
    for (const auto& error : {library, generic, system, mismatch, application}) {
        CHECK(from_wire(to_wire(error)) == error);
    }
    CHECK(to_wire(library) == WireError{3, 2});
    CHECK(to_wire(application) == WireError{4, 42});

    struct Mine : std::error_category {
        const char* name() const noexcept override { return "mine"; }
        std::string message(int) const override { return "mine"; }
    } const mine;
    CHECK(from_wire(to_wire({-7, mine})) == std::error_code(-7, qbipc::application_category()));
    CHECK(from_wire({77, 5}) == std::error_code(5, qbipc::application_category()));
    for (std::uint32_t domain = 0; domain < 8; ++domain) CHECK(from_wire({domain, 0}) == errc::protocol_violation);
}
