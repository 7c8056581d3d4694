// SPDX-License-Identifier: BSL-1.0
// Every system call of a service's and a client's life fails once with each error that it may give, or moves one byte.
//
// usage: system_calls [--full | --plain | --first]
// --first: the first finding ends it.
// --plain: lives a whole life over each transport, by the library's own kernel, without a fault of its own: for strace,
// which makes the faults then.
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>
#include <system_error>
#include <vector>

#include <qbipc/transport/shm_ring.hpp>
#include <qbipc/transport/unix_socket.hpp>

#include "faults/life.hpp"
#include "support/faulty_kernel.hpp"
#include "support/temporary_directory.hpp"

namespace {

using namespace faults;
using qbipc::errc;
using qbipc::testing::Call;
using qbipc::testing::FaultyKernel;
using qbipc::testing::KernelPlan;

struct Kind {
    Call call;
    const char* name;
    std::vector<int> errors;
};

/// The errors that each call documents and that a running system can give; EINTR where the library is told of it.
const std::vector<Kind>& kinds() {
    constexpr int cut = KernelPlan::cut_short;
    static const std::vector<Kind> all{
        {Call::socket, "socket", {EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES}},
        {Call::socketpair, "socketpair", {EMFILE, ENFILE, ENOBUFS, ENOMEM}},
        {Call::bind, "bind", {EACCES, EADDRINUSE, ENOMEM, ENOSPC, EROFS}},
        {Call::listen, "listen", {EADDRINUSE, ENOBUFS}},
        {Call::accept4, "accept4", {EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EPERM, EAGAIN}},
        {Call::connect, "connect", {ECONNREFUSED, EAGAIN, EINTR, EACCES, EPERM}},
        {Call::shutdown, "shutdown", {ENOTCONN, ENOBUFS}},
        // Not EAGAIN: to a bell it says that the peer has a whole buffer of them, and so is awake. Said of an empty
        // one, by no kernel, it would lose the bell; frames on a full socket are tests/conformance/stalls.cpp's.
        {Call::send, "send", {ECONNRESET, EPIPE, ENOBUFS, ENOMEM, cut}},
        {Call::recv, "recv", {EAGAIN, ECONNRESET, ENOMEM, cut}},
        {Call::sendmsg, "sendmsg", {EAGAIN, ECONNRESET, EPIPE, ENOBUFS, ETOOMANYREFS, cut}},
        {Call::recvmsg, "recvmsg", {EAGAIN, ECONNRESET, ENOMEM, cut}},
        {Call::getsockopt, "getsockopt", {ENOPROTOOPT, ENOBUFS, ENOMEM}},
        {Call::setsockopt, "setsockopt", {EDOM, ENOMEM, ENOPROTOOPT}},
        {Call::ppoll, "ppoll", {EINTR, ENOMEM}},
        {Call::epoll_create1, "epoll_create1", {EMFILE, ENFILE, ENOMEM}},
        {Call::epoll_ctl, "epoll_ctl", {ENOSPC, ENOMEM}},
        {Call::epoll_wait, "epoll_wait", {EINTR}},
        {Call::eventfd, "eventfd", {EMFILE, ENFILE, ENODEV, ENOMEM}},
        {Call::timerfd_create, "timerfd_create", {EMFILE, ENFILE, ENODEV, ENOMEM}},
        {Call::inotify_init1, "inotify_init1", {EMFILE, ENFILE, ENOMEM}},
        {Call::inotify_add_watch, "inotify_add_watch", {EACCES, ENOMEM, ENOSPC, ENOENT}},
        {Call::fcntl, "fcntl", {EBUSY, EPERM, EINVAL, EMFILE}},
        {Call::memfd_create, "memfd_create", {EMFILE, ENFILE, ENOMEM, EINVAL}},
        {Call::ftruncate, "ftruncate", {EFBIG, ENOSPC, EPERM, EIO}},
        {Call::fallocate, "fallocate", {ENOSPC, EOPNOTSUPP, ENOMEM, EIO}},
        {Call::madvise, "madvise", {ENOMEM, EAGAIN, EINVAL, EFAULT}},
        {Call::mincore, "mincore", {EAGAIN, ENOMEM}},
        {Call::mlock, "mlock", {ENOMEM, EPERM, EAGAIN}},
        {Call::getrlimit, "getrlimit", {EPERM}},
        {Call::openat, "openat", {EMFILE, ENFILE, ENOMEM, EACCES, ELOOP}},
        {Call::mkdirat, "mkdirat", {EACCES, ENOSPC, EROFS, ENOMEM}},
        {Call::unlinkat, "unlinkat", {EACCES, EBUSY, EIO}},
        {Call::flock, "flock", {EWOULDBLOCK, ENOLCK}},
        {Call::fstat, "fstat", {ENOMEM, EOVERFLOW}},
        {Call::fstatat, "fstatat", {EACCES, ENOMEM, ELOOP}},
        {Call::fstatfs, "fstatfs", {EIO, ENOMEM}},
        {Call::fchmod, "fchmod", {EPERM, EIO, EROFS}},
        {Call::fchmodat, "fchmodat", {EPERM, EIO, EROFS}},
        {Call::fchownat, "fchownat", {EPERM, EIO, EROFS}},
    };
    return all;
}

class FailingCall final : public Suffering {
public:
    FailingCall(const Kind& kind, int error, std::uint64_t at) : kind_(kind), error_(error), at_(at) {}

    void plan() override { FaultyKernel::plan() = {kind_.call, at_, 1, error_, 0, 0, FaultyKernel::plan().held_up}; }
    void begin() override { --FaultyKernel::plan().held_up; }
    void end() override { ++FaultyKernel::plan().held_up; }
    bool over() override {
        const auto failed = FaultyKernel::plan().failed;
        report.injected(failed);
        FaultyKernel::plan() = {};
        return failed != 0;
    }
    bool explains(std::error_code error) const override {
        if (error_ == EINTR) return false;  // never comes out, and nothing fails for it
        if (error == std::error_code(error_, std::system_category())) return true;
        for (const auto named :
             {errc::disconnected, errc::busy, errc::no_service, errc::not_supported, errc::address_in_use,
              errc::no_runtime_directory, errc::memory_not_locked, errc::lane_full, errc::descriptors_refused})
            if (error == named) return true;
        // A client asks of what it was handed which seals it has, and what kind of socket it is. The kernel only
        // refuses to say so of what is neither such a file nor a socket: of a service that hands over something else.
        if ((kind_.call == Call::fcntl || kind_.call == Call::getsockopt) && error == errc::protocol_violation)
            return true;
        return error == std::errc::not_enough_memory;
    }
    std::string text() const override {
        return std::string(kind_.name) + " " + std::to_string(at_) + ": " +
               (error_ == KernelPlan::cut_short ? "cut short" : std::system_category().message(error_));
    }

private:
    const Kind& kind_;
    int error_;
    std::uint64_t at_;
};

/// No fault of this program's making.
struct NoFault final : Suffering {
    void plan() override {}
    void begin() override {}
    void end() override {}
    bool over() override { return false; }
    bool explains(std::error_code) const override { return false; }
    std::string text() const override { return "no fault"; }
};

/// Where a service stands, and what must be left there.
struct Place {
    const char* name;
    bool by_path;
    bool flag_up;
};
constexpr std::array<Place, 3> places{
    {{"abstract", false, false}, {"socket file", true, false}, {"runtime directory", false, true}}};

class Stage {
public:
    Stage() : flag_(directory_ / "flag"), sockets_(directory_ / "sockets") {
        FaultyKernel::use(directory_.path());
        std::filesystem::create_directory(sockets_);
        std::filesystem::create_directories(FaultyKernel::users);
    }
    qbipc::Address address(const Place& place) {
        if (place.flag_up)
            std::ofstream(flag_.string()).put('\n');
        else
            std::filesystem::remove(flag_);
        return place.by_path ? qbipc::Address::path((sockets_ / "service").string()) : qbipc::Address(unique_name());
    }
    qbipc::ServiceOptions options() const {
        qbipc::ServiceOptions options;
        options.flag_file = flag_.string();
        options.owner = ::geteuid();
        return options;
    }
    /// A socket file that nobody listens at any more would be one that was left behind.
    void check_nothing_left(bool tolerated) {
        for (const auto& folder : {sockets_, std::filesystem::path(FaultyKernel::system)}) {
            std::error_code ignored;
            for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
                if (!tolerated) report.finding("left behind: " + entry.path().filename().string());
                std::filesystem::remove(entry.path(), ignored);
            }
        }
    }

private:
    qbipc::testing::TemporaryDirectory directory_;
    std::filesystem::path flag_, sockets_;
};

template <class T>
void sweep(const char* transport, Stage& stage, qbipc::Pages pages, bool full) {
    for (const auto& place : places) {
        // Sessions are the same at each place: what finds the service comes first.
        const bool whole = &place == &places.front();
        for (const auto sufferer : {Sufferer::listening, Sufferer::client}) {
            const auto start = std::chrono::steady_clock::now();
            std::uint64_t lives = 0;
            for (const auto& kind : kinds()) {
                // Locked pages add mlock(), and not much else.
                if (pages == qbipc::Pages::locked && kind.call != Call::mlock && kind.call != Call::madvise) continue;
                // A flag that can't be looked at counts as down, as is documented: whoever can't read it must find the
                // service all the same. Here it is one of the two that can't, for a moment, and they miss each other.
                if (place.flag_up && kind.call == Call::fstatat) continue;
                for (const int error : kind.errors) {
                    // Only a peer that is gone gives these to who sends; the client then goes on to read, for the
                    // reason may have come before the end. Here the service is there, waits itself, and nothing ever
                    // comes.
                    if (sufferer == Sufferer::client && kind.call == Call::send &&
                        (error == EPIPE || error == ECONNRESET))
                        continue;
                    const std::uint64_t most = full ? 400 : whole ? 8 : 4;
                    for (std::uint64_t k = 1; k <= most; ++k) {
                        FailingCall fault(kind, error, k);
                        report.at(std::string(transport) + ", " + place.name + ", " +
                                  (sufferer == Sufferer::client ? "client, " : "service, ") + fault.text());
                        auto options = stage.options();
                        options.pages = pages;
                        Life<T> life(fault, sufferer, Drive::dispatch, stage.address(place), options);
                        const bool happened = life.live();
                        ++lives;
                        stage.check_nothing_left(kind.call == Call::unlinkat || kind.call == Call::flock ||
                                                 kind.call == Call::fstatat);
                        if (!happened) break;
                        if (report.findings() > 300 || (!full && report.findings() > 25)) return;
                    }
                }
            }
            std::printf("%s, %s, %s: %llu lives, %.1f s\n", transport, place.name,
                        sufferer == Sufferer::client ? "client" : "service", static_cast<unsigned long long>(lives),
                        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
            std::fflush(stdout);
        }
    }
}

template <class T>
void live_plainly() {
    NoFault none;
    for (const auto drive : {Drive::dispatch, Drive::run}) Life<T>(none, Sufferer::client, drive, unique_name()).live();
}

}  // namespace

int main(int count, char** arguments) {
    const std::string option = count > 1 ? arguments[1] : "";
    if (option == "--plain") {
        live_plainly<qbipc::ShmRing>();
        live_plainly<qbipc::UnixSocket>();
        return report.findings() == 0 ? 0 : 1;
    }
    const bool full = option == "--full";
    if (option == "--first") report.end_at_first("system calls");
    Stage stage;
    using Ring = qbipc::BasicShmRing<qbipc::Adaptive, FaultyKernel>;
    using Sockets = qbipc::BasicUnixSocket<qbipc::Adaptive, FaultyKernel>;
    sweep<Ring>("ShmRing", stage, qbipc::Pages::touched, full);
    sweep<Ring>("ShmRing, locked pages", stage, qbipc::Pages::locked, full);
    sweep<Sockets>("UnixSocket", stage, qbipc::Pages::touched, full);
    return report.end("system calls");
}
