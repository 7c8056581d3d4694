// SPDX-License-Identifier: BSL-1.0
// child.hpp: a child process whose output is read line by line; nothing of it survives the object.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace demo {

using Clock = std::chrono::steady_clock;

/// What became of a process.
struct Ending {
    bool killed = false;
    int number = 0;  ///< the exit status, or the signal
    friend bool operator==(const Ending&, const Ending&) = default;
};

/// A running program. Standard output and error come through one pipe; the child is killed with this object, and with
/// this process, whatever way that ends.
class Child {
public:
    /// Starts the file `program` with these arguments; as another user, where given.
    Child(const std::string& program, std::vector<std::string> arguments, std::optional<uid_t> user = std::nullopt);
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child();

    pid_t pid() const { return pid_; }

    /// The next line, as soon as it is there; nothing where the output has ended, or the deadline has passed.
    std::optional<std::string> line(Clock::time_point until);

    /// Reads on to the next line that has all of these texts; nothing as above.
    std::optional<std::string> line_with(const std::vector<std::string>& texts, Clock::time_point until);

    /// All lines that are still to come.
    std::vector<std::string> rest(Clock::time_point until);

    /// The last few lines that line() gave, for when something went wrong.
    const std::deque<std::string>& recent() const { return recent_; }

    void kill(int signal);

    /// How it ended; nothing where it goes on past the deadline.
    std::optional<Ending> ending(Clock::time_point until);

private:
    pid_t pid_ = -1;
    int output_ = -1;
    std::string read_;  // not given out yet
    std::deque<std::string> recent_;
    std::optional<Ending> ending_;
};

}  // namespace demo
