// SPDX-License-Identifier: BSL-1.0
// What free_seams.py looks at, as assembly: frames published and consumed by the ends that ship, and a program that
// does all that a user's does.
#include <chrono>
#include <cstddef>
#include <cstdint>

#include <qbipc/client.hpp>
#include <qbipc/qbipc.hpp>
#include <qbipc/transport/shm_ring.hpp>
#include <qbipc/transport/unix_socket.hpp>

namespace {

using namespace qbipc;

struct Sum {
    double value = 0;
};
struct Add {
    static constexpr MessageId id = 1;
    using Reply = Sum;
    double a = 0, b = 0;
};
struct Note {
    static constexpr MessageId id = 2;
    std::uint64_t number = 0;
};
struct Tick {
    static constexpr EventId id = 1;
    std::uint64_t number = 0;
};

template <class End>
bool publish(End& end, const Note& note) {
    std::byte* const place = end.reserve(Lane::requests, sizeof note);
    if (place == nullptr) return false;
    MemoryOf<ShmRing>::copy_out(place, &note, sizeof note);
    end.commit(Lane::requests, Header{sizeof note, Kind::one_way, 0, 0, Note::id.value, 0});
    return true;
}
template <class End>
bool consume(End& end, Note& note) {
    Frame frame;
    if (!end.peek(Lane::requests, frame)) return false;
    MemoryOf<ShmRing>::copy_in(&note, frame.payload, sizeof note);
    end.release(Lane::requests);
    return true;
}

template <class T>
int live(const char* name) {
    auto service = listen<T>(
        name, routes(on<Add>([](const Add& add) { return Sum{add.a + add.b}; }),
                     on<Note>([](auto& session, const Note& note) { (void)session.send(Tick{note.number}); })));
    if (!service) return 1;
    auto client = Client<T>::connect(name, std::chrono::seconds(1));
    if (!client || !client->send(Note{1}) || !client->call(Add{1, 2}, std::chrono::seconds(1))) return 2;
    if (!client->receive(routes(on<Tick>([](const Tick&) {})), std::chrono::seconds(1))) return 3;
    return service->dispatch() ? 0 : 4;
}

}  // namespace

extern "C" {
// Where the script begins to look.
bool publish_shm_ring(ShmRing::ClientEnd& end, const Note& note) { return publish(end, note); }
bool consume_shm_ring(ShmRing::ServiceEnd& end, Note& note) { return consume(end, note); }
bool publish_unix_socket(UnixSocket::ClientEnd& end, const Note& note) { return publish(end, note); }
bool consume_unix_socket(UnixSocket::ServiceEnd& end, Note& note) { return consume(end, note); }
void end_shm_ring(ShmRing::ClientEnd& end) { end.shutdown(); }
}

int main() { return live<ShmRing>("probe") + live<UnixSocket>("probe"); }
