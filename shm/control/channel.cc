#include "shm/control/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "common/base/clock.h"

namespace bitnetd::shm {
namespace {

constexpr size_t kPacketMax = sizeof(MessageHeader) + kControlPayloadMax;

// Room for the descriptors of one packet, aligned as the kernel wants it.
struct ControlBuffer {
    alignas(cmsghdr) char bytes[CMSG_SPACE(kControlFdsMax * sizeof(int))];
};

// Takes every descriptor that arrived, wanted or not: what is not owned would leak.
std::vector<Fd> take_fds(msghdr& message) {
    std::vector<Fd> fds;
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; ++i) {
            fds.emplace_back(load<int>(CMSG_DATA(part) + i * sizeof(int)));
        }
    }
    return fds;
}

Result<Message> check_packet(std::span<const std::byte> packet, std::vector<Fd> fds) {
    if (packet.size() < sizeof(MessageHeader)) {
        return invalid("control message of " + std::to_string(packet.size()) +
                       " bytes has no header");
    }
    const auto header = load<MessageHeader>(packet.data());
    if (header.abi_version != kControlAbiVersion) {
        return invalid("control message of ABI version " + std::to_string(header.abi_version) +
                       ", expected " + std::to_string(kControlAbiVersion));
    }
    if (header.payload_bytes != packet.size() - sizeof header || header.reserved != 0) {
        return invalid("control message claims " + std::to_string(header.payload_bytes) +
                       " bytes of payload, found " + std::to_string(packet.size() - sizeof header));
    }
    if (header.fd_count != fds.size()) {
        return invalid("control message claims " + std::to_string(header.fd_count) +
                       " descriptors, found " + std::to_string(fds.size()));
    }
    const auto payload = packet.subspan(sizeof header);
    Message message;
    message.type = header.type;
    message.payload.assign(payload.begin(), payload.end());
    message.fds = std::move(fds);
    return message;
}

}  // namespace

Result<void> Message::expect_fds(size_t count) const {
    if (fds.size() == count) return {};
    return invalid("control message " + std::to_string(static_cast<unsigned>(type)) +
                   ": expected " + std::to_string(count) + " descriptors, found " +
                   std::to_string(fds.size()));
}

Error Message::wrong_size(size_t expected) const {
    return invalid("control message " + std::to_string(static_cast<unsigned>(type)) +
                   ": expected " + std::to_string(expected) + " bytes, found " +
                   std::to_string(payload.size()));
}

Result<std::pair<Fd, Fd>> Channel::make_pair() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        return io_error("socketpair", errno);
    }
    return std::pair<Fd, Fd>{Fd(ends[0]), Fd(ends[1])};
}

Result<Fd> Channel::connect(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
        return invalid("control socket \"" + path + "\": a path has 1 to " +
                       std::to_string(sizeof address.sun_path - 1) + " bytes");
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return io_error("socket", errno);
    if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        return io_error("connect to control socket " + path + " (is bitnetd running?)", errno);
    }
    return socket;
}

Channel::Channel(Fd socket) noexcept : socket_(std::move(socket)) {}

Error Channel::gone(std::string_view doing) {
    closed_ = true;
    return {ErrorCode::kUnavailable,
            std::string(doing) + ": the other side closed the control socket"};
}

// True: sent. False: the socket is full now.
Result<bool> Channel::send_packet(std::span<const std::byte> packet, std::span<const int> fds) {
    iovec part{const_cast<std::byte*>(packet.data()), packet.size()};
    ControlBuffer control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(fds.size_bytes());
        cmsghdr* rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(fds.size_bytes());
        std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
    }
    while (true) {
        if (sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return true;
        if (errno == EINTR) continue;
        if (errno == EAGAIN) return false;
        if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return gone("send");
        return io_error("send a control message", errno);
    }
}

Result<void> Channel::enqueue(std::vector<std::byte> packet, std::span<const int> fds) {
    if (queue_.size() >= kChannelQueueMax || queue_bytes_ + packet.size() > kChannelQueueBytesMax) {
        return Error{ErrorCode::kExhausted, "control channel: the other side does not read; " +
                                                std::to_string(queue_.size()) + " messages wait"};
    }
    Queued queued;
    for (const int fd : fds) {
        queued.fds.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 0));
        if (!queued.fds.back())
            return io_error("duplicate a descriptor for a queued message", errno);
    }
    queue_bytes_ += packet.size();
    queued.packet = std::move(packet);
    queue_.push_back(std::move(queued));
    return {};
}

Result<void> Channel::send(MessageType type, std::span<const std::byte> payload,
                           std::span<const int> fds) {
    if (payload.size() > kControlPayloadMax || fds.size() > kControlFdsMax) {
        return invalid("control message " + std::to_string(static_cast<unsigned>(type)) + " of " +
                       std::to_string(payload.size()) + " bytes and " + std::to_string(fds.size()) +
                       " descriptors; at most " + std::to_string(kControlPayloadMax) + " and " +
                       std::to_string(kControlFdsMax));
    }
    if (closed_) return gone("send");
    const MessageHeader header{kControlAbiVersion, type, static_cast<uint16_t>(fds.size()),
                               static_cast<uint32_t>(payload.size()), 0};
    std::vector<std::byte> packet(sizeof header + payload.size());
    std::memcpy(packet.data(), &header, sizeof header);
    if (!payload.empty()) {
        std::memcpy(packet.data() + sizeof header, payload.data(), payload.size());
    }
    BITNETD_TRY(flush());  // order: what waits goes first
    if (queue_.empty()) {
        BITNETD_ASSIGN(const bool sent, send_packet(packet, fds));
        if (sent) return {};
    }
    return enqueue(std::move(packet), fds);
}

Result<void> Channel::send_text(MessageType type, std::string_view text) {
    return send(type, std::as_bytes(std::span(text)));
}

Result<void> Channel::flush() {
    while (!queue_.empty()) {
        const Queued& first = queue_.front();
        int fds[kControlFdsMax];
        for (size_t i = 0; i < first.fds.size(); ++i)
            fds[i] = first.fds[i].get();
        BITNETD_ASSIGN(const bool sent,
                       send_packet(first.packet, std::span<const int>(fds, first.fds.size())));
        if (!sent) return {};
        queue_bytes_ -= first.packet.size();
        queue_.pop_front();
    }
    return {};
}

Result<std::optional<Message>> Channel::receive() {
    if (closed_) return gone("receive");
    buffer_.resize(kPacketMax);  // allocates the first time only
    iovec part{buffer_.data(), buffer_.size()};
    ControlBuffer control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    ssize_t bytes = 0;
    do {
        bytes = recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (bytes < 0 && errno == EINTR);
    if (bytes < 0) {
        if (errno == EAGAIN) return std::optional<Message>{};
        if (errno == ECONNRESET || errno == ENOTCONN) return gone("receive");
        return io_error("receive a control message", errno);
    }
    std::vector<Fd> fds = take_fds(message);
    if ((message.msg_flags & MSG_CTRUNC) != 0) {
        return invalid("control message with more descriptors than the " +
                       std::to_string(kControlFdsMax) + " allowed (or than this process may open)");
    }
    if ((message.msg_flags & MSG_TRUNC) != 0) {
        return invalid("control message longer than " + std::to_string(kPacketMax) + " bytes");
    }
    // No message of ours is empty, so an empty read is the end, whoever forged it.
    if (bytes == 0) return gone("receive");
    BITNETD_ASSIGN(
        Message received,
        check_packet(std::span(buffer_).first(static_cast<size_t>(bytes)), std::move(fds)));
    return std::optional<Message>(std::move(received));
}

Result<Message> Channel::wait(uint64_t deadline_ns) {
    while (true) {
        BITNETD_ASSIGN(std::optional<Message> message, receive());
        if (message) return std::move(*message);
        const uint64_t now_ns = monotonic_ns();
        if (now_ns >= deadline_ns) {
            return Error{ErrorCode::kUnavailable, "no control message came in time"};
        }
        pollfd ready{socket_.get(), POLLIN, 0};
        const uint64_t left_ms = (deadline_ns - now_ns) / kNsPerMs + 1;
        const int timeout_ms = static_cast<int>(std::min<uint64_t>(left_ms, 60'000));
        if (poll(&ready, 1, timeout_ms) < 0 && errno != EINTR) return io_error("poll", errno);
    }
}

}  // namespace bitnetd::shm
