// SPDX-License-Identifier: BSL-1.0
// qbipc_peer.hpp: what is measured of this library, over any of its transports, through its public interface alone.
//
// Messages of up to 64 bytes are structs of that size, as users would write them; larger ones have a tail.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <qbipc/qbipc.hpp>

#include "../harness/main.hpp"

namespace bench::ours {

template <std::size_t size>
using Words = std::array<std::uint64_t, size / 8>;

template <std::size_t size>
struct Pong {
    Words<size> words;
};
template <std::size_t size>
struct Ping {  // a call
    static constexpr qbipc::MessageId id = 10 + size;
    using Reply = Pong<size>;
    Words<size> words;
};
template <std::size_t size>
struct Note {  // one-way
    static constexpr qbipc::MessageId id = 100 + size;
    Words<size> words;
};
template <std::size_t size>
struct News {  // an event
    static constexpr qbipc::EventId id = 10 + size;
    Words<size> words;
};

struct LongPong {
    using Tail = std::byte;
};
struct LongPing {
    static constexpr qbipc::MessageId id = 1;
    using Reply = LongPong;
    using Tail = std::byte;
};
struct LongNote {
    static constexpr qbipc::MessageId id = 2;
    using Tail = std::byte;
};
struct LongNews {
    static constexpr qbipc::EventId id = 1;
    using Tail = std::byte;
};
struct Poke {
    static constexpr qbipc::MessageId id = 3;
};

/// By copy, or in place. In place the sender writes every byte of a message once, and the receiver is done with it
/// where it lies: an echo copies it from lane to lane.
enum class How { by_copy, in_place };

constexpr auto at_most = std::chrono::seconds(10);

/// The largest lane's address space lets 1 MiB be built in place.
inline qbipc::ServiceOptions options_for(const Setup& setup, How how) {
    qbipc::ServiceOptions options;
    options.max_message = std::max(options.max_message, setup.max_message);
    if (how == How::in_place) options.lane_size = std::size_t{8} << 20;
    return options;
}

/// Calls `use` with an integral constant of the size where messages of that size are structs, with 0 where they have a
/// tail. One predictable branch.
template <class Use>
void with_size(std::size_t size, Use&& use) {
    switch (size) {
        case 8:
            return use(std::integral_constant<std::size_t, 8>{});
        case 48:
            return use(std::integral_constant<std::size_t, 48>{});
        case 64:
            return use(std::integral_constant<std::size_t, 64>{});
        default:
            return use(std::integral_constant<std::size_t, 0>{});
    }
}

/// One event to one session, when there is room for it.
template <class Session>
void send_news(const Setup& setup, Session& session, std::span<const std::byte> payload) {
    with_size(setup.size, [&](auto size) {
        const auto try_once = [&] {
            if constexpr (size == 0) {
                return session.send(qbipc::with_tail(LongNews{}, payload));
            } else {
                News<size> news;
                std::memcpy(&news, payload.data(), sizeof news);
                return session.send(news);
            }
        };
        for (auto sent = try_once(); !sent; sent = try_once()) {
            expect(sent.error() == qbipc::errc::lane_full, "sending an event");
            for (int i = 0; i < 32; ++i) pause();  // the client takes what is there meanwhile
        }
    });
}

template <std::size_t size>
auto answer_route() {
    return qbipc::on<Ping<size>>([](const Ping<size>& ping) { return Pong<size>{ping.words}; });
}
template <std::size_t size>
auto count_route(const Setup& setup) {
    return qbipc::on<Note<size>>([&setup](const Note<size>&) { count(setup); });
}

template <How how>
auto answer_long_route(const Setup& setup) {
    if constexpr (how == How::by_copy)
        return qbipc::on<LongPing>(
            [&setup](const LongPing&, std::span<const std::byte> tail, qbipc::Answer<LongPong> answer) {
                expect(tail.size() == setup.size, "the size of a request");
                answer.send(qbipc::with_tail(LongPong{}, tail));
            });
    else
        return qbipc::on<LongPing>([&setup](const qbipc::View<LongPing>& ping, qbipc::Answer<LongPong> answer) {
            const auto tail = ping.tail();
            expect(tail.size() == setup.size, "the size of a request");
            answer.send(qbipc::build<LongPong>(tail.size(), [&](LongPong&, std::span<std::byte> room) {
                std::memcpy(room.data(), tail.data(), room.size());
            }));
        });
}

template <How how>
auto count_long_route(const Setup& setup) {
    if constexpr (how == How::by_copy)
        return qbipc::on<LongNote>([&setup](const LongNote&, std::span<const std::byte> tail) {
            expect(tail.size() == setup.size, "the size of a message");
            count(setup);
        });
    else
        return qbipc::on<LongNote>([&setup](const qbipc::View<LongNote>& note) {
            expect(note.tail().size() == setup.size, "the size of a message");
            count(setup);
        });
}

inline auto poke_route(const Setup& setup) {
    return qbipc::on<Poke>(
        [&setup, payload = std::vector<std::byte>(setup.size, std::byte{2})](auto& session, const Poke&) {
            const std::uint64_t wanted = setup.shared->wanted.load();
            if (setup.mode == Mode::push) {
                for (std::uint64_t i = 0; i < wanted; ++i) send_news(setup, session, payload);
                return;
            }
            const std::uint64_t started = now_ns();
            for (std::uint64_t i = 0; i < wanted; ++i)
                for (auto& each : session.sessions()) send_news(setup, each, payload);
            published(setup, now_ns() - started);
        });
}

template <class Transport, How how>
auto listen(const Setup& setup) {
    return qbipc::or_exit(
        qbipc::listen<Transport>(
            setup.address,
            qbipc::routes(answer_route<8>(), answer_route<48>(), answer_route<64>(), count_route<8>(setup),
                          count_route<48>(setup), count_route<64>(setup), answer_long_route<how>(setup),
                          count_long_route<how>(setup), poke_route(setup)),
            qbipc::same_user, options_for(setup, how)),
        "listen");
}

template <std::size_t size>
auto news_route(std::vector<std::byte>& in) {
    return qbipc::on<News<size>>([&in](const News<size>& news) { std::memcpy(in.data(), &news, sizeof news); });
}

template <How how>
auto long_news_route(std::vector<std::byte>& in) {
    if constexpr (how == How::by_copy)
        return qbipc::on<LongNews>([&in](const LongNews&, std::span<const std::byte> tail) {
            expect(tail.size() == in.size(), "the size of an event");
        });
    else
        return qbipc::on<LongNews>([&in](const qbipc::View<LongNews>& news) {
            expect(news.tail().size() == in.size(), "the size of an event");
        });
}

template <How how>
auto news_routes(std::vector<std::byte>& in) {
    return qbipc::routes(news_route<8>(in), news_route<48>(in), news_route<64>(in), long_news_route<how>(in));
}

template <class Transport, How how = How::by_copy, bool can_sleep = true>
struct Peer {
    static constexpr std::size_t largest = std::size_t{1} << 20;
    static constexpr std::size_t smallest = 8;
    static constexpr std::size_t sessions = 2000;
    static constexpr bool sleeps = can_sleep;

    class Service {
    public:
        explicit Service(const Setup& setup) : service_(listen<Transport, how>(setup)) {}
        void serve() { (void)service_.run(); }

    private:
        decltype(listen<Transport, how>(std::declval<const Setup&>())) service_;
    };

    class Client {
    public:
        explicit Client(const Setup& setup)
            : out_(setup.size, std::byte{1}),
              in_(setup.size),
              client_(qbipc::or_exit(
                  qbipc::Client<Transport>::connect(setup.address, at_most, qbipc::same_user, options_for(setup, how)),
                  "connect")),
              events_(news_routes<how>(in_)) {}

        void call() {
            with_size(out_.size(), [&](auto size) {
                if constexpr (size == 0) {
                    call_long();
                } else {
                    Ping<size> ping;
                    std::memcpy(&ping, out_.data(), sizeof ping);
                    const auto pong = client_.call(ping, at_most);
                    expect(pong.has_value(), "call");
                    std::memcpy(in_.data(), &*pong, sizeof *pong);
                }
            });
        }

        void send() {
            with_size(out_.size(), [&](auto size) {
                if constexpr (size == 0) {
                    expect(send_long().has_value(), "send");
                } else {
                    Note<size> note;
                    std::memcpy(&note, out_.data(), sizeof note);
                    expect(client_.send(note, at_most).has_value(), "send");
                }
            });
        }
        void flush() { expect(client_.flush(at_most).has_value(), "flush"); }

        void poke() { expect(client_.send(Poke{}, at_most).has_value(), "send"); }
        std::size_t take() {
            const auto taken = client_.receive(events_, at_most);
            expect(taken.has_value(), "receive");
            return *taken;
        }

    private:
        /// The function gets a private copy of the answer: Copy<LongPong> would allocate memory for each.
        void call_long() {
            if constexpr (how == How::by_copy) {
                const auto take = [&](const LongPong&, std::span<const std::byte> tail) {
                    expect(tail.size() == in_.size(), "the size of an answer");
                };
                expect(client_.call(qbipc::with_tail(LongPing{}, out_), at_most, take).has_value(), "call");
            } else {
                const auto look = [&](const qbipc::View<LongPong>& pong) {
                    expect(pong.tail().size() == out_.size(), "the size of an answer");
                };
                expect(client_.call(qbipc::build<LongPing>(out_.size(), fill<LongPing>()), at_most, look).has_value(),
                       "call");
            }
        }
        qbipc::Result<void> send_long() {
            if constexpr (how == How::by_copy)
                return client_.send(qbipc::with_tail(LongNote{}, out_), at_most);
            else
                return client_.send(qbipc::build<LongNote>(out_.size(), fill<LongNote>()), at_most);
        }
        /// Every byte is written once, where it will be read.
        template <class M>
        auto fill() const {
            return [this](M&, std::span<std::byte> room) { std::memcpy(room.data(), out_.data(), room.size()); };
        }

        std::vector<std::byte> out_, in_;
        qbipc::Client<Transport> client_;
        decltype(news_routes<how>(std::declval<std::vector<std::byte>&>())) events_;
    };
};

}  // namespace bench::ours
