// A program that is born with descriptors and says what it finds; and one that executes itself in
// place. For the tests of inherited.h and reexec.h. One line of JSON on standard output.
//
//   report            what Inherited found
//   exec              makes descriptors, has a child and a waiting signal, becomes "report"
//   exec-missing      the same with a program that is not there; then says what is left of it
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

#include "common/log/log.h"
#include "supervisor/lifecycle/handover/inherited.h"
#include "supervisor/lifecycle/handover/reexec.h"

namespace bitnetd::supervisor {
namespace {

using Json = nlohmann::json;

Json blocked_signals() {
    sigset_t mask;
    sigprocmask(SIG_SETMASK, nullptr, &mask);
    Json blocked = Json::array();
    for (int number = 1; number < SIGRTMIN; ++number) {
        if (sigismember(&mask, number) == 1) blocked.push_back(sigabbrev_np(number));
    }
    return blocked;
}

bool closes_on_exec(int fd) {
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

// Descriptors that a program executed now would get, but for the standard ones.
int open_for_children() {
    int count = 0;
    for (int fd = STDERR_FILENO + 1; fd < 256; ++fd)
        count += fcntl(fd, F_GETFD) >= 0 && !closes_on_exec(fd);
    return count;
}

std::string content(int fd) {
    char text[64];
    const ssize_t got = pread(fd, text, sizeof text, 0);
    return got < 0 ? "(cannot be read)" : std::string(text, static_cast<size_t>(got));
}

Json report() {
    Json line{{"pid", getpid()}, {"blocked", blocked_signals()}};
    auto inherited = Inherited::collect();
    line["open_for_children"] = open_for_children();
    for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "BITNETD_HANDOVER"})
        if (getenv(name) != nullptr) line["left_in_environment"].push_back(name);
    if (!inherited.ok()) {
        line["error"] = inherited.error().message;
        return line;
    }
    line["from_exec"] = inherited->from_exec();
    for (const std::string& name : inherited->names()) {
        if (name == "left") continue;
        for (const Fd& fd : inherited->take_all(name))
            line["fds"][name].push_back(content(fd.get()));
    }
    line["left"] = inherited->names();
    line["nothing_taken_twice"] = !inherited->take("state") && !inherited->take("nobody");
    inherited->close_leftovers();
    line["left_after_closing"] = inherited->names();
    // The signal that came before the exec.
    sigset_t waiting;
    sigpending(&waiting);
    line["usr2_waits"] = sigismember(&waiting, SIGUSR2) == 1;
    // A child of before is still one.
    line["children"] = waitpid(-1, nullptr, 0) > 0 ? 1 : 0;
    return line;
}

Fd memory(const char* text) {
    Fd fd(memfd_create("handover-probe", MFD_CLOEXEC));
    if (write(fd.get(), text, strlen(text)) < 0) _exit(3);
    return fd;
}

Json become(const std::string& path) {
    hold_signals();
    raise(SIGUSR2);
    const pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    sigset_t more;
    sigemptyset(&more);
    sigaddset(&more, SIGCHLD);  // a mask of the moment is not handed on
    sigprocmask(SIG_BLOCK, &more, nullptr);

    const Fd state = memory("the state");
    const Fd first = memory("first");
    const Fd second = memory("second");
    const Fd left = memory("left");
    const Fd kept_back = memory("not listed");
    kill(child, SIGKILL);
    const Error error = exec_in_place({path,
                                       {"handover-probe", "report"},
                                       {{"state", state.get()},
                                        {"p1.ring", first.get()},
                                        {"p1.ring", second.get()},
                                        {"left", left.get()}}});
    waitpid(child, nullptr, 0);
    return {{"pid", getpid()},
            {"error", error.message},
            {"open_for_children", open_for_children()},
            {"variable_left", getenv(kHandoverVariable) != nullptr},
            {"blocked", blocked_signals()}};
}

Json run(const std::string& how) {
    if (how == "report") return report();
    if (how == "exec") return become("/proc/self/exe");
    return become("/nothing/is/here");
}

}  // namespace
}  // namespace bitnetd::supervisor

int main(int argc, char** argv) {
    bitnetd::log::init("handover-probe", bitnetd::log::Level::kInfo, bitnetd::log::Format::kJson);
    const auto line = bitnetd::supervisor::run(argc > 1 ? argv[1] : "");
    std::printf("%s\n", line.dump().c_str());
    return 0;
}
