// Control channel: typed messages with descriptors over one end of a SOCK_SEQPACKET socket. Both
// ends use it: the supervisor for each child, a child for its supervisor, tools for the control
// listener.
//
// Nothing here blocks but wait(). Received descriptors are close-on-exec and owned by the Message.
// Every header is checked; what is inside a payload is the receiver's to check: as<T>() checks its
// size, field_text() (text_field.h) bounds its texts. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/fd.h"
#include "common/base/result.h"
#include "shm/abi/control_abi.h"

namespace bitnetd::shm {

struct Message {
    MessageType type{};
    std::vector<std::byte> payload;
    std::vector<Fd> fds;

    // The payload as a T; kInvalid when it is not exactly that long.
    template <typename T>
    requires std::is_trivially_copyable_v<T> Result<T> as()
    const {
        if (payload.size() != sizeof(T)) return wrong_size(sizeof(T));
        return load<T>(payload.data());
    }
    std::string_view text() const noexcept {
        return {reinterpret_cast<const char*>(payload.data()), payload.size()};
    }
    // kInvalid unless exactly `count` descriptors came with it.
    Result<void> expect_fds(size_t count) const;

  private:
    Error wrong_size(size_t expected) const;
};

// Messages and bytes that wait for a full socket; beyond: the other side does not read, kExhausted.
inline constexpr size_t kChannelQueueMax = 1024;
inline constexpr size_t kChannelQueueBytesMax = 8 * 1024 * 1024;

class Channel {
  public:
    // Two connected ends, close-on-exec, non-blocking.
    static Result<std::pair<Fd, Fd>> make_pair();
    // A connection to a control listener (a SOCK_SEQPACKET socket at `path`).
    static Result<Fd> connect(const std::string& path);

    explicit Channel(Fd socket) noexcept;

    // Sends at once, or queues in order when the socket is full (then wants_write()). The
    // descriptors stay the caller's: queued ones are duplicated. Errors: kInvalid (payload or
    // descriptors over the limit: nothing was sent), kExhausted (queue full), kUnavailable (the
    // other side is gone), kIo.
    Result<void> send(MessageType type, std::span<const std::byte> payload = {},
                      std::span<const int> fds = {});
    template <typename T>
    requires(std::is_trivially_copyable_v<T> &&
             !std::is_convertible_v<T, std::span<const std::byte>>)
        Result<void> send(MessageType type, const T& value, std::span<const int> fds = {}) {
        return send(type, std::as_bytes(std::span<const T, 1>(&value, 1)), fds);
    }
    Result<void> send_text(MessageType type, std::string_view text);

    // Sends what is queued, as far as the socket takes it. Call it when the socket is writable.
    Result<void> flush();
    bool wants_write() const noexcept { return !queue_.empty(); }

    // The next message; nullopt when there is none now. kUnavailable: the other side closed (EOF)
    // or died, closed() is true from then on. kInvalid: it broke the protocol; close the channel.
    Result<std::optional<Message>> receive();
    bool closed() const noexcept { return closed_; }

    // Blocks until a message comes or `deadline_ns` (monotonic) passed (kUnavailable). For the
    // start of a child and for tools; never in a loop that serves.
    Result<Message> wait(uint64_t deadline_ns);

    int fd() const noexcept { return socket_.get(); }

  private:
    struct Queued {
        std::vector<std::byte> packet;
        std::vector<Fd> fds;
    };
    Result<bool> send_packet(std::span<const std::byte> packet, std::span<const int> fds);
    Result<void> enqueue(std::vector<std::byte> packet, std::span<const int> fds);
    Error gone(std::string_view doing);

    Fd socket_;
    std::deque<Queued> queue_;
    size_t queue_bytes_ = 0;
    std::vector<std::byte> buffer_;  // one packet of the largest size
    bool closed_ = false;
};

}  // namespace bitnetd::shm
