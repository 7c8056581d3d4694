// SPDX-License-Identifier: BSL-1.0
// A storm of SIGKILLs on eight clients, and now and then on their service, with books of what was promised.
//   torture-storm [--full] [--kills N] [--seed N]
//
// A life is one connection of one client. Before it publishes message n it writes n down as intended, and as sent once
// send() or call() has come back; the service writes down what it took, of whom, in order. What holds:
// - the service took 1 .. d, each once, in order, whole, with sent <= d <= intended: all that was published, and of
//   what was being published all or nothing;
// - where it was the service that died: acknowledged <= d <= intended;
// - every answer is that of the very message of the very life.
#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <qbipc/client.hpp>
#include <qbipc/qbipc.hpp>
#include <qbipc/transport/shm_ring.hpp>
#include <qbipc/transport/unix_socket.hpp>

#include "process/arguments.hpp"
#include "process/messages.hpp"
#include "support/temporary_directory.hpp"
#include "torture/findings.hpp"
#include "torture/kin.hpp"

using namespace qbipc;
using namespace qbipc::testing;
using namespace std::chrono_literals;

namespace {

constexpr auto never_mind = 60s;
constexpr std::size_t clients = 8;
constexpr std::size_t most_lives = 1 << 17;

template <class N>
using Word = std::atomic<N>;

struct alignas(64) Life {
    // the client's
    Word<std::uint64_t> intended = 0, sent = 0, acknowledged = 0;
    Word<std::uint32_t> generation = 0;  ///< of the service that it found
    Word<std::uint32_t> foreign = 0;     ///< answers that were another's, and events that were wrong
    Word<std::int32_t> error = 0;        ///< one that isn't `disconnected`
    // the service's
    Word<std::uint64_t> taken = 0;
    Word<std::uint32_t> gaps = 0, torn = 0;
    Word<std::uint32_t> ended = 0;  ///< on_disconnect has run
    Word<std::uint32_t> strange_end = 0;
};

struct Books {
    Word<std::uint32_t> lives = 0, generation = 0, standing = 0;
    Word<std::uint64_t> connects = 0, disconnects = 0, told = 0;
    std::array<Word<bool>, clients> inside{};  ///< by client: whether it is connected
    std::array<Life, most_lives> life;
};

/// Both sides know how long a message is: some don't fit a frame, some not a lane.
std::size_t size_of_message(std::uint64_t life, std::uint64_t sequence) {
    std::uint64_t mixed = (life << 20 ^ sequence) * 0x9e3779b97f4a7c15u;
    mixed ^= mixed >> 29;
    const auto draw = mixed * 0xbf58476d1ce4e5b9u >> 32;
    if (draw % 40 == 0) return draw % 100'000;
    return draw % 8 == 0 ? draw % 10'000 : draw % 200;
}

template <class T>
Options options_for(const std::string& flag) {
    Options options;
    options.lane_size = 64 << 10;
    options.flag_file = flag;
    return options;
}

// ---- the service

struct Account {
    std::uint64_t life = 0, ticks = 0;
};

template <class T>
int serve(Books& books, const std::string& name, const std::string& flag) {
    const auto enter = [&books](auto& session, std::uint64_t number, std::uint64_t sequence, std::string_view text) {
        Life& life = books.life[number % most_lives];
        session->life = number;
        if (sequence != life.taken + 1) ++life.gaps;
        if (text.size() != size_of_message(number, sequence) || !is_pattern(number + sequence, text)) ++life.torn;
        life.taken = sequence;
    };
    ServiceOptions options;
    static_cast<Options&>(options) = options_for<T>(flag);
    auto service = listen<T>(
        name,
        routes<Account>(on_connect([&](auto&) { ++books.connects; }), on_disconnect([&](auto& session) {
                            ++books.disconnects;
                            Life& life = books.life[session->life % most_lives];
                            ++life.ended;
                            if (session.reason() != EndReason::lost && session.reason() != EndReason::bye)
                                ++life.strange_end;
                        }),
                        on<Note>([enter](auto& session, const Note& note, std::string_view text) {
                            enter(session, note.client, note.sequence, text);
                            if (note.sequence % 4 == 0) {
                                ++session->ticks;
                                (void)session.send(with_tail(Tick{session->ticks}, patterned(session->ticks, 500)));
                            }
                            return Copy<Note>(note, text);
                        }),
                        on<Jot>([enter](auto& session, const Jot& jot, std::string_view text) {
                            enter(session, jot.client, jot.sequence, text);
                        })),
        {}, options);
    if (!service) {
        std::printf("listen: %s\n", service.error().message().c_str());
        return 1;
    }
    static std::optional<Stopper> stop;
    stop = service->stopper();
    std::signal(SIGTERM, [](int) { (*stop)(); });
    ++books.standing;
    return service->run() ? 0 : 1;
}

// ---- the clients

/// One connection after the other until it is killed; another one where its service died.
template <class T>
int live(Books& books, const std::string& name, const std::string& flag, std::size_t which, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Options options = options_for<T>(flag);
    options.wait_for_service = true;
    for (;;) {
        const std::uint32_t number = ++books.lives;  // 0 is of those who never said anything
        Life& life = books.life[number % most_lives];
        life.generation = books.generation.load();
        auto client = Client<T>::connect(name, never_mind, {}, options);
        std::error_code error = client ? std::error_code() : client.error();
        books.inside[which] = client.has_value();
        std::uint64_t last_tick = 0;
        auto ticks = routes(on<Tick>([&](const Tick& tick, std::string_view text) {
            if (tick.number <= last_tick || !is_pattern(tick.number, text) || text.size() != 500) ++life.foreign;
            last_tick = tick.number;
        }));
        for (std::uint64_t sequence = 1; !error; ++sequence) {
            const auto text = patterned(number + sequence, size_of_message(number, sequence));
            life.intended = sequence;
            if (random() % 3 == 0) {
                const auto sent = client->send(with_tail(Jot{number, sequence}, text), never_mind);
                if (!sent) error = sent.error();
            } else {
                const auto answer = client->call(with_tail(Note{number, sequence}, text), never_mind);
                if (!answer) {
                    error = answer.error();
                } else {
                    if ((*answer)->client != number || (*answer)->sequence != sequence ||
                        std::string_view(answer->tail()) != text)
                        ++life.foreign;
                    life.acknowledged = sequence;
                }
            }
            if (!error) life.sent = sequence;
            if (!error && random() % 4 == 0) {
                const auto got = client->dispatch(ticks);
                if (!got) error = got.error();
            }
        }
        if (error != errc::disconnected) {
            life.error = error.value();
            return 1;
        }
        books.inside[which] = false;
        ++books.told;
    }
}

// ---- the storm

template <class T>
class Storm {
public:
    Storm(const char* transport, Findings& findings, bool filesystem)
        : transport_(transport),
          findings_(findings),
          name_("torture-" + std::to_string(::getpid()) + "-storm-" + transport),
          flag_(directory_ / (filesystem ? "force" : "don't")),
          random_(filesystem ? 21 : 20) {
        if (filesystem) std::ofstream(directory_ / "force") << '\n';
        // Root's are in a directory of the system's; whoever else runs this may have none.
        if (::geteuid() != 0) ::setenv("XDG_RUNTIME_DIR", directory_.path().c_str(), 1);
    }

    void rage(long kills) {
        const auto before = left_behind();
        start_service();
        start_clients();
        // The first of everything costs memory once.
        const long first = std::min<long>(kills / 4, 400), second = kills * 6 / 10;
        storm(first, 0);
        calm();
        const Has has = service_has();
        start_clients();
        storm(second, 0);
        calm();
        const Has still = service_has();
        const auto same = [&](const char* what, long then, long now, long allowed) {
            if (std::labs(now - then) > allowed)
                fail(std::string(what) + " of the service: " + std::to_string(then) + ", then " + std::to_string(now));
        };
        same("descriptors", has.descriptors, still.descriptors, 0);
        same("session mappings", 0, still.sessions, 0);
        same("mappings", has.mappings, still.mappings, 2);
        same("resident KiB", has.resident, still.resident, 1024);
        start_clients();
        storm(kills - first - second, 40);
        calm();
        ::kill(service_.pid(), SIGTERM);
        int status = 0;
        if (!comes_true([&] { return service_.ended(status); }) || status != 0) fail("the service doesn't end well");
        audit();
        const auto after = left_behind();
        for (const auto& file : after)
            if (std::find(before.begin(), before.end(), file) == before.end()) fail("left behind: " + file);
        std::printf(
            "  %-5s %6ld clients and %4ld services killed, %7llu messages delivered, %llu acknowledged, %u "
            "lives, %ld of them ended by who killed their service; resident %+ld KiB\n",
            transport_, client_kills_, service_kills_, delivered_, acknowledged_, books_->lives.load(), weak_,
            still.resident - has.resident);
    }

private:
    struct Has {
        long descriptors, sessions, mappings, resident;
    };

    void fail(const std::string& what) { findings_.fail(std::string(transport_) + ": " + what); }

    void start_service() {
        ++books_->generation;
        const auto standing = books_->standing.load();
        books_->connects = books_->disconnects = 0;
        service_ = Kin([&] { return serve<T>(*books_, name_, flag_); });
        if (!comes_true([&] { return books_->standing > standing; })) fail("the service doesn't stand up again");
        if (baseline_ == 0) baseline_ = open_descriptors(std::to_string(service_.pid()));
    }
    void start_client(std::size_t which) {
        const auto seed = random_.below(~std::uint64_t{0});
        books_->inside[which] = false;
        clients_[which] = Kin([&] { return live<T>(*books_, name_, flag_, which, seed); });
    }
    void start_clients() {
        for (std::size_t i = 0; i < clients; ++i) start_client(i);
    }

    void storm(long kills, std::uint64_t one_service_in) {
        for (long kill = 0; kill < kills && !findings_.hopeless(); ++kill) {
            // Not a wait for anything: where in their work it finds them is what is drawn at random.
            ::usleep(static_cast<useconds_t>(random_.below(3'000)));
            if (one_service_in != 0 && random_.one_in(one_service_in)) {
                const auto disconnected = books_->told.load();
                const auto& inside = books_->inside;
                const bool somebody =
                    std::any_of(inside.begin(), inside.end(), [](const auto& is) { return is.load(); });
                service_.kill();
                ++service_kills_;
                start_service();
                if (somebody && !comes_true([&] { return books_->told > disconnected; }))
                    fail("no client is told that its service died");
            } else {
                const auto which = random_.below(clients);
                int status = 0;
                if (clients_[which].ended(status)) fail("a client ended by itself, status " + std::to_string(status));
                clients_[which].kill();
                ++client_kills_;
                start_client(which);
            }
            ++findings_.kills;
        }
    }

    /// All clients are killed, and the service has noticed, of those too who died at its door and have no session: they
    /// may have to wait for their turn there.
    void calm() {
        for (auto& client : clients_) {
            client.kill();
            ++client_kills_;
            ++findings_.kills;
        }
        if (!comes_true([&] {
                const auto pid = std::to_string(service_.pid());
                return session_mappings(pid) == 0 && books_->connects == books_->disconnects &&
                       open_descriptors(pid) <= baseline_;
            }))
            fail("sessions of dead clients stay");
    }

    /// What it comes to: what stays for a while. A visitor that died at the door may be let in for a moment.
    Has service_has() {
        const auto now = [pid = service_.pid(), text = std::to_string(service_.pid())] {
            return Has{open_descriptors(text), session_mappings(text), mappings(pid), resident(pid)};
        };
        Has has = now();
        (void)comes_true([&] {
            ::usleep(20'000);
            const Has before = std::exchange(has, now());
            return has.descriptors <= baseline_ && has.sessions == 0 && has.descriptors == before.descriptors &&
                   has.mappings == before.mappings;
        });
        return has;
    }

    void audit() {
        const std::uint32_t lives = books_->lives, last = books_->generation;
        if (lives >= most_lives) return fail("more lives than the books have pages for");
        for (std::uint32_t number = 1; number <= lives; ++number) {
            const Life& life = books_->life[number];
            const auto wrong = [&](const char* what) {
                fail("life " + std::to_string(number) + ": " + what + "; intended " + std::to_string(life.intended) +
                     ", sent " + std::to_string(life.sent) + ", acknowledged " + std::to_string(life.acknowledged) +
                     ", taken " + std::to_string(life.taken));
            };
            delivered_ += life.taken;
            acknowledged_ += life.acknowledged;
            if (life.gaps != 0) wrong("gaps");
            if (life.torn != 0) wrong("torn");
            if (life.foreign != 0) wrong("answers of somebody else");
            if (life.strange_end != 0) wrong("its session ended for a wrong reason");
            if (life.error != 0)
                wrong(std::make_error_code(static_cast<std::errc>(life.error.load())).message().c_str());
            if (life.taken > life.intended) wrong("more taken than sent");
            if (life.taken < life.acknowledged) wrong("acknowledged and not taken");
            // Its service outlived it: then everything sent was taken.
            const bool outlived = life.ended != 0 || life.generation == last;
            if (outlived && life.taken < life.sent) wrong("sent and lost");
            if (!outlived && life.sent != 0) ++weak_;
            if (life.generation == last && life.taken != 0 && life.ended != 1) wrong("on_disconnect didn't run once");
        }
        if (acknowledged_ == 0) fail("nothing was acknowledged");
    }

    /// What others would see of it.
    std::vector<std::string> left_behind() const {
        std::vector<std::string> found;
        const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
        for (const std::string& folder :
             {std::string("/dev/shm"), std::string("/tmp"), std::string("/run/qbipc"),
              std::string(runtime ? runtime : "/run/user/" + std::to_string(::geteuid())) + "/qbipc"}) {
            std::error_code ignored;
            for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
                const auto file = entry.path().string();
                const bool ours = file.find(name_) != file.npos || folder == "/dev/shm";
                if (ours && file.find("torture") != file.npos) found.push_back(file);
                if (folder == "/dev/shm" && file.find("qbipc") != file.npos) found.push_back(file);
            }
        }
        return found;
    }

    const char* transport_;
    Findings& findings_;
    const TemporaryDirectory directory_;
    const std::string name_, flag_;
    Random random_;
    Shared<Books> books_;
    Kin service_;
    std::array<Kin, clients> clients_;
    long client_kills_ = 0, service_kills_ = 0, weak_ = 0;
    int baseline_ = 0;
    unsigned long long delivered_ = 0, acknowledged_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    const Words words(argc, argv);
    const long kills = words.number("--kills", words.full() ? 20'000 : 3'000);
    Findings findings;
    Storm<ShmRing>("shm", findings, false).rage(kills / 2);
    // The sockets of this one are files.
    Storm<UnixSocket>("unix", findings, true).rage(kills / 2);
    return findings.end("storm", std::to_string(clients) + " clients");
}
