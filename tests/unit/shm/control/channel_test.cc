// Goal: messages and descriptors arrive whole and in order or not at all; a full socket loses
// nothing; a peer that breaks the protocol is an Error and leaks no descriptor. Method: both ends
// in one thread; broken packets are written with plain send/sendmsg.
#include "shm/control/channel.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "common/base/clock.h"
#include "shm/control/text_field.h"

namespace bitnetd::shm {
namespace {

size_t open_descriptors() {
    size_t count = 0;
    DIR* folder = opendir("/proc/self/fd");
    while (readdir(folder) != nullptr)
        ++count;
    closedir(folder);
    return count;
}

class ChannelTest : public testing::Test {
  protected:
    void SetUp() override {
        auto pair = Channel::make_pair();
        ASSERT_TRUE(pair.ok());
        a_.emplace(std::move(pair->first));
        b_.emplace(std::move(pair->second));
    }
    void send_raw(const void* data, size_t bytes, std::span<const int> fds = {}) {
        iovec part{const_cast<void*>(data), bytes};
        alignas(cmsghdr) char control[CMSG_SPACE(64 * sizeof(int))] = {};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        if (!fds.empty()) {
            message.msg_control = control;
            message.msg_controllen = CMSG_SPACE(fds.size_bytes());
            cmsghdr* rights = CMSG_FIRSTHDR(&message);
            rights->cmsg_level = SOL_SOCKET;
            rights->cmsg_type = SCM_RIGHTS;
            rights->cmsg_len = CMSG_LEN(fds.size_bytes());
            std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
        }
        ASSERT_GE(sendmsg(a_->fd(), &message, MSG_NOSIGNAL), 0);
    }
    std::optional<Channel> a_, b_;
};

TEST_F(ChannelTest, NothingNowIsNotTheEnd) {
    const auto nothing = b_->receive();
    ASSERT_TRUE(nothing.ok());
    EXPECT_FALSE(nothing->has_value());
    EXPECT_FALSE(b_->closed());
}

TEST_F(ChannelTest, CarriesStructsTextsAndEmptyMessages) {
    ASSERT_TRUE(a_->send(MessageType::kSelf, SelfMessage{7, 3, 0, 1, 0}).ok());
    ASSERT_TRUE(a_->send_text(MessageType::kSettings, "a.b=c\n").ok());
    ASSERT_TRUE(a_->send(MessageType::kStart).ok());
    const auto self = b_->receive();
    ASSERT_TRUE(self.ok() && self->has_value());
    EXPECT_EQ((*self)->type, MessageType::kSelf);
    const auto value = (*self)->as<SelfMessage>();
    ASSERT_TRUE(value.ok());
    EXPECT_EQ(value->incarnation, 7u);
    EXPECT_EQ(value->slot, 3u);
    EXPECT_FALSE((*self)->as<IncarnationMessage>().ok()) << "another size";
    EXPECT_TRUE((*self)->expect_fds(0).ok());
    EXPECT_FALSE((*self)->expect_fds(1).ok());
    EXPECT_EQ((*b_->receive())->text(), "a.b=c\n");
    const auto start = b_->receive();
    EXPECT_EQ((*start)->type, MessageType::kStart);
    EXPECT_TRUE((*start)->payload.empty());
}

TEST_F(ChannelTest, DescriptorsArriveOwnedAndCloseOnExec) {
    const size_t before = open_descriptors();
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    Fd in(ends[0]), out(ends[1]);
    const int fds[] = {in.get(), out.get()};
    ASSERT_TRUE(a_->send(MessageType::kListen, {}, fds).ok());
    {
        auto message = b_->receive();
        ASSERT_TRUE(message.ok() && message->has_value());
        ASSERT_EQ((*message)->fds.size(), 2u);
        EXPECT_EQ(fcntl((*message)->fds[0].get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        in.reset();
        ASSERT_EQ(write(out.get(), "x", 1), 1);
        char byte = 0;
        EXPECT_EQ(read((*message)->fds[0].get(), &byte, 1), 1);
        EXPECT_EQ(byte, 'x');
    }
    out.reset();
    EXPECT_EQ(open_descriptors(), before);
}

TEST_F(ChannelTest, LargestMessageAndNoLarger) {
    std::vector<std::byte> payload(kControlPayloadMax, std::byte{5});
    std::vector<int> fds(kControlFdsMax, STDERR_FILENO);
    ASSERT_TRUE(a_->send(MessageType::kSettings, payload, fds).ok());
    const auto message = b_->receive();
    ASSERT_TRUE(message.ok() && message->has_value());
    EXPECT_EQ((*message)->payload, payload);
    EXPECT_EQ((*message)->fds.size(), kControlFdsMax);
    payload.push_back(std::byte{5});
    EXPECT_EQ(a_->send(MessageType::kSettings, payload).error().code, ErrorCode::kInvalid);
    fds.push_back(STDERR_FILENO);
    EXPECT_EQ(a_->send(MessageType::kSettings, {}, fds).error().code, ErrorCode::kInvalid);
    EXPECT_FALSE(b_->receive()->has_value()) << "nothing of it was sent";
}

TEST_F(ChannelTest, AFullSocketQueuesInOrderAndLosesNothing) {
    const std::vector<std::byte> filler(10'000);
    uint32_t sent = 0;
    while (!a_->wants_write()) {
        ASSERT_TRUE(a_->send(MessageType::kSettings, filler).ok());
        ++sent;
        ASSERT_LT(sent, 10'000u);
    }
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    {
        const Fd in(ends[0]);
        const int fds[] = {in.get()};
        ASSERT_TRUE(a_->send(MessageType::kSelf, SelfMessage{1, 2, 0, 1, 0}, fds).ok());
    }  // the caller closes its descriptor; the queued message has its own
    const Fd out(ends[1]);
    EXPECT_TRUE(a_->wants_write());
    for (uint32_t i = 0; i < sent; ++i) {
        const auto message = b_->receive();
        ASSERT_TRUE(message.ok() && message->has_value()) << i;
        EXPECT_EQ((*message)->type, MessageType::kSettings);
        ASSERT_TRUE(a_->flush().ok());
    }
    EXPECT_FALSE(a_->wants_write());
    auto last = b_->receive();
    ASSERT_TRUE(last.ok() && last->has_value());
    EXPECT_EQ((*last)->type, MessageType::kSelf);
    ASSERT_EQ((*last)->fds.size(), 1u);
    EXPECT_GE(fcntl((*last)->fds[0].get(), F_GETFD), 0);
}

TEST_F(ChannelTest, TheQueueIsBounded) {
    const std::vector<std::byte> filler(kControlPayloadMax);
    Result<void> result;
    size_t sent = 0;
    while (result.ok() && sent < 100'000) {
        result = a_->send(MessageType::kSettings, filler);
        ++sent;
    }
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, ErrorCode::kExhausted);
    EXPECT_LE(sent, kChannelQueueBytesMax / kControlPayloadMax + 100);
}

TEST_F(ChannelTest, TheEndIsUnavailableAfterAllThatWasSent) {
    ASSERT_TRUE(a_->send(MessageType::kStart).ok());
    a_.reset();
    EXPECT_TRUE(b_->receive()->has_value());
    const auto end = b_->receive();
    ASSERT_FALSE(end.ok());
    EXPECT_EQ(end.error().code, ErrorCode::kUnavailable);
    EXPECT_TRUE(b_->closed());
    EXPECT_EQ(b_->send(MessageType::kReady).error().code, ErrorCode::kUnavailable);
    EXPECT_EQ(b_->receive().error().code, ErrorCode::kUnavailable);
}

TEST_F(ChannelTest, SendingToADeadPeerIsNoSignal) {
    b_.reset();
    EXPECT_EQ(a_->send(MessageType::kReady).error().code, ErrorCode::kUnavailable);
    EXPECT_TRUE(a_->closed());
}

TEST_F(ChannelTest, BrokenHeadersAreErrorsAndLeakNothing) {
    const size_t before = open_descriptors();
    const MessageHeader good{kControlAbiVersion, MessageType::kStart, 0, 0, 0};
    const auto broken = [&](MessageHeader header, size_t bytes, std::span<const int> fds = {}) {
        char packet[64] = {};
        std::memcpy(packet, &header, sizeof header);
        send_raw(packet, bytes, fds);
        const auto message = b_->receive();
        return !message.ok() && message.error().code == ErrorCode::kInvalid;
    };
    const auto with = [&](auto&& change) {
        MessageHeader header = good;
        change(header);
        return header;
    };
    const int one[] = {STDERR_FILENO};
    EXPECT_FALSE(broken(good, sizeof good));
    EXPECT_TRUE(broken(good, 1));
    EXPECT_TRUE(broken(good, sizeof good - 1));
    EXPECT_TRUE(broken(good, sizeof good + 1)) << "more than it says";
    EXPECT_TRUE(broken(with([](MessageHeader& it) { it.payload_bytes = 1; }), sizeof good));
    EXPECT_TRUE(
        broken(with([](MessageHeader& it) { it.payload_bytes = UINT32_MAX; }), sizeof good));
    EXPECT_TRUE(broken(with([](MessageHeader& it) { it.abi_version = 0; }), sizeof good));
    EXPECT_TRUE(broken(with([](MessageHeader& it) { it.reserved = 1; }), sizeof good));
    EXPECT_TRUE(broken(with([](MessageHeader& it) { it.fd_count = 1; }), sizeof good));
    EXPECT_TRUE(broken(good, sizeof good, one)) << "a descriptor that was not announced";
    const std::vector<int> many(kControlFdsMax + 1, STDERR_FILENO);
    EXPECT_TRUE(broken(with([](MessageHeader& it) { it.fd_count = kControlFdsMax + 1; }),
                       sizeof good, many));
    std::vector<std::byte> huge(sizeof good + kControlPayloadMax + 1);
    std::memcpy(huge.data(), &good, sizeof good);
    send_raw(huge.data(), huge.size());
    EXPECT_EQ(b_->receive().error().code, ErrorCode::kInvalid);
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_FALSE(broken(good, sizeof good)) << "the channel itself still works";
}

TEST_F(ChannelTest, WaitHasADeadline) {
    EXPECT_EQ(b_->wait(monotonic_ns()).error().code, ErrorCode::kUnavailable);
    EXPECT_EQ(b_->wait(monotonic_ns() + kNsPerMs).error().code, ErrorCode::kUnavailable);
    EXPECT_FALSE(b_->closed());
    ASSERT_TRUE(a_->send(MessageType::kDrain).ok());
    const auto message = b_->wait(monotonic_ns() + 60 * kNsPerS);
    ASSERT_TRUE(message.ok());
    EXPECT_EQ(message->type, MessageType::kDrain);
}

TEST(ChannelConnect, ReachesAListenerAndExplainsWhenThereIsNone) {
    const std::string path = testing::TempDir() + "bitnetd-channel-" + std::to_string(getpid());
    const auto refused = Channel::connect(path);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("is bitnetd running?"), std::string::npos);
    EXPECT_FALSE(Channel::connect("").ok());
    EXPECT_FALSE(Channel::connect(std::string(200, 'x')).ok());
    const Fd listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    ASSERT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(listen(listener.get(), 1), 0);
    auto client = Channel::connect(path);
    unlink(path.c_str());
    ASSERT_TRUE(client.ok()) << client.error().message;
    Channel ours(std::move(client).value());
    ASSERT_TRUE(ours.send(MessageType::kInspect).ok());
    Channel theirs(Fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)));
    EXPECT_EQ((*theirs.receive())->type, MessageType::kInspect);
}

TEST(TextField, IsBoundedBothWays) {
    char field[8];
    std::memset(field, 'z', sizeof field);
    EXPECT_EQ(field_text(field), "zzzzzzzz") << "no NUL: all of it and no more";
    set_field(field, "abc");
    EXPECT_EQ(field_text(field), "abc");
    EXPECT_EQ(field[7], '\0') << "no stale bytes";
    set_field(field, "abcdefghij");
    EXPECT_EQ(field_text(field), "abcdefg");
    EXPECT_EQ(printable("a\x1b[0m\xff!\n\n"), "a?[0m?!");
}

}  // namespace
}  // namespace bitnetd::shm
