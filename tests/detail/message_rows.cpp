// SPDX-License-Identifier: BSL-1.0
// Messages as frames and rows of pieces, in both directions: what is sent, and what a receiver makes of what it gets.
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <qbipc/detail/message_receiver.hpp>
#include <qbipc/detail/message_sender.hpp>

#include "support/catch.hpp"
#include "support/fake_end.hpp"
#include "support/random.hpp"

namespace {

using qbipc::errc;
using qbipc::Header;
using qbipc::Kind;
using qbipc::Lane;
using qbipc::PlainMemory;
using qbipc::detail::MessageReceiver;
using qbipc::detail::MessageSender;
using qbipc::detail::ReceivedMessage;
using qbipc::detail::Serialized;
using qbipc::testing::FakeEnd;

using Bytes = std::vector<std::byte>;
using Sender = MessageSender<FakeEnd, Lane::requests>;
using AnswerSender = MessageSender<FakeEnd, Lane::responses>;
using Receiver = MessageReceiver<FakeEnd, PlainMemory, Lane::requests>;
using AnswerReceiver = MessageReceiver<FakeEnd, PlainMemory, Lane::responses>;

Bytes pattern(std::size_t size, unsigned seed = 1) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + (i >> 8) + (i >> 16) + seed);
    return bytes;
}
Header header(std::uint32_t correlation = 5) { return {0, Kind::one_way, 0, 3, 4, correlation}; }
const auto no_wait = [] { return make_error_code(errc::timed_out); };

/// The next message, however many frames it takes.
template <class R>
bool next(R& receiver, FakeEnd& end, ReceivedMessage& message) {
    auto frames = static_cast<std::size_t>(-1);
    return receiver.next(end, message, frames);
}

/// The next message's bytes, released.
template <class R>
std::optional<Bytes> take(R& receiver, FakeEnd& end) {
    ReceivedMessage message;
    if (!next(receiver, end, message)) return std::nullopt;
    Bytes bytes(message.payload, message.payload + message.size);
    receiver.done(end);
    return bytes;
}

/// A first piece that announces `total`, with these bytes of it.
Bytes first_piece(std::uint64_t total, std::size_t count) {
    Bytes bytes(sizeof total);
    std::memcpy(bytes.data(), &total, sizeof total);
    const auto rest = pattern(count);
    bytes.insert(bytes.end(), rest.begin(), rest.end());
    return bytes;
}
Header row(std::uint32_t correlation = 5) { return {0, Kind::one_way, Header::row, 3, 4, correlation}; }
Header piece(std::uint32_t correlation = 5) { return {0, Kind::piece, 0, 3, 4, correlation}; }
Header abandon() { return {0, Kind::abandon, 0, 3, 4, 5}; }

}  // namespace

TEST_CASE("messages of every size go out as frames or rows and come back whole", "[rows]") {
    FakeEnd end;
    Sender sender;
    Receiver receiver;
    for (const std::size_t max_frame : {std::size_t{1024}, std::size_t{64} << 10, std::size_t{1} << 20}) {
        end.largest_frame = max_frame;
        for (const std::size_t size :
             {std::size_t{0}, std::size_t{1}, max_frame - 9, max_frame - 8, max_frame - 7, max_frame - 1, max_frame,
              std::min<std::size_t>(max_frame + 1, 1 << 20), std::min<std::size_t>(2 * max_frame, 1 << 20),
              (std::size_t{128} << 10) - 1, std::size_t{128} << 10, (std::size_t{128} << 10) + 1,
              (std::size_t{1} << 20) - 1, std::size_t{1} << 20}) {
            CAPTURE(max_frame, size);
            end.room = 10000;
            const auto bytes = pattern(size);
            REQUIRE_FALSE(sender.send(end, Serialized{bytes}, header()));
            for (const auto& frame : end[Lane::requests]) REQUIRE(frame.header.size <= max_frame);
            REQUIRE(take(receiver, end) == bytes);
            REQUIRE_FALSE(take(receiver, end));
            REQUIRE_FALSE(receiver.violated());
        }
    }
}

TEST_CASE("a message over the limit sends nothing", "[rows]") {
    FakeEnd end;
    Sender sender;
    const auto bytes = pattern(end.largest_message + 1);
    CHECK(sender.send(end, Serialized{bytes}, header()) == errc::message_too_large);
    CHECK(sender.send_waiting(end, Serialized{bytes}, header(), no_wait) == errc::message_too_large);
    CHECK(sender.send_or_keep(end, Serialized{bytes}, header(), 1 << 30) == errc::message_too_large);
    end.largest_message = 100;
    const auto smaller = pattern(101);
    CHECK(sender.send(end, Serialized{smaller}, header()) == errc::message_too_large);
    CHECK(end[Lane::requests].empty());
    CHECK_FALSE(sender.has_rest());
}

TEST_CASE("with no room at all nothing is sent; once begun, the rest is kept and goes out first", "[rows]") {
    FakeEnd end;
    Sender sender;
    Receiver receiver;
    const auto large = pattern(500'000), small = pattern(10, 9);
    end.room = 0;
    CHECK(sender.send(end, Serialized{large}, header()) == errc::lane_full);
    CHECK_FALSE(sender.has_rest());
    end.room = 2;
    CHECK_FALSE(sender.send(end, Serialized{large}, header()));
    CHECK(sender.has_rest());
    CHECK(sender.send(end, Serialized{small}, header()) == errc::lane_full);
    CHECK_FALSE(take(receiver, end));  // the pieces so far
    while (sender.has_rest()) {
        (void)sender.flush(end);
        if (auto got = take(receiver, end)) CHECK(*got == large);
    }
    CHECK_FALSE(sender.send(end, Serialized{small}, header()));
    CHECK(take(receiver, end) == small);
    CHECK(sender.rest_bytes() == 0);
}

TEST_CASE("a row given up after any number of pieces is dropped, and the next message is whole", "[rows]") {
    FakeEnd end;
    Sender sender;
    Receiver receiver;
    const auto large = pattern(640'000), small = pattern(10, 9);
    for (std::size_t pieces = 0; pieces <= 9; ++pieces) {
        CAPTURE(pieces);
        end.room = pieces;
        CHECK(sender.send_waiting(end, Serialized{large}, header(), no_wait) == errc::timed_out);
        CHECK(end[Lane::requests].size() == pieces);
        CHECK(sender.has_rest() == (pieces != 0));
        if (pieces % 2 == 0) CHECK_FALSE(take(receiver, end));  // taken before the abandon comes, or with it
        end.room = 1000;
        CHECK_FALSE(sender.send(end, Serialized{small}, header(6)));
        CHECK(take(receiver, end) == small);
        CHECK_FALSE(receiver.violated());
    }
    CHECK_FALSE(sender.send_waiting(end, Serialized{large}, header(), no_wait));
    CHECK(take(receiver, end) == large);
}

TEST_CASE("a wait for room goes on where it stopped", "[rows]") {
    FakeEnd end;
    Sender sender;
    Receiver receiver;
    const auto large = pattern(640'000);
    end.room = 3;
    std::optional<Bytes> got;
    int waits = 0;
    const auto wait = [&] {
        ++waits;
        if (auto all = take(receiver, end)) got = all;
        return std::error_code();
    };
    CHECK_FALSE(sender.send_waiting(end, Serialized{large}, header(), wait));
    if (!got) got = take(receiver, end);
    CHECK(got == large);
    CHECK(waits == 3);
}

TEST_CASE("what finds no room is kept in order, as far as the limit goes", "[rows]") {
    FakeEnd end;
    AnswerSender sender;
    AnswerReceiver receiver;
    const Header answer{0, Kind::answer, 0, 3, 4, 5};
    end.room = 1;
    std::vector<Bytes> sent;
    std::size_t refused = 0;
    for (unsigned i = 0; i < 40; ++i) {
        const auto bytes = pattern(i * 9973 % 150'000, i);
        const auto error = sender.send_or_keep(end, Serialized{bytes}, answer, 1'000'000);
        if (error) {
            REQUIRE(error == errc::over_quota);
            ++refused;
        } else {
            sent.push_back(bytes);
        }
        REQUIRE(sender.rest_bytes() < 1'200'000);
    }
    CHECK(refused > 0);
    CHECK(sent.size() > 10);
    std::size_t next = 0;
    for (int turns = 0; next < sent.size() && turns < 1000; ++turns) {
        (void)sender.flush(end);
        while (auto got = take(receiver, end)) REQUIRE(*got == sent[next++]);
    }
    CHECK(next == sent.size());
    CHECK_FALSE(sender.has_rest());
    CHECK_FALSE(sender.send_or_keep(end, Serialized{sent[0]}, answer, 10));
    sender.discard();
    CHECK_FALSE(sender.has_rest());
}

TEST_CASE("an outbox that is never empty doesn't grow with all that went through it", "[rows]") {
    FakeEnd end;
    AnswerSender sender;
    AnswerReceiver receiver;
    const Header answer{0, Kind::answer, 0, 3, 4, 5};
    const auto bytes = pattern(10'000);
    end.room = 1;
    std::size_t received = 0;
    for (int i = 0; i < 2'000; ++i) {
        REQUIRE_FALSE(sender.send_or_keep(end, Serialized{bytes}, answer, 100'000));
        if (i < 5) continue;  // some always wait
        REQUIRE(take(receiver, end) == bytes);
        ++received;
        REQUIRE(sender.has_rest());
        REQUIRE(sender.held() < 200'000);
    }
    CHECK(received > 1'900);
}

TEST_CASE("whatever room there is and whoever gives up, messages arrive whole, in order, or not at all", "[rows]") {
    qbipc::testing::Random random(81);
    FakeEnd end;
    end.largest_frame = 512;
    Sender sender;
    Receiver receiver;
    std::vector<Bytes> accepted;
    std::size_t received = 0;
    const auto receive = [&] {
        for (auto count = random.below(4); count > 0; --count)
            if (auto got = take(receiver, end)) {
                REQUIRE(received < accepted.size());
                REQUIRE(*got == accepted[received]);
                ++received;
            }
        REQUIRE_FALSE(receiver.violated());
    };
    for (unsigned i = 0; i < 3'000; ++i) {
        const auto bytes = pattern(static_cast<std::size_t>(random.below(random.one_in(2) ? 100 : 300'000)), i);
        end.room = static_cast<std::size_t>(random.below(400));
        std::error_code error;
        // Accepted before it is sent: the receiver may have it before send() returns.
        accepted.push_back(bytes);
        if (random.one_in(2)) {
            error = sender.send(end, Serialized{bytes}, header(i));
        } else {
            error = sender.send_waiting(end, Serialized{bytes}, header(i), [&] {
                if (random.one_in(20)) return make_error_code(errc::timed_out);
                end.room = static_cast<std::size_t>(random.below(400));
                ReceivedMessage message;
                while (received + 1 < accepted.size() && random.below(3) != 0 && next(receiver, end, message)) {
                    REQUIRE(Bytes(message.payload, message.payload + message.size) == accepted[received]);
                    ++received;
                    receiver.done(end);
                }
                if (received + 1 == accepted.size()) {
                    // What is under way: pieces are taken, the message isn't there before its last.
                    REQUIRE_FALSE(next(receiver, end, message));
                }
                return std::error_code();
            });
        }
        if (error) accepted.pop_back();
        receive();
    }
    end.room = 1'000'000;
    CHECK_FALSE(sender.flush(end));
    while (auto got = take(receiver, end)) REQUIRE(*got == accepted[received++]);
    CHECK(received == accepted.size());
}

TEST_CASE("what no honest peer sends is a violation, and stays one", "[rows]") {
    FakeEnd end;
    Receiver receiver;
    ReceivedMessage message;
    const auto put = [&](const Header& of, Bytes payload) { end.put(Lane::requests, of, std::move(payload)); };
    const auto big = std::size_t{1} << 20;
    SECTION("a kind of another lane") { put({0, Kind::answer, 0, 0, 1, 1}, {}); }
    SECTION("an event") { put({0, Kind::event, 0, 0, 1, 1}, {}); }
    SECTION("a kind that doesn't exist") { put({0, static_cast<Kind>(77), 0, 0, 1, 1}, {}); }
    SECTION("a kind of zero") { put({0, static_cast<Kind>(0), 0, 0, 1, 1}, {}); }
    SECTION("a cancel, which is reserved") { put({0, Kind::cancel, 0, 0, 1, 1}, {}); }
    SECTION("a flag that doesn't exist") { put({0, Kind::call, 2, 0, 1, 1}, {}); }
    SECTION("a row with another flag") { put({0, Kind::call, 3, 0, 1, 1}, first_piece(100, 10)); }
    SECTION("a piece without a row") { put(piece(), pattern(10)); }
    SECTION("an abandon without a row") { put(abandon(), {}); }
    SECTION("an abandon with a payload") { put(abandon(), pattern(1)); }
    SECTION("an abandon with a flag") { put({0, Kind::abandon, 1, 3, 4, 5}, {}); }
    SECTION("a row that announces more than the limit") { put(row(), first_piece(big + 1, 10)); }
    SECTION("a row that announces all there is") { put(row(), first_piece(~std::uint64_t{0}, 10)); }
    SECTION("a row that announces 2^32 - 1") { put(row(), first_piece(0xffffffff, 10)); }
    SECTION("a row without a size") { put(row(), pattern(7)); }
    SECTION("a row of a size alone") { put(row(), first_piece(100, 0)); }
    SECTION("a row of nothing") { put(row(), first_piece(0, 0)); }
    SECTION("a first piece that is larger than its row") { put(row(), first_piece(10, 11)); }
    SECTION("a row of the wrong kind") { put({0, Kind::answer, Header::row, 3, 4, 5}, first_piece(100, 10)); }
    SECTION("within a row") {
        put(row(), first_piece(100, 10));
        SECTION("a message") { put(header(), pattern(10)); }
        SECTION("another row") { put(row(), first_piece(100, 10)); }
        SECTION("a piece of another message") { put(piece(6), pattern(10)); }
        SECTION("a piece of another service") { put({0, Kind::piece, 0, 2, 4, 5}, pattern(10)); }
        SECTION("a piece of another id") { put({0, Kind::piece, 0, 3, 5, 5}, pattern(10)); }
        SECTION("a piece with a flag") { put({0, Kind::piece, Header::row, 3, 4, 5}, pattern(10)); }
        SECTION("an empty piece") { put(piece(), {}); }
        SECTION("one byte too many") { put(piece(), pattern(91)); }
        SECTION("an abandon with a payload") { put(abandon(), pattern(1)); }
    }
    CHECK_FALSE(next(receiver, end, message));
    CHECK(receiver.violated());
    put(header(), pattern(10));
    CHECK_FALSE(next(receiver, end, message));
    CHECK(receiver.violated());
}

TEST_CASE("a frame that broke the protocol is no message even if its peer makes a good one of it", "[rows]") {
    const bool in_a_row = GENERATE(false, true);
    FakeEnd end;
    Receiver receiver;
    if (in_a_row) end.put(Lane::requests, row(), first_piece(100, 10));
    end.put(Lane::requests, {0, Kind::answer, 0, 3, 4, 5}, pattern(8));
    CHECK_FALSE(take(receiver, end));
    REQUIRE(receiver.violated());
    end[Lane::requests].front().header.kind = Kind::one_way;
    CHECK_FALSE(take(receiver, end));
    end[Lane::requests].front().header.kind = Kind::piece;
    CHECK_FALSE(take(receiver, end));
    CHECK(receiver.violated());
    CHECK(end[Lane::requests].size() == 1);
}

TEST_CASE("no more frames are taken than the receiver was allowed, pieces and abandoned rows included", "[rows]") {
    FakeEnd end;
    Receiver receiver;
    ReceivedMessage message;
    for (int i = 0; i < 10; ++i) {
        end.put(Lane::requests, row(), first_piece(100, 10));
        end.put(Lane::requests, abandon(), {});
    }
    end.put(Lane::requests, header(), pattern(3));
    std::size_t frames = 5;
    CHECK_FALSE(receiver.next(end, message, frames));
    CHECK(frames == 0);
    CHECK(end[Lane::requests].size() == 16);
    CHECK_FALSE(receiver.next(end, message, frames));
    CHECK(end[Lane::requests].size() == 16);
    frames = 20;
    CHECK(receiver.next(end, message, frames));
    CHECK(frames == 4);
    receiver.done(end);
    CHECK_FALSE(receiver.next(end, message, frames));
    CHECK(frames == 4);
    CHECK_FALSE(receiver.violated());
}

TEST_CASE("a row is one message with the ids of its first piece", "[rows]") {
    FakeEnd end;
    Receiver receiver;
    end.put(Lane::requests, {0, Kind::call, Header::row, 3, 4, 5}, first_piece(30, 10));
    ReceivedMessage message;
    CHECK_FALSE(next(receiver, end, message));
    end.put(Lane::requests, piece(), pattern(15));
    CHECK_FALSE(next(receiver, end, message));
    CHECK(end[Lane::requests].empty());  // pieces are copied and given back as they come
    end.put(Lane::requests, piece(), pattern(5));
    end.put(Lane::requests, header(), pattern(3));
    REQUIRE(next(receiver, end, message));
    CHECK(message.header == Header{0, Kind::call, 0, 3, 4, 5});
    CHECK(message.size == 30);
    receiver.done(end);
    CHECK(take(receiver, end) == pattern(3));
}

TEST_CASE("memory grows with what has come, not with what was announced", "[rows]") {
    FakeEnd end;
    Receiver receiver;
    ReceivedMessage message;
    end.put(Lane::requests, row(), first_piece(std::size_t{1} << 20, 100));
    CHECK_FALSE(next(receiver, end, message));
    CHECK(receiver.held() < 1000);
    for (std::size_t total = 100; total < 500'000; total += 50'000) {
        end.put(Lane::requests, piece(), pattern(50'000));
        CHECK_FALSE(next(receiver, end, message));
        CHECK(receiver.held() <= 2 * (total + 50'000));
    }
    end.put(Lane::requests, abandon(), {});
    CHECK_FALSE(next(receiver, end, message));
    CHECK_FALSE(receiver.violated());
    CHECK(receiver.held() <= std::size_t{256} << 10);
}

TEST_CASE("a row that lack of memory breaks off is abandoned: what follows is whole", "[rows]") {
    for (const bool waiting : {false, true}) {
        FakeEnd end;
        Sender sender;
        Receiver receiver;
        end.memory = 2;
        const auto message = pattern(500'000);
        const Serialized x{message};
        const auto error = waiting ? sender.send_waiting(end, x, header(), no_wait) : sender.send(end, x, header());
        CHECK(error == std::errc::not_enough_memory);
        CHECK(end[Lane::requests].size() == 2);
        end.memory = 1000;
        const auto small = pattern(100, 9);
        CHECK_FALSE(sender.send(end, Serialized{small}, header(6)));
        CHECK(take(receiver, end) == small);
        CHECK_FALSE(receiver.violated());
    }
}

TEST_CASE("a spare that a row takes over is counted whole, or left where it is", "[rows]") {
    FakeEnd end;
    end.room = static_cast<std::size_t>(-1);
    Sender sender;
    qbipc::detail::MemoryAccount account(std::size_t{1} << 20);
    qbipc::detail::Buffer spare;
    Receiver first, second, third;
    for (auto* receiver : {&first, &second, &third}) receiver->charge_to(account, spare);
    const auto message = pattern(700'000);
    REQUIRE_FALSE(sender.send(end, Serialized{message}, header()));
    CHECK(take(first, end) == message);
    CHECK(account.used() == 0);
    const std::size_t kept = spare.capacity();
    CHECK(kept >= 700'000);

    ReceivedMessage unused;
    end.put(Lane::requests, row(), first_piece(1000, 1));
    CHECK_FALSE(next(second, end, unused));
    CHECK(spare.capacity() == 0);
    CHECK(account.used() == kept);
    qbipc::detail::Buffer other(800'000);
    spare.swap(other);
    end.put(Lane::requests, row(), first_piece(1000, 1));
    CHECK_FALSE(next(third, end, unused));
    CHECK(spare.capacity() == 800'000);  // too much for this account
    CHECK(account.used() < kept + 1000);
    CHECK_FALSE(third.over_quota());
    second.forget();
    third.forget();
    CHECK(account.used() == 0);
}
