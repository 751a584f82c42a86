// Goal: a supervisor that dies between storing descriptors and naming them leaves a state whose
// every descriptor is in the store. Method: a child saves twice and is killed at the label in the
// second; the test holds systemd's end of the notify socket, and reads the table as the successor
// does.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "common/base/crash_point.h"
#include "supervisor/lifecycle/handover/estate.h"
#include "tests/unit/supervisor/lifecycle/handover/notify_socket.h"

namespace bitnetd::supervisor {
namespace {

TEST(EstateCrash, WhatTheStateNamesIsInTheStore) {
    if (!kCrashPointsCompiled) GTEST_SKIP() << "crash points are not compiled in";
    NotifySocket systemd;
    const Environment limit("BITNETD_FD_STORE", "64");
    auto made = StateTable::create();
    ASSERT_TRUE(made.ok());
    const Fd table_copy(dup(made->fd()));
    const pid_t pid = fork();
    if (pid == 0) {
        Estate estate(FdStore::from_environment(), std::move(*made));
        const int old_fd = memfd_create("old", MFD_CLOEXEC);
        const int new_fd = memfd_create("new", MFD_CLOEXEC);
        SupervisorSnapshot snapshot;
        snapshot.build = "old";
        if (!estate.save(snapshot, {{"p2.board", old_fd}}).ok()) _exit(1);
        snapshot.build = "new";
        crash_at("estate.stored");
        const bool saved = estate.save(snapshot, {{"p3.board", new_fd}}).ok();
        _exit(saved ? 2 : 3);
    }
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "it did not die there";

    std::set<std::string> stored;
    while (systemd.has_message()) {
        const Notification sent = systemd.receive();
        if (sent.value("FDSTOREREMOVE") == "1") {
            stored.erase(sent.value("FDNAME"));
        } else {
            stored.insert(sent.value("FDNAME"));
        }
    }
    EXPECT_EQ(stored, (std::set<std::string>{"state", "p2.board", "p3.board"}));
    auto table = StateTable::open(Fd(dup(table_copy.get())));
    ASSERT_TRUE(table.ok()) << table.error().message;
    const auto text = table->read();
    ASSERT_TRUE(text.ok()) << text.error().message;
    const auto snapshot = parse_snapshot(*text);
    ASSERT_TRUE(snapshot.ok()) << snapshot.error().message;
    EXPECT_EQ(snapshot->build, "old");
}

}  // namespace
}  // namespace bitnetd::supervisor
