// SPDX-License-Identifier: BSL-1.0
// key_value.cpp: a store whose keys and values have any size, and whose errors are the application's own.
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <system_error>

#include <qbipc/qbipc.hpp>

#include "program.hpp"

using namespace std::chrono_literals;

namespace store {

enum class Errc { no_such_key = 1, key_too_long };
struct Category : std::error_category {
    const char* name() const noexcept override { return "store"; }
    std::string message(int value) const override {
        return static_cast<Errc>(value) == Errc::no_such_key ? "no such key" : "the key is too long";
    }
};
inline std::error_code make_error_code(Errc error) {
    static const Category category;
    return {static_cast<int>(error), category};
}

}  // namespace store

template <>
struct std::is_error_code_enum<store::Errc> : std::true_type {};

namespace store {

struct Done {};
struct Value {
    using Tail = char;  // only a tail: text, or raw bytes
};
struct Put {  // the tail is the key, then the value
    static constexpr qbipc::MessageId id = 1;
    using Reply = Done;
    using Tail = char;
    using Error = Errc;  // what a handler of ours may fail with, as itself
    std::uint32_t key_size;
};
struct Get {
    static constexpr qbipc::MessageId id = 2;
    using Reply = Value;
    using Tail = char;
    using Error = Errc;
};

}  // namespace store

using namespace store;

int serve(const qbipc::Address& address) {
    std::map<std::string, std::string, std::less<>> entries;

    auto selector = qbipc::routes(
        qbipc::on<Put>([&](const Put& put, qbipc::TailView<char> tail) -> qbipc::Result<Done> {
            const auto key = tail.take(put.key_size);  // checked: it is the peer who wrote key_size
            if (!key) return qbipc::fail(key.error());
            if (key->size() > 255) return qbipc::fail(Errc::key_too_long);
            entries.insert_or_assign(std::string(std::string_view(*key)), std::string(std::string_view(tail)));
            return Done{};
        }),
        qbipc::on<Get>([&](const Get&, std::string_view key, qbipc::Answer<Value> answer) {
            const auto found = entries.find(key);
            if (found == entries.end())
                answer.fail(Errc::no_such_key);
            else
                answer.send(qbipc::with_tail(Value{}, found->second));  // copied once, into the lane
        }));

    auto service = qbipc::or_exit(qbipc::listen<qbipc::ShmRing>(address, std::move(selector)), "listen");
    return example::serve_until_told(service);
}

int ask(const qbipc::Address& address) {
    auto client = qbipc::or_exit(qbipc::Client<qbipc::ShmRing>::connect(address, 5s), "connect");
    const auto put = [&](std::string_view key, std::string_view value) {
        return client.call(qbipc::with_tail(Put{static_cast<std::uint32_t>(key.size())}, key, value), 5s);
    };
    const auto get = [&](std::string_view key) { return client.call(qbipc::with_tail(Get{}, key), 5s); };

    qbipc::or_exit(put("colour", "green"), "put");
    const auto colour = qbipc::or_exit(get("colour"), "get");  // Copy<Value>: owns its tail
    example::expect(std::string_view(colour.tail()) == "green", "what was put is there");

    const std::string novel(900'000, 'x');  // longer than a frame: travels in pieces, which nobody sees
    qbipc::or_exit(put("novel", novel), "put");
    example::expect(std::string_view(qbipc::or_exit(get("novel"), "get").tail()) == novel, "900,000 bytes, too");

    const auto nothing = get("flavour");
    example::expect(!nothing && nothing.error() == Errc::no_such_key, "an error of the store arrives as itself");
    const auto refused = put(std::string(300, 'k'), "v");
    example::expect(!refused && refused.error() == Errc::key_too_long, "another one");

    const auto lie = client.call(qbipc::with_tail(Put{1'000'000}, std::string_view("short")), 5s);
    example::expect(!lie && lie.error() == qbipc::errc::wrong_size, "a size that lies is found out");
    const auto giant = put("giant", std::string(client.max_message(), 'x'));
    example::expect(!giant && giant.error() == qbipc::errc::message_too_large, "what is too large is never sent");
    return 0;
}

int main(int argc, char** argv) { return example::run(argc, argv, serve, ask); }
