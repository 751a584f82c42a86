// Goal: bitnet-shmdump's question is answered segment by segment, and an answer that makes no sense
// is an error, not a crash. Method: a listener in a second thread plays the supervisor and sends
// prepared answers.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <thread>

#include "common/base/clock.h"
#include "shm/board/board.h"
#include "shm/control/channel.h"
#include "shm/control/text_field.h"
#include "shm/inspect/inspect.h"
#include "shm/ring/ring.h"

namespace bitnetd::shm {
namespace {

using Answer = std::function<void(Channel&)>;

// Asks a server that takes one kInspect and then does what `answer` says.
Result<nlohmann::ordered_json> ask(const Answer& answer) {
    const std::string path = testing::TempDir() + "bitnetd-inspect-" + std::to_string(getpid());
    unlink(path.c_str());
    const Fd listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    EXPECT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener.get(), 1), 0);
    std::thread server([&] {
        Channel channel(Fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)));
        const auto question = channel.wait(monotonic_ns() + 60 * kNsPerS);
        if (question.ok() && question->type == MessageType::kInspect) answer(channel);
    });
    auto result = inspect_server(path);
    server.join();
    unlink(path.c_str());
    return result;
}

InspectItem item(uint32_t kind, std::string_view name) {
    InspectItem it{};
    it.incarnation = 3;
    it.kind = kind;
    it.alive = 1;
    set_field(it.name, name);
    return it;
}

void send(Channel& channel, const InspectItem& it, const Fd& segment) {
    const int fds[] = {segment.get()};
    EXPECT_TRUE(channel.send(MessageType::kInspectItem, it, fds).ok());
}

TEST(InspectServer, ShowsBoardsAndRings) {
    const auto shown = ask([](Channel& channel) {
        const Fd board = std::move(create_board({Role::kWorker, 0, 3, "cpu:0"})).value();
        send(channel, item(1, "worker/0"), std::move(reopen_read_only(board.get())).value());
        const Fd ring =
            std::move(Segment::create_memfd("ring", ring_segment_bytes(kRingCapacityMin))).value();
        Segment segment = std::move(Segment::map(ring.get(), Access::kReadWrite)).value();
        EXPECT_TRUE(init_ring(segment, 1, 3).ok());
        EXPECT_TRUE(seal_size(ring.get()).ok());
        send(channel, item(3, "worker/0 -> frontend/0 tokens"), ring);
        EXPECT_TRUE(channel.send(MessageType::kInspectEnd).ok());
    });
    ASSERT_TRUE(shown.ok()) << shown.error().message;
    ASSERT_EQ(shown->size(), 2u);
    EXPECT_EQ((*shown)[0]["name"], "worker/0");
    EXPECT_EQ((*shown)[0]["kind"], "board");
    EXPECT_EQ((*shown)[0]["contents"]["process"], "worker/0");
    EXPECT_EQ((*shown)[1]["kind"], "ring");
    EXPECT_EQ((*shown)[1]["contents"]["records"], 0);
}

TEST(InspectServer, ASegmentThatCannotBeShownSaysWhy) {
    const auto shown = ask([](Channel& channel) {
        const Fd loose = std::move(Segment::create_memfd("loose", 65'536)).value();
        send(channel, item(1, "not sealed\x1b"), loose);
        EXPECT_TRUE(seal_size(loose.get()).ok());
        send(channel, item(1, "not a board"), loose);
        send(channel, item(2, "not a ring"), loose);
        send(channel, item(9, "nothing known"), loose);
        EXPECT_TRUE(channel.send(MessageType::kInspectItem, item(1, "no descriptor")).ok());
        EXPECT_TRUE(channel.send(MessageType::kInspectEnd).ok());
    });
    ASSERT_TRUE(shown.ok()) << shown.error().message;
    ASSERT_EQ(shown->size(), 5u);
    EXPECT_EQ((*shown)[0]["name"], "not sealed?");
    for (const auto& it : *shown) {
        EXPECT_TRUE(it.contains("error")) << it.dump();
        EXPECT_FALSE(it.contains("contents"));
    }
}

TEST(InspectServer, AnUnexpectedAnswerIsAnError) {
    EXPECT_FALSE(
        ask([](Channel& channel) { EXPECT_TRUE(channel.send(MessageType::kStart).ok()); }).ok());
    EXPECT_FALSE(ask([](Channel& channel) {
                     EXPECT_TRUE(channel.send(MessageType::kInspectItem, uint32_t{1}).ok());
                 }).ok());
    EXPECT_FALSE(ask([](Channel&) {}).ok()) << "closed before the end";
    EXPECT_FALSE(inspect_server("/no/such/socket").ok());
}

}  // namespace
}  // namespace bitnetd::shm
