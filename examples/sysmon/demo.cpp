// SPDX-License-Identifier: BSL-1.0
// demo.cpp: sysmon at work, over both transports, in real processes that are really killed. Every line that begins with
// "ok" was checked; the first thing that differs from what is announced ends it with status 1.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <sys/resource.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "child.hpp"

namespace {

using namespace std::chrono_literals;
using demo::Child;
using demo::Clock;
using demo::Ending;
using Lines = std::vector<std::string>;

constexpr auto patience = 20s;  // for each step; all of them together take a few seconds
constexpr uid_t somebody = 54321;

Clock::time_point soon() { return Clock::now() + patience; }

void say(const std::string& text) {
    std::printf("%s\n", text.c_str());
    std::fflush(stdout);
}

struct Differs {
    std::string what;
};

/// One announced thing: true, or the end of the demo.
void check(bool is_so, const std::string& what) {
    if (!is_so) throw Differs{what};
    say("  ok  " + what);
}

bool any_with(const Lines& lines, const std::string& text) {
    for (const auto& line : lines)
        if (line.find(text) != std::string::npos) return true;
    return false;
}

double milliseconds_since(Clock::time_point start) {
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

std::string rounded(double milliseconds) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f ms", milliseconds);
    return text;
}

/// The next line of the child's output that has all of these texts; where none comes, its last words and the end.
std::string expect(Child& child, const Lines& texts, const std::string& what) {
    if (auto line = child.line_with(texts, soon())) return *line;
    for (const auto& line : child.recent()) say("      | " + line);
    throw Differs{what};
}

class Demo {
public:
    explicit Demo(std::string program) : program_(std::move(program)) {}

    void run(const std::string& transport, const std::string& type) {
        transport_ = transport;
        say("\n" + type + ": starting the service as its own process");
        Child service(program_, command({"serve"}));
        expect(service, {"serves", type}, "the service listens");
        check(true, "it listens, as \"" + name_ + "\"");

        ask(service);
        if (::getuid() == 0) ask_as_somebody(service);
        kill_a_client(service);
        kill_the_service(service);
        stop_the_next_one(type);
    }

    /// Nothing of ours may be left where sockets and shared memory leave things.
    void look_for_leftovers() const {
        say("\nlooking for what was left behind");
        std::set<std::string> places = {"/dev/shm", "/tmp", "/run/qbipc",
                                        "/run/user/" + std::to_string(::getuid()) + "/qbipc"};
        if (const char* runtime = std::getenv("XDG_RUNTIME_DIR")) places.insert(std::string(runtime) + "/qbipc");
        for (const auto& place : places) {
            bool found = false;
            std::error_code none;
            for (const auto& entry : std::filesystem::directory_iterator(place, none))
                found = found || entry.path().filename().string().find(name_) != std::string::npos ||
                        (place == "/dev/shm" && entry.path().filename().string().find("qbipc") != std::string::npos);
            check(!found, "nothing of ours in " + place);
        }
    }

private:
    Lines command(const Lines& words) const {
        Lines all = {"sysmon", "--transport", transport_, "--name", name_};
        all.insert(all.end(), words.begin(), words.end());
        return all;
    }

    /// Runs a client to its end and gives its output.
    Lines client(const Lines& words, int expected_status, std::optional<uid_t> user = std::nullopt) {
        Child child(program_, command(words), user);
        auto lines = child.rest(soon());
        const auto end = child.ending(soon());
        if (end != Ending{false, expected_status}) {
            for (const auto& line : lines) say("      | " + line);
            throw Differs{"`sysmon " + words.front() + "` ends with status " + std::to_string(expected_status)};
        }
        return lines;
    }

    void ask(const Child& service) {
        say("  a client asks for a snapshot:");
        const auto machine = client({"snapshot"}, 0);
        for (const auto& line : machine) say("      | " + line);
        check(any_with(machine, "memory") && any_with(machine, "cpu0") && any_with(machine, "PID"),
              "it shows cores, memory and processes");

        const auto pid = std::to_string(service.pid());
        const auto details = client({"process", pid}, 0);
        check(any_with(details, "process     " + pid + " ") && any_with(details, "--name " + name_ + " serve") &&
                  any_with(details, "0 -> "),
              "process " + pid + " is the service: its command line and descriptors are shown");
        check(any_with(client({"process", "2147483647"}, 1), "No such process"),
              "a process that isn't there is an error of the application's own, not the connection's");

        // The demo itself is the one whose nice value changes: upwards, which anybody may do to himself.
        const int nice = ::getpriority(PRIO_PROCESS, 0);
        const auto wish = std::min(nice + 1, 19);
        client({"renice", std::to_string(::getpid()), std::to_string(wish)}, 0);
        check(::getpriority(PRIO_PROCESS, 0) == wish,
              "renice really did: this demo now runs at nice " + std::to_string(wish));
    }

    void ask_as_somebody(Child& service) {
        const auto pid = std::to_string(service.pid());
        if (Child trial(program_, {"sysmon", "--help"}, somebody); trial.ending(soon()) != Ending{false, 0}) {
            say("  --  this container has no other user: what he may do isn't shown");
            return;
        }
        check(any_with(client({"snapshot"}, 0, somebody), "memory"), "another user may look");
        check(any_with(client({"process", pid}, 0, somebody), "not for you to see"),
              "but sees no descriptors of the service's");
        check(any_with(client({"renice", pid, "19"}, 1, somebody), "policy refused"),
              "and may not renice: a policy refused it");
    }

    void kill_a_client(Child& service) {
        say("  two clients watch, every 20 and every 50 ms");
        Child first(program_, command({"watch", "--interval", "20"}));
        watcher_.emplace(program_, command({"watch", "--interval", "50"}));
        for (int i = 0; i < 5; ++i)
            for (Child* watching : {&first, &*watcher_}) expect(*watching, {"cpu"}, "samples arrive");
        check(true, "both receive their samples");

        say("  killing the first (SIGKILL) in the middle of its stream");
        const auto killed = Clock::now();
        first.kill(SIGKILL);
        const auto logged = expect(service, {"pid " + std::to_string(first.pid()), "died"}, "the service logs it");
        check(true, "the service saw it after " + rounded(milliseconds_since(killed)) + ": " + logged);
        for (int i = 0; i < 5; ++i) expect(*watcher_, {"cpu"}, "the other goes on");
        check(true, "the other goes on receiving");
        check(any_with(client({"snapshot"}, 0), "memory"), "and the service answers new clients");
    }

    void kill_the_service(Child& service) {
        say("  killing the service (SIGKILL) in the middle of the stream");
        const auto killed = Clock::now();
        service.kill(SIGKILL);
        const auto last_words = expect(*watcher_, {"disconnected"}, "the client sees it");
        check(true, "the client saw it after " + rounded(milliseconds_since(killed)) + ": " + last_words);
        check(watcher_->ending(soon()) == Ending{false, 1}, "and ended by itself, with status 1");
        watcher_.reset();
        check(service.ending(soon()) == Ending{true, SIGKILL}, "the service is dead");
        check(any_with(client({"snapshot"}, 1), "no service"), "who comes now is told that there is no service");
    }

    void stop_the_next_one(const std::string& type) {
        say("  starting the service again at the same address");
        Child service(program_, command({"serve"}));
        expect(service, {"serves", type}, "the next service listens");
        check(true, "it listens: nothing of the dead one is in its way");
        check(any_with(client({"snapshot"}, 0), "memory"), "and answers");
        service.kill(SIGTERM);
        expect(service, {"has stopped"}, "asked by SIGTERM, it stops");
        check(service.ending(soon()) == Ending{false, 0}, "asked by SIGTERM, it stops cleanly");
    }

    std::string program_;
    std::string name_ = "sysmon-demo-" + std::to_string(::getpid());
    std::string transport_;
    std::optional<Child> watcher_;
};

}  // namespace

int main() {
    const auto started = Clock::now();
    const auto path = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "sysmon";
    try {
        Demo demo(path);
        demo.run("shm", "ShmRing");
        demo.run("unix", "UnixSocket");
        demo.look_for_leftovers();
    } catch (const Differs& differs) {
        say("  DIFFERS: " + differs.what);
        return 1;
    }
    say("\nall as announced, in " + rounded(milliseconds_since(started)));
    return 0;
}
