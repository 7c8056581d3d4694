// SPDX-License-Identifier: BSL-1.0
// Starts another helper in namespaces of its own:  apart WHAT,WHAT... HELPER ARGUMENTS...
//   a number   as that user, from here on
//   user       a user namespace in which this user is root, and nobody else is mapped
//   unmapped   a user namespace in which nobody is mapped
//   pid, net, mount
//   full-shm   a /dev/shm of its own without a free page
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <grp.h>
#include <sched.h>
#include <sstream>
#include <string>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

bool put(const char* path, const std::string& text) {
    std::ofstream file(path);
    return static_cast<bool>(file << text << std::flush);
}

/// A file system of one page there, and a file that has it. Nothing more can be written then.
bool fill_up(const std::string& folder) {
    if (::mount("none", folder.c_str(), "tmpfs", 0, "size=4096") != 0) return false;
    const int file = ::open((folder + "/all").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const std::string page(4096, 'x');
    return ::write(file, page.data(), page.size()) == 4096 && ::write(file, "x", 1) < 0 && errno == ENOSPC;
}

bool enter(const std::string& what) {
    const uid_t user = ::geteuid();
    const gid_t group = ::getegid();
    if (what == "user") {
        return ::unshare(CLONE_NEWUSER) == 0 && put("/proc/self/setgroups", "deny") &&
               put("/proc/self/uid_map", "0 " + std::to_string(user) + " 1") &&
               put("/proc/self/gid_map", "0 " + std::to_string(group) + " 1");
    }
    if (what == "unmapped") return ::unshare(CLONE_NEWUSER) == 0;
    if (what == "net") return ::unshare(CLONE_NEWNET) == 0;
    if (what == "mount")
        return ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
    if (what == "full-shm") return enter("mount") && fill_up("/dev/shm");
    if (what == "pid") {
        if (::unshare(CLONE_NEWPID) != 0) return false;
        const pid_t child = ::fork();
        if (child == 0) return ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
        int status = 0;
        ::waitpid(child, &status, 0);
        std::_Exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
    }
    const auto other = static_cast<uid_t>(std::strtoul(what.c_str(), nullptr, 10));
    return other != 0 && ::setgroups(0, nullptr) == 0 && ::setresgid(other, other, other) == 0 &&
           ::setresuid(other, other, other) == 0 && ::prctl(PR_SET_DUMPABLE, 1) == 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    const char* const folder = std::getenv("QBIPC_TEST_PROGRAMS");
    const std::string program = std::string(folder != nullptr ? folder : ".") + "/helper-" + argv[2];
    // Another user may not get at the folder.
    const int file = ::open(program.c_str(), O_PATH | O_CLOEXEC);
    std::istringstream list(argv[1]);
    for (std::string what; std::getline(list, what, ',');) {
        if (!enter(what)) {
            std::puts("apart: not possible here");
            return 3;
        }
    }
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::syscall(SYS_execveat, file, "", argv + 2, environ, AT_EMPTY_PATH);
    return 4;
}
