// Goal: a process executed in place, or started by systemd with sockets and stored descriptors,
// finds each under its name, none open for its own children, and its variables gone. An exec that
// fails changes nothing.
// Method: fakes/handover_probe.cc, a real program that executes itself or is started with the
// environment that systemd sets; it says what it finds.
#include "supervisor/lifecycle/handover/reexec.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "common/base/fd.h"

namespace bitnetd::supervisor {
namespace {

using Json = nlohmann::json;

struct Found {
    pid_t pid;
    Json line;
};

// Starts the probe; `prepare` runs in it before its program does.
template <typename Prepare>
Found probe(const char* how, Prepare&& prepare) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const Fd output(ends[0]);
    Fd theirs(ends[1]);
    const pid_t pid = fork();
    if (pid == 0) {
        close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);  // what our own parent left open
        dup2(theirs.get(), STDOUT_FILENO);
        prepare();
        execl(BITNETD_BINARY_DIR "/handover-probe", "handover-probe", how, nullptr);
        _exit(127);
    }
    theirs.reset();
    std::string text;
    char part[4096];
    for (ssize_t got = 0; (got = read(output.get(), part, sizeof part)) > 0;)
        text.append(part, static_cast<size_t>(got));
    int status = 0;
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0) << text;
    return {pid, Json::parse(text, nullptr, false)};
}

Found probe(const char* how) {
    return probe(how, [] {});
}

const Json kHeld = {"HUP", "INT", "QUIT", "USR1", "USR2", "TERM"};

// In a child: descriptors 3, 4, ... with these contents, and the variables.
void be_started_by_systemd(const std::vector<std::string>& contents, const std::string& names,
                           pid_t pid) {
    int next = 3;
    for (const std::string& text : contents) {
        const int fd = memfd_create("x", MFD_CLOEXEC);
        if (write(fd, text.data(), text.size()) < 0) _exit(126);
        if (fd == next) {
            fcntl(fd, F_SETFD, 0);
        } else {
            dup2(fd, next);
            close(fd);
        }
        ++next;
    }
    setenv("LISTEN_PID", std::to_string(pid).c_str(), 1);
    setenv("LISTEN_FDS", std::to_string(contents.size()).c_str(), 1);
    setenv("LISTEN_FDNAMES", names.c_str(), 1);
}

TEST(Reexec, SamePidSameDescriptorsSameChildren) {
    const Found run = probe("exec");
    EXPECT_EQ(run.line["pid"], run.pid);
    EXPECT_EQ(run.line.value("error", ""), "");
    EXPECT_EQ(run.line["from_exec"], true);
    EXPECT_EQ(run.line["fds"], Json({{"state", {"the state"}}, {"p1.ring", {"first", "second"}}}));
    EXPECT_EQ(run.line["left"], Json::array({"left"}));
    EXPECT_EQ(run.line["left_after_closing"], Json::array());
    EXPECT_EQ(run.line["nothing_taken_twice"], true);
    EXPECT_EQ(run.line["open_for_children"], 0);
    EXPECT_FALSE(run.line.contains("left_in_environment")) << run.line;
    EXPECT_EQ(run.line["children"], 1);
    EXPECT_EQ(run.line["blocked"], kHeld);
    EXPECT_EQ(run.line["usr2_waits"], true);
}

TEST(Reexec, WhatCannotBeExecutedChangesNothing) {
    const Found run = probe("exec-missing");
    EXPECT_EQ(run.line["pid"], run.pid);
    EXPECT_NE(run.line["error"].get<std::string>().find("execute /nothing/is/here: No such file"),
              std::string::npos)
        << run.line;
    EXPECT_EQ(run.line["open_for_children"], 0);
    EXPECT_EQ(run.line["variable_left"], false);
    Json blocked = kHeld;
    blocked.push_back("CHLD");
    EXPECT_EQ(run.line["blocked"], blocked);  // as before the attempt
}

TEST(Reexec, AListThatIsWrongIsNotTried) {
    const Fd fd(memfd_create("x", MFD_CLOEXEC));
    const auto refused = [&](std::vector<NamedFd> fds) {
        return exec_in_place({"/bin/true", {"true"}, std::move(fds)}).message;
    };
    EXPECT_NE(refused({{"a:b", fd.get()}}).find("'a:b'"), std::string::npos);
    EXPECT_NE(refused({{"a", fd.get()}, {"b", fd.get()}}).find("twice"), std::string::npos);
    EXPECT_NE(refused({{"a", 1}}).find("above 2"), std::string::npos);
    EXPECT_NE(refused({{"a", fd.get()}, {"closed", 1'000'000}}).find("'closed'"),
              std::string::npos);
    EXPECT_NE(fcntl(fd.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(Inherited, FromSystemdByName) {
    const Found run = probe("report", [] {
        be_started_by_systemd({"one", "the state", "two"}, "http:state:http", getpid());
    });
    EXPECT_EQ(run.line["from_exec"], false);
    EXPECT_EQ(run.line["fds"], Json({{"http", {"one", "two"}}, {"state", {"the state"}}}));
    EXPECT_EQ(run.line["open_for_children"], 0);
    EXPECT_FALSE(run.line.contains("left_in_environment")) << run.line;
}

TEST(Inherited, NothingWhenBornWithNothing) {
    const Found run = probe("report");
    EXPECT_EQ(run.line["from_exec"], false);
    EXPECT_FALSE(run.line.contains("fds"));
    EXPECT_EQ(run.line["blocked"], Json::array());
}

TEST(Inherited, WhatIsMeantForAnotherProcessIsLeftAlone) {
    const Found run = probe("report", [] { be_started_by_systemd({"one"}, "http", getppid()); });
    EXPECT_FALSE(run.line.contains("fds")) << run.line;
    EXPECT_FALSE(run.line.contains("error")) << run.line;
    EXPECT_FALSE(run.line.contains("left_in_environment")) << run.line;
}

TEST(Inherited, WrongVariablesAreErrors) {
    const Found names = probe("report", [] { be_started_by_systemd({"one"}, "a:b", getpid()); });
    EXPECT_NE(names.line["error"].get<std::string>().find("LISTEN_FDNAMES"), std::string::npos);
    for (const char* value : {"", "x", "0", "99", "-1", "12345678901"}) {
        const Found run = probe("report", [&] { setenv("BITNETD_HANDOVER", value, 1); });
        EXPECT_TRUE(run.line.contains("error")) << value << run.line;
        EXPECT_FALSE(run.line.contains("left_in_environment")) << run.line;
    }
}

}  // namespace
}  // namespace bitnetd::supervisor
