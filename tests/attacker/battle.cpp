// SPDX-License-Identifier: BSL-1.0
// The victims and their friends, as processes that are asked in lines.
#include "attacker/battle.hpp"

#include <csignal>

namespace attacker {

namespace {

/// What a process takes from the heap is full of poison, so that it shows where it gets out.
Child::With poisoned() {
    const char* const given = std::getenv("ASAN_OPTIONS");
    return {.environment = {"MALLOC_PERTURB_=90",  // glibc fills with the complement: 0xa5
                            "ASAN_OPTIONS=" + std::string(given ? given : "") +
                                ":malloc_fill_byte=165:max_malloc_fill_size=1048576:detect_leaks=1"}};
}

}  // namespace

bool Fortress::open() {
    service_.emplace(
        "peer",
        std::vector<std::string>{"serve", transport, name, "handshake=" + std::to_string(handshake_limit.count()),
                                 "takes_descriptors=1"},
        poisoned());
    if (service_->line() != "ready") return false;
    const auto alone = status()["fds"];
    friends_.emplace("victim", std::vector<std::string>{"friends", transport, name, std::to_string(friends)});
    if (friends_->line() != "ready" || !comes_to("sessions", friends)) return false;
    each_ = (status()["fds"] - alone) / friends;
    return true;
}

Numbers Fortress::status() {
    auto numbers = numbers_in(service_->ask("status"));
    need(!numbers.empty(), "the service answers no more");
    return numbers;
}

bool Fortress::comes_to(const std::string& what, long long value) {
    return eventually([&] { return status()[what] == value; });
}

void Fortress::remember() { before_ = status(); }

void Fortress::must_stand() {
    need(comes_to("sessions", friends), "sessions are left: " + std::to_string(status()["sessions"] - friends));
    need(comes_to("half_open", 0), "half-open connections are left");
    need(comes_to("fds", before_["fds"]), "descriptors are left: " + std::to_string(status()["fds"] - before_["fds"]));
    need(comes_to("maps", before_["maps"]), "mappings are left");
    const auto now = status();
    need(now.at("connects") - now.at("disconnects") == friends, "on_connect and on_disconnect don't pair");
    friends_must_go_on();
}

void Fortress::friends_must_go_on() {
    const auto least = [&] {
        const auto said = numbers_in(friends_->ask("count"));
        need(!said.empty(), "the honest clients answer no more");
        need(said.at("failed") == 0, "an honest client was cut, or its call failed");
        need(said.at("wrong") == 0, "an honest client got a wrong answer");
        return said.at("least");
    };
    const long long before = least();
    need(eventually([&] { return least() >= before + 3; }), "an honest client waits for its answer");
}

long long Fortress::slowest_call_us() { return numbers_in(friends_->ask("count"))["slowest_us"]; }

void Fortress::must_end_well() {
    friends_->close_input();
    need(WIFEXITED(friends_->wait()), "the honest clients were killed");
    service_->signal(SIGTERM);
    while (true) {
        const auto last = service_->line();
        if (last == "stopped") break;
        need(!last.empty(), "the service doesn't stop");
    }
    const int status = service_->wait();
    need(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the service ended badly");
}

Visitor::Visitor(bool shm) : shared_memory(shm), child_("victim", {"visitor", shm ? "shm" : "unix", "-"}, poisoned()) {}

void Visitor::begin(const std::string& command) { child_.tell(command); }
std::string Visitor::outcome() {
    auto said = child_.line();
    need(!said.empty(), "the client answers no more");
    return said;
}

void Visitor::remember() {
    need(alive(), "the client answers no more");
    descriptors_ = descriptors_of(child_.pid());
    mappings_ = mappings_of(child_.pid());
}
void Visitor::must_stand() {
    need(does("drop") == "dropped", "the client can't let go");
    need(eventually([&] { return descriptors_of(child_.pid()) == descriptors_; }), "the client keeps descriptors");
    need(eventually([&] { return mappings_of(child_.pid()) == mappings_; }), "the client keeps mappings");
}
void Visitor::must_end_well() {
    child_.close_input();
    const int status = child_.wait();
    need(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the client ended badly");
}

}  // namespace attacker
