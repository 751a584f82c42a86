// Goal: a child that was given all it needs is on its board with its settings; one that was not
// says what was wrong and starts nothing. Method: the test plays the supervisor on the other end of
// the pair, sending everything beforehand.
#include "shm/control/child_link.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "common/base/check.h"

namespace bitnetd::shm {
namespace {

constexpr uint64_t kSoonMs = 60'000;  // enough for anything that comes at all

class ChildLinkTest : public testing::Test {
  protected:
    void SetUp() override {
        auto pair = Channel::make_pair();
        ASSERT_TRUE(pair.ok());
        supervisor_.emplace(std::move(pair->first));
        child_end_ = std::move(pair->second);
        board_ = std::move(create_board({Role::kWorker, 2, 9, "cpu:0"})).value();
        bell_ = std::move(Doorbell::create()).value();
    }
    void TearDown() override { set_last_words(nullptr, 0); }

    void send_self(SelfMessage self = {9, 2, 0, 1, 0}) {
        const int fds[] = {board_.get(), bell_.get()};
        ASSERT_TRUE(supervisor_->send(MessageType::kSelf, self, fds).ok());
    }
    void send_settings() {
        Params params;
        params.worker_slots_max = 17;
        ASSERT_TRUE(supervisor_->send_text(MessageType::kSettings, print_settings(params)).ok());
    }
    Result<ChildLink> start(Role role = Role::kWorker, uint64_t timeout_ms = kSoonMs) {
        return ChildLink::start(std::move(child_end_), role, timeout_ms);
    }
    // What start() says, empty when it succeeds.
    std::string start_error(Role role = Role::kWorker, uint64_t timeout_ms = kSoonMs) {
        auto link = start(role, timeout_ms);
        return link.ok() ? "" : link.error().message;
    }

    std::optional<Channel> supervisor_;
    Fd child_end_, board_, bell_;
};

TEST_F(ChildLinkTest, TakesInEverythingUpToStart) {
    send_self();
    send_settings();
    ASSERT_TRUE(supervisor_->send(MessageType::kKvArena, KvArenaMessage{4096}).ok());
    ASSERT_TRUE(supervisor_->send(MessageType::kStart).ok());
    ASSERT_TRUE(supervisor_->send(MessageType::kDrain).ok());
    auto started = start();
    ASSERT_TRUE(started.ok()) << started.error().message;
    ChildLink link = std::move(started).value();
    EXPECT_EQ(link.incarnation(), 9u);
    EXPECT_EQ(link.slot(), 2u);
    EXPECT_EQ(link.params().worker_slots_max, 17u);
    const auto setup = link.take_setup();
    ASSERT_EQ(setup.size(), 1u);
    EXPECT_EQ(setup[0].type, MessageType::kKvArena);
    EXPECT_TRUE(link.take_setup().empty());
    const auto later = link.receive();
    ASSERT_TRUE(later.ok() && later->has_value());
    EXPECT_EQ((*later)->type, MessageType::kDrain);

    const Segment segment = std::move(Segment::map(board_.get(), Access::kRead)).value();
    const BoardView view = std::move(BoardView::open(segment)).value();
    EXPECT_EQ(view.pid(), static_cast<uint32_t>(getpid()));
    EXPECT_EQ(view.state(), ProcessState::kStarting);
    EXPECT_GT(view.heartbeat_ns(), 0u);
    EXPECT_GT(view.started_ns(), 0u);
    say_last_words("farewell");
    EXPECT_EQ(view.last_words(), "farewell");
    link.doorbell().prepare_sleep();
    EXPECT_EQ(view.sleeping().load(), 1u);

    ASSERT_TRUE(link.send_ready({4, 0, "avx2"}).ok());
    EXPECT_EQ(view.state(), ProcessState::kReady);
    const auto ready = supervisor_->receive();
    ASSERT_TRUE(ready.ok() && ready->has_value());
    EXPECT_EQ((*ready)->as<ReadyMessage>()->slots_max, 4u);
}

TEST_F(ChildLinkTest, SaysWhatIsMissing) {
    ASSERT_TRUE(supervisor_->send(MessageType::kStart).ok());
    EXPECT_NE(start_error().find("before kSelf"), std::string::npos);
}

TEST_F(ChildLinkTest, NeedsSettings) {
    send_self();
    ASSERT_TRUE(supervisor_->send(MessageType::kStart).ok());
    EXPECT_NE(start_error().find("before kSettings"), std::string::npos);
}

TEST_F(ChildLinkTest, RefusesBadSettings) {
    send_self();
    ASSERT_TRUE(supervisor_->send_text(MessageType::kSettings, "worker.threads=many\n").ok());
    EXPECT_NE(start_error().find("worker.threads"), std::string::npos);
}

TEST_F(ChildLinkTest, GivesUpAtTheDeadline) {
    send_self();
    EXPECT_NE(start_error(Role::kWorker, 1).find("in time"), std::string::npos);
}

TEST_F(ChildLinkTest, GivesUpWhenTheSupervisorIsGone) {
    send_self();
    supervisor_.reset();
    const auto link = start();
    ASSERT_FALSE(link.ok());
    EXPECT_EQ(link.error().code, ErrorCode::kUnavailable);
}

TEST_F(ChildLinkTest, RefusesTheBoardOfAnother) {
    send_self({9, 3, 0, 1, 0});
    EXPECT_NE(start_error().find("worker/2 incarnation 9"), std::string::npos);
}

TEST_F(ChildLinkTest, RefusesTheBoardOfAnotherRole) {
    send_self();
    EXPECT_NE(start_error(Role::kFrontend).find("not of this process"), std::string::npos);
}

TEST_F(ChildLinkTest, RefusesASecondSelf) {
    send_self();
    send_self();
    EXPECT_NE(start_error().find("twice"), std::string::npos);
}

TEST_F(ChildLinkTest, RefusesWrongDescriptors) {
    ASSERT_TRUE(supervisor_->send(MessageType::kSelf, SelfMessage{9, 2, 0, 1, 0}).ok());
    EXPECT_NE(start_error().find("expected 2 descriptors"), std::string::npos);
}

TEST_F(ChildLinkTest, RefusesABoardThatCouldShrink) {
    board_ = std::move(Segment::create_memfd("loose", board_segment_bytes())).value();
    send_self();
    EXPECT_NE(start_error().find("sealed"), std::string::npos);
}

TEST_F(ChildLinkTest, StartedByHandIsExplained) {
    const Fd saved(fcntl(kControlFd, F_DUPFD_CLOEXEC, 10));
    const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    ASSERT_EQ(dup2(null.get(), kControlFd), kControlFd);
    const auto link = ChildLink::start(Role::kWorker, kSoonMs);
    if (saved) {
        dup2(saved.get(), kControlFd);
    } else {
        close(kControlFd);
    }
    ASSERT_FALSE(link.ok());
    EXPECT_NE(link.error().message.find("not by hand"), std::string::npos);
}

}  // namespace
}  // namespace bitnetd::shm
