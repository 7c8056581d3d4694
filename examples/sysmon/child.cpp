// SPDX-License-Identifier: BSL-1.0
// child.cpp: a child process whose output is read line by line.
#include "child.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace demo {
namespace {

using namespace std::chrono_literals;

/// For poll(): at least one, so that a short rest of time isn't a busy loop.
int milliseconds_until(Clock::time_point until) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

}  // namespace

Child::Child(const std::string& program, std::vector<std::string> arguments, std::optional<uid_t> user) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    std::vector<char*> argv;
    argv.reserve(arguments.size() + 1);
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);

    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ == 0) {
        // Opened before the user changes: the way there may be closed to him.
        const int file = ::open(program.c_str(), O_PATH | O_CLOEXEC);
        const bool became = !user || (::setgroups(0, nullptr) == 0 && ::setgid(*user) == 0 && ::setuid(*user) == 0);
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!became || ::getppid() != parent) ::_exit(126);
        ::dup2(ends[1], STDOUT_FILENO);
        ::dup2(ends[1], STDERR_FILENO);
        ::execv(program.c_str(), argv.data());
        if (errno == EACCES) ::fexecve(file, argv.data(), environ);
        ::_exit(127);
    }
    ::close(ends[1]);
    output_ = ends[0];
}

Child::~Child() {
    if (!ending_) {
        kill(SIGKILL);
        ending(Clock::now() + 10s);
    }
    if (output_ >= 0) ::close(output_);
}

std::optional<std::string> Child::line(Clock::time_point until) {
    while (true) {
        if (const auto end = read_.find('\n'); end != std::string::npos) {
            auto line = read_.substr(0, end);
            read_.erase(0, end + 1);
            recent_.push_back(line);
            if (recent_.size() > 10) recent_.pop_front();
            return line;
        }
        pollfd watched{output_, POLLIN, 0};
        const int ready = ::poll(&watched, 1, milliseconds_until(until));
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return std::nullopt;
        char block[4096];
        const auto got = ::read(output_, block, sizeof block);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return std::nullopt;
        read_.append(block, static_cast<std::size_t>(got));
    }
}

std::optional<std::string> Child::line_with(const std::vector<std::string>& texts, Clock::time_point until) {
    while (auto next = line(until))
        if (std::all_of(texts.begin(), texts.end(),
                        [&](const auto& text) { return next->find(text) != std::string::npos; }))
            return next;
    return std::nullopt;
}

std::vector<std::string> Child::rest(Clock::time_point until) {
    std::vector<std::string> lines;
    while (auto next = line(until)) lines.push_back(std::move(*next));
    return lines;
}

void Child::kill(int signal) {
    if (pid_ > 0 && !ending_) ::kill(pid_, signal);  // not reaped yet, so the number is still its own
}

std::optional<Ending> Child::ending(Clock::time_point until) {
    if (ending_ || pid_ <= 0) return ending_;
    pollfd watched{static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)), POLLIN, 0};  // readable when it has ended
    int ready = -1;
    do {
        ready = ::poll(&watched, 1, milliseconds_until(until));
    } while (ready < 0 && errno == EINTR);
    ::close(watched.fd);

    int status = 0;
    if (ready > 0 && ::waitpid(pid_, &status, 0) == pid_)
        ending_ = WIFSIGNALED(status) ? Ending{true, WTERMSIG(status)} : Ending{false, WEXITSTATUS(status)};
    return ending_;
}

}  // namespace demo
