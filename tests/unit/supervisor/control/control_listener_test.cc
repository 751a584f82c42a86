// Goal: tools get the list of segments; strangers, chatterers and crowds get nothing and do no
// harm. Method: a listener on a loop in this thread, clients in the same thread; the loop is turned
// by hand.
#include "supervisor/control/control_listener.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "common/base/clock.h"
#include "shm/control/text_field.h"

namespace bitnetd::supervisor {
namespace {

// Says what it is told to say, now or later.
class FakeOperator final : public Operator {
  public:
    std::vector<InspectEntry> inspect() const override {
        std::vector<InspectEntry> entries;
        for (uint64_t i = 1; i <= 3; ++i) {
            entries.push_back(
                {inspect_item(i, InspectKind::kBoard, true, "worker/" + std::to_string(i)),
                 Fd(open("/dev/null", O_RDONLY | O_CLOEXEC))});
        }
        return entries;
    }
    void command(const shm::CommandMessage& command, std::shared_ptr<CommandReply> to) override {
        heard.push_back(command);
        reply = std::move(to);
    }
    std::vector<shm::CommandMessage> heard;
    std::shared_ptr<CommandReply> reply;
};

class ControlListenerTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string name =
            (std::filesystem::temp_directory_path() / "bitnetd-test-XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        folder_ = name;
        path_ = folder_ + "/control.sock";
        ASSERT_EQ(uv_loop_init(&loop_), 0);
        auto socket = ControlListener::bind(path_);
        ASSERT_TRUE(socket.ok()) << socket.error().message;
        listener_ = std::make_unique<ControlListener>(&loop_, path_, std::move(*socket), chief_);
    }
    void TearDown() override {
        listener_.reset();
        while (uv_run(&loop_, UV_RUN_DEFAULT) != 0) {
        }
        EXPECT_EQ(uv_loop_close(&loop_), 0);
        EXPECT_FALSE(std::filesystem::exists(path_));
        std::filesystem::remove_all(folder_);
    }

    shm::Channel connect() {
        auto socket = shm::Channel::connect(path_);
        EXPECT_TRUE(socket.ok());
        return shm::Channel(std::move(*socket));
    }

    // Turns the loop until the client has something: a message, or the news that it was closed.
    Result<std::optional<shm::Message>> next(shm::Channel& client) {
        const uint64_t deadline = monotonic_ns() + 60 * kNsPerS;
        while (true) {
            uv_run(&loop_, UV_RUN_NOWAIT);
            auto message = client.receive();
            if (!message.ok() || message->has_value()) return message;
            if (monotonic_ns() > deadline) return invalid("nothing came");
        }
    }

    uv_loop_t loop_{};
    std::string folder_;
    std::string path_;
    FakeOperator chief_;
    std::unique_ptr<ControlListener> listener_;
};

TEST_F(ControlListenerTest, CommandGetsItsAnswerInPiecesAndAnEnd) {
    shm::Channel client = connect();
    shm::CommandMessage command{};
    command.command = shm::Command::kStatus;
    ASSERT_TRUE(client.send(shm::MessageType::kCommand, command).ok());
    while (chief_.heard.empty())
        uv_run(&loop_, UV_RUN_NOWAIT);
    const std::string answer(2 * shm::kControlPayloadMax + 7, 'x');
    chief_.reply->text(answer);
    chief_.reply->end(true, "it did not work");
    EXPECT_FALSE(chief_.reply->is_open());
    std::string heard;
    while (heard.size() < answer.size()) {
        auto piece = next(client);
        ASSERT_TRUE(piece.ok() && piece->has_value());
        ASSERT_EQ((*piece)->type, shm::MessageType::kCommandText);
        heard += (*piece)->text();
    }
    EXPECT_EQ(heard, answer);
    auto end = next(client);
    ASSERT_TRUE(end.ok() && end->has_value());
    const auto verdict = (*end)->as<shm::CommandEndMessage>();
    ASSERT_TRUE(verdict.ok());
    EXPECT_EQ(verdict->failed, 1u);
    EXPECT_EQ(shm::field_text(verdict->text), "it did not work");
}

TEST_F(ControlListenerTest, ReplyOutlivesAToolThatLeft) {
    shm::CommandMessage command{};
    command.command = shm::Command::kReload;
    command.flags = shm::kCommandWatch;
    {
        shm::Channel client = connect();
        ASSERT_TRUE(client.send(shm::MessageType::kCommand, command).ok());
        while (chief_.heard.empty())
            uv_run(&loop_, UV_RUN_NOWAIT);
        EXPECT_TRUE(chief_.reply->is_open());
    }
    while (chief_.reply->is_open())
        uv_run(&loop_, UV_RUN_NOWAIT);
    chief_.reply->text("nobody hears this");
    chief_.reply->end(false, "nor this");
}

TEST_F(ControlListenerTest, ToolThatDoesNotReadLosesItsSession) {
    shm::Channel client = connect();
    shm::CommandMessage command{};
    command.flags = shm::kCommandWatch;
    ASSERT_TRUE(client.send(shm::MessageType::kCommand, command).ok());
    while (chief_.heard.empty())
        uv_run(&loop_, UV_RUN_NOWAIT);
    const std::string piece(shm::kControlPayloadMax, 'x');
    while (chief_.reply->is_open()) {
        chief_.reply->text(piece);
        uv_run(&loop_, UV_RUN_NOWAIT);
    }
}

TEST_F(ControlListenerTest, SecondQuestionBeforeTheAnswerEndsTheSession) {
    shm::Channel client = connect();
    for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(client.send(shm::MessageType::kCommand, shm::CommandMessage{}).ok());
    }
    const auto closed = next(client);
    ASSERT_FALSE(closed.ok());
    EXPECT_EQ(closed.error().code, ErrorCode::kUnavailable);
    EXPECT_FALSE(chief_.reply->is_open());
}

TEST_F(ControlListenerTest, AnswersWithTheListAndItsEnd) {
    struct stat info {};
    ASSERT_EQ(stat(path_.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777u, 0600u);
    shm::Channel client = connect();
    for (int question = 0; question < 2; ++question) {
        ASSERT_TRUE(client.send(shm::MessageType::kInspect).ok());
        for (uint64_t i = 1; i <= 3; ++i) {
            auto message = next(client);
            ASSERT_TRUE(message.ok() && message->has_value());
            const auto item = (*message)->as<shm::InspectItem>();
            ASSERT_TRUE(item.ok());
            EXPECT_EQ(item->incarnation, i);
            EXPECT_EQ(shm::field_text(item->name), "worker/" + std::to_string(i));
            EXPECT_EQ((*message)->fds.size(), 1u);
        }
        auto end = next(client);
        ASSERT_TRUE(end.ok() && end->has_value());
        EXPECT_EQ((*end)->type, shm::MessageType::kInspectEnd);
    }
}

TEST_F(ControlListenerTest, WrongMessageEndsTheSessionOnly) {
    shm::Channel client = connect();
    ASSERT_TRUE(client.send(shm::MessageType::kDrain).ok());
    EXPECT_FALSE(next(client).ok());
    shm::Channel other = connect();
    ASSERT_TRUE(other.send(shm::MessageType::kInspect).ok());
    EXPECT_TRUE(next(other).ok());
}

TEST_F(ControlListenerTest, GarbageEndsTheSessionOnly) {
    shm::Channel client = connect();
    const char garbage[] = "GET / HTTP/1.1\r\n\r\n";
    ASSERT_GT(send(client.fd(), garbage, sizeof garbage, 0), 0);
    EXPECT_FALSE(next(client).ok());
}

TEST_F(ControlListenerTest, MoreSessionsThanAllowedAreClosed) {
    std::vector<shm::Channel> clients;
    for (size_t i = 0; i < kControlSessionsMax; ++i) {
        clients.push_back(connect());
        ASSERT_TRUE(clients.back().send(shm::MessageType::kInspect).ok());
        ASSERT_TRUE(next(clients.back()).ok());  // it is accepted by now
    }
    shm::Channel late = connect();
    EXPECT_FALSE(next(late).ok());
    clients.pop_back();  // one leaves, the next may come
    while (true) {
        shm::Channel retry = connect();
        static_cast<void>(retry.send(shm::MessageType::kInspect));
        if (next(retry).ok()) break;
    }
}

// As long as something waits on the loop's own descriptor the loop does not rest.
TEST_F(ControlListenerTest, LoopRestsWhileThereIsNoDescriptorForASession) {
    shm::Channel client = connect();
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    rlimit none = before;
    none.rlim_cur = static_cast<rlim_t>(Fd(dup(client.fd())).get());
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    pollfd waits{uv_backend_fd(&loop_), POLLIN, 0};
    for (int turn = 0; turn < 100; ++turn)
        uv_run(&loop_, UV_RUN_NOWAIT);
    const int ready = poll(&waits, 1, 0);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_EQ(ready, 0);
    ASSERT_TRUE(client.send(shm::MessageType::kInspect).ok());
    EXPECT_TRUE(next(client).ok());
}

TEST_F(ControlListenerTest, SecondListenerDoesNotStealThePlace) {
    auto second = ControlListener::bind(path_);
    EXPECT_FALSE(second.ok());
}

}  // namespace
}  // namespace bitnetd::supervisor
