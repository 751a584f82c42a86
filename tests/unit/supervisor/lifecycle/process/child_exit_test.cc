// Goal: every way to end is laid at the right door (mechanics: which death counts against a
// flight). Method: the table of cases.
#include "supervisor/lifecycle/process/child_exit.h"

#include <gtest/gtest.h>

#include <csignal>

namespace bitnetd::supervisor {
namespace {

TEST(ChildExit, CrashesAndExitCodesAreOwnFault) {
    for (const int number : {SIGSEGV, SIGILL, SIGBUS, SIGFPE, SIGABRT, SIGSYS}) {
        const Verdict verdict = judge({number, 0}, {});
        EXPECT_EQ(verdict.blame, Blame::kOwn) << number;
        EXPECT_EQ(verdict.end, shm::PeerEnd::kOwnFault) << number;
    }
    for (const int status : {0, 1, 5, 13}) {
        EXPECT_EQ(judge({0, status}, {}).end, shm::PeerEnd::kOwnFault) << status;
    }
}

TEST(ChildExit, SignalsFromOutsideAreNobodysFault) {
    for (const int number : {SIGKILL, SIGTERM, SIGINT, SIGHUP}) {
        const Verdict verdict = judge({number, 0}, {});
        EXPECT_EQ(verdict.blame, Blame::kNobody) << number;
        EXPECT_EQ(verdict.end, shm::PeerEnd::kKilled) << number;
    }
}

TEST(ChildExit, KilledForWantOfMemoryIsOwnFault) {
    const Verdict verdict = judge({SIGKILL, 0}, {nullptr, false, true});
    EXPECT_EQ(verdict.blame, Blame::kOwn);
    EXPECT_NE(verdict.reason.find("out of memory"), std::string::npos);
    EXPECT_EQ(judge({SIGTERM, 0}, {nullptr, false, true}).blame, Blame::kNobody);
}

TEST(ChildExit, FaultKnownToTheSupervisorWins) {
    const Verdict verdict = judge({SIGKILL, 0}, {"hang", false, false});
    EXPECT_EQ(verdict.end, shm::PeerEnd::kOwnFault);
    EXPECT_EQ(verdict.reason, "hang, signal 9 (SIGKILL)");
}

TEST(ChildExit, ToldToEndIsDrainedOrKilledNeverBlamed) {
    EXPECT_EQ(judge({0, 0}, {nullptr, true, false}).end, shm::PeerEnd::kDrained);
    EXPECT_EQ(judge({SIGSEGV, 0}, {nullptr, true, false}).end, shm::PeerEnd::kKilled);
    EXPECT_EQ(judge({0, 3}, {nullptr, true, false}).blame, Blame::kNobody);
}

TEST(ChildExit, UnknownEndIsNobodysFaultUnlessTheSupervisorKnowsBetter) {
    ChildExit unknown;
    unknown.unknown = true;
    const Verdict verdict = judge(unknown, {});
    EXPECT_EQ(verdict.blame, Blame::kNobody);
    EXPECT_EQ(verdict.end, shm::PeerEnd::kKilled);
    EXPECT_EQ(verdict.reason, "ended, how is not known (adopted)");
    EXPECT_EQ(judge(unknown, {nullptr, true, false}).end, shm::PeerEnd::kDrained);
    EXPECT_EQ(judge(unknown, {"hang", false, false}).end, shm::PeerEnd::kOwnFault);
    EXPECT_EQ(judge(unknown, {nullptr, false, true}).blame, Blame::kNobody);
}

}  // namespace
}  // namespace bitnetd::supervisor
