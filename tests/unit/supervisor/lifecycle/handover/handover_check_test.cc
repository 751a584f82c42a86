// Goal: a new binary that cannot take over is refused with its own reason, one that hangs after the
// deadline; one of this build is taken.
// Method: small shell scripts in the place of the new binary; the answer of this build in a child.
#include "supervisor/lifecycle/handover/handover_check.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <fstream>
#include <optional>

#include "supervisor/lifecycle/handover/handover_version.h"
#include "tests/unit/supervisor/lifecycle/test_server.h"

namespace bitnetd::supervisor {
namespace {

class HandoverChecks : public testing::Test {
  protected:
    void SetUp() override { ASSERT_EQ(uv_loop_init(&loop_), 0); }
    void TearDown() override {
        uv_run(&loop_, UV_RUN_DEFAULT);
        EXPECT_EQ(uv_loop_close(&loop_), 0);
        EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);  // no child is left, not even a zombie
    }

    std::string script(const std::string& body) {
        const std::string path = folder_.path() + "/new-binary";
        std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
        chmod(path.c_str(), 0700);
        return path;
    }

    // The refusal; empty when there was none.
    std::string ask(const std::string& path, uint64_t deadline_ms = 60'000) {
        std::optional<std::string> refusal;
        std::unique_ptr<HandoverCheck> check;
        auto started = HandoverCheck::start(&loop_, path, deadline_ms, [&](const auto& result) {
            refusal = result.ok() ? "" : result.error().message;
            check.reset();  // from within its own callback
        });
        if (!started.ok()) return "start: " + started.error().message;
        check = std::move(*started);
        uv_run(&loop_, UV_RUN_DEFAULT);
        return refusal.value_or("was not called");
    }

    TemporaryFolder folder_;
    uv_loop_t loop_;
};

TEST_F(HandoverChecks, AsksWithOptionAndVersion) {
    const std::string path = script(
        "[ \"$1\" = --check-handover ] && [ \"$2\" = " + handover_version() + " ] && [ $# = 2 ]");
    EXPECT_EQ(ask(path), "");
}

TEST_F(HandoverChecks, RefusalHasTheBinarysOwnReason) {
    const std::string path = script("echo not this one >&2; echo more >&2; echo out; exit 1");
    EXPECT_EQ(ask(path), path + " cannot take over: not this one");
    EXPECT_EQ(ask(script("exit 3")),
              path + " cannot take over: it exited with 3 and gave no reason");
    EXPECT_EQ(ask(script("kill -SEGV $$")).find(path + " cannot take over: it was ended by"), 0u);
    // What it says is bounded and fit for a log.
    EXPECT_EQ(ask(script("head -c 60000 /dev/zero | tr '\\0' '\\001' >&2; exit 1")),
              path + " cannot take over: " + std::string(500, '?'));
}

TEST_F(HandoverChecks, SilenceIsRefusedAtTheDeadline) {
    const std::string path = script("exec sleep 600");
    EXPECT_EQ(ask(path, 30),
              path + " cannot take over: no answer to --check-handover within 30 ms");
}

TEST_F(HandoverChecks, WhatCannotRunIsAnError) {
    EXPECT_EQ(ask(folder_.path() + "/nothing").find("start: run "), 0u);
}

TEST_F(HandoverChecks, DroppedWhileItRunsItEndsTheProcess) {
    auto check = HandoverCheck::start(&loop_, script("exec sleep 600"), 60'000,
                                      [](const auto&) { ADD_FAILURE() << "called"; });
    ASSERT_TRUE(check.ok());
    check->reset();
}

TEST(HandoverVersion, OnlyTheSameIsTaken) {
    EXPECT_EQ(answer_handover_check(handover_version()), 0);
    for (const std::string& other : {std::string(), std::string("1"), handover_version() + "1"}) {
        testing::internal::CaptureStderr();
        EXPECT_EQ(answer_handover_check(other), 1);
        const std::string reason = testing::internal::GetCapturedStderr();
        EXPECT_NE(reason.find(handover_version()), std::string::npos) << reason;
        EXPECT_EQ(std::count(reason.begin(), reason.end(), '\n'), 1);
    }
}

}  // namespace
}  // namespace bitnetd::supervisor
