// SPDX-License-Identifier: BSL-1.0
// in_place.cpp: no copy on the way there, none on the way back: a picture is read from a file into the lane, halved
// from there into the other lane, and looked at where it lies.
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <unistd.h>
#include <vector>

#include <qbipc/qbipc.hpp>

#include "program.hpp"

using namespace std::chrono_literals;

namespace camera {

struct Picture {
    using Tail = std::byte;  // one a pixel
    std::uint32_t width, height;
};
struct Halve {  // every second pixel of every second line
    static constexpr qbipc::MessageId id = 1;
    using Reply = Picture;
    using Tail = std::byte;
    std::uint32_t width, height;
};

}  // namespace camera

using namespace camera;

int serve(const qbipc::Address& address) {
    auto selector = qbipc::routes(qbipc::on<Halve>([](const qbipc::View<Halve>& halve, qbipc::Answer<Picture> answer) {
        // The fixed part is a private copy. The pixels are not: the client can still change them, so each is read once,
        // and none is believed.
        const auto pixels = halve.tail();
        const std::size_t width = halve->width, height = halve->height;
        if (width == 0 || pixels.size() / width != height || pixels.size() % width != 0) {
            answer.fail(make_error_code(qbipc::errc::wrong_size));
            return;
        }
        answer.send(qbipc::build<Picture>((width / 2) * (height / 2), [&](Picture& half, std::span<std::byte> room) {
            half = {halve->width / 2, halve->height / 2};
            std::size_t next = 0;
            for (std::size_t y = 0; y < half.height; ++y)
                for (std::size_t x = 0; x < half.width; ++x) room[next++] = pixels[2 * y * width + 2 * x];
        }));
    }));
    auto service = qbipc::or_exit(qbipc::listen<qbipc::ShmRing>(address, std::move(selector)), "listen");
    return example::serve_until_told(service);
}

int ask(const qbipc::Address& address) {
    constexpr std::uint32_t width = 640, height = 480;
    std::vector<unsigned char> original(std::size_t{width} * height);
    for (std::size_t i = 0; i < original.size(); ++i) original[i] = static_cast<unsigned char>(i * i >> 7);
    std::FILE* const file = std::tmpfile();
    example::expect(
        file && std::fwrite(original.data(), 1, original.size(), file) == original.size() && std::fflush(file) == 0,
        "a picture lies in a file");

    auto client = qbipc::or_exit(qbipc::Client<qbipc::ShmRing>::connect(address, 5s), "connect");
    const auto read_picture = [&](Halve& halve, std::span<std::byte> room) -> qbipc::Result<std::size_t> {
        halve = {width, height};
        const auto got = ::pread(::fileno(file), room.data(), room.size(), 0);  // the kernel writes into the lane
        if (got < 0) return qbipc::fail_system(errno);                          // nothing is sent
        return static_cast<std::size_t>(got);                                   // what wasn't needed is given back
    };
    bool as_expected = false;
    const auto look = [&](const qbipc::View<Picture>& half) {
        const auto pixels = half.tail();
        as_expected = half->width == width / 2 && half->height == height / 2 && pixels.size() == original.size() / 4;
        for (std::size_t i = 0; as_expected && i < pixels.size(); ++i) {
            const std::size_t y = i / (width / 2), x = i % (width / 2);
            as_expected = std::to_integer<unsigned char>(pixels[i]) == original[2 * y * width + 2 * x];
        }
    };
    const std::size_t at_most = original.size() + 1000;
    qbipc::or_exit(client.call(qbipc::build<Halve>(at_most, read_picture), 5s, look), "halve");
    example::expect(as_expected, "every pixel of the half is where it belongs");

    const auto torn = client.call(qbipc::with_tail(Halve{7, 7}, std::vector<std::byte>(48)), 5s);
    example::expect(!torn && torn.error() == qbipc::errc::wrong_size, "a picture without its last pixel is refused");
    std::fclose(file);
    return 0;
}

int main(int argc, char** argv) { return example::run(argc, argv, serve, ask); }
