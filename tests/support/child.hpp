// SPDX-License-Identifier: BSL-1.0
// A helper program (tests/process/NAME.cpp) as a child process, spoken to in lines. No test hangs on it: what waits for
// the child has a deadline, at which the child is killed.
#pragma once

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <string>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "support/patience.hpp"

namespace qbipc::testing {

class Child {
public:
    static constexpr std::chrono::milliseconds patience = patience_of(std::chrono::seconds(60));

    /// What a child gets besides its arguments.
    struct With {
        std::vector<std::string> environment = {};  ///< "NAME=value", in front of the runner's own
        int descriptor = -1;                        ///< becomes 3
    };

    Child(const std::string& helper, const std::vector<std::string>& arguments) : Child(helper, arguments, With{}) {}
    Child(const std::string& helper, const std::vector<std::string>& arguments, const With& with) {
        // A socket for its input: writing to one who has died is then no SIGPIPE.
        int in[2], out[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in) != 0 || ::pipe2(out, O_CLOEXEC) != 0) std::abort();
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, in[0], 0);
        ::posix_spawn_file_actions_adddup2(&actions, out[1], 1);
        if (with.descriptor >= 0) ::posix_spawn_file_actions_adddup2(&actions, with.descriptor, 3);
        const char* const folder = std::getenv("QBIPC_TEST_PROGRAMS");
        std::vector<std::string> words{std::string(folder ? folder : ".") + "/helper-" + helper};
        words.insert(words.end(), arguments.begin(), arguments.end());
        std::vector<std::string> environment = with.environment;
        std::vector<char*> argv, envp;
        for (auto& word : words) argv.push_back(word.data());
        argv.push_back(nullptr);
        for (auto& variable : environment) envp.push_back(variable.data());
        for (char** variable = environ; *variable != nullptr; ++variable) envp.push_back(*variable);
        envp.push_back(nullptr);
        if (::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), envp.data()) != 0) pid_ = -1;
        ::posix_spawn_file_actions_destroy(&actions);
        ::close(in[0]);
        ::close(out[1]);
        in_ = in[1];
        out_ = out[0];
    }
    Child(Child&& other) noexcept
        : pid_(std::exchange(other.pid_, -1)),
          in_(std::exchange(other.in_, -1)),
          out_(std::exchange(other.out_, -1)),
          read_(std::move(other.read_)) {}
    Child& operator=(Child&& other) noexcept {
        std::swap(pid_, other.pid_);
        std::swap(in_, other.in_);
        std::swap(out_, other.out_);
        std::swap(read_, other.read_);
        return *this;
    }
    ~Child() {
        close_input();
        if (out_ >= 0) ::close(out_);
        if (pid_ > 0) kill();
    }

    /// Whether it could be started, which needs QBIPC_TEST_PROGRAMS.
    bool started() const { return pid_ > 0; }
    pid_t pid() const { return pid_; }

    void tell(const std::string& line) {
        const auto text = line + '\n';
        [[maybe_unused]] const auto written = ::send(in_, text.data(), text.size(), MSG_NOSIGNAL);
    }

    /// Helpers end themselves when their input ends.
    void close_input() {
        if (in_ >= 0) ::close(std::exchange(in_, -1));
    }

    /// The next line; empty at the end of the output, or when `limit` has passed.
    std::string line(std::chrono::milliseconds limit = patience) {
        const auto end = std::chrono::steady_clock::now() + limit;
        for (;;) {
            if (const auto newline = read_.find('\n'); newline != read_.npos) {
                auto line = read_.substr(0, newline);
                read_.erase(0, newline + 1);
                return line;
            }
            const auto rest = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
            pollfd descriptor{out_, POLLIN, 0};
            if (rest.count() <= 0) return {};
            if (::poll(&descriptor, 1, static_cast<int>(rest.count())) <= 0) continue;
            char buffer[4096];
            const auto got = ::read(out_, buffer, sizeof buffer);
            if (got == 0 || (got < 0 && errno != EINTR)) return {};
            if (got > 0) read_.append(buffer, static_cast<std::size_t>(got));
        }
    }

    std::string ask(const std::string& question) {
        tell(question);
        return line();
    }

    void signal(int number) const {
        if (pid_ > 0) ::kill(pid_, number);
    }

    /// The wait status (WIFEXITED and so on). One that doesn't end by itself is killed, and has SIGKILL as its status.
    int wait(std::chrono::milliseconds limit = patience) {
        if (pid_ <= 0) return -1;
        // The number stays its own until it is waited for.
        const int descriptor = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
        pollfd end{descriptor, POLLIN, 0};
        const auto until = std::chrono::steady_clock::now() + limit;
        while (descriptor >= 0) {
            const auto rest = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
            if (rest.count() <= 0 || ::poll(&end, 1, static_cast<int>(rest.count())) > 0) break;
        }
        if (descriptor >= 0 && end.revents == 0) ::kill(pid_, SIGKILL);
        if (descriptor >= 0) ::close(descriptor);
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return status;
    }

    int kill(int signal = SIGKILL) {
        this->signal(signal);
        return wait();
    }

private:
    pid_t pid_ = -1;
    int in_ = -1;
    int out_ = -1;
    std::string read_;
};

}  // namespace qbipc::testing
