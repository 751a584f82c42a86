// A real bitnetd-frontend whose supervisor is the test: board, doorbell, a listening socket on
// 127.0.0.1 and models over its control socket, and a plain client. Waits end with the test's
// watchdog (ctest); none of them is by time.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/fd.h"
#include "common/config/params.h"
#include "shm/board/board.h"
#include "shm/control/channel.h"
#include "shm/segment/segment.h"

namespace bitnetd::frontend {

class FrontendChild {
  public:
    static constexpr uint64_t kIncarnation = 7;

    static Params quiet();
    // It has its board, its settings and its listening socket, and waits for start().
    explicit FrontendChild(const Params& params = quiet());
    ~FrontendChild();

    void start() { send(shm::MessageType::kStart); }
    void start_and_wait();

    template <typename T>
    void send(shm::MessageType type, const T& value, const std::vector<int>& fds = {}) {
        send_bytes(type, std::as_bytes(std::span<const T, 1>(&value, 1)), fds);
    }
    void send(shm::MessageType type) { send_bytes(type, {}, {}); }
    enum class Seal : uint8_t { kSealed, kOpen };
    void send_model(uint64_t key, const std::string& id, std::span<const std::byte> image,
                    Seal seal = Seal::kSealed);
    // The next message of this type; others are passed over.
    shm::Message expect(shm::MessageType type);
    // Until it has said something, which stays unread.
    void await_words() const;
    void hang_up() { channel_.reset(); }

    void ring() const;  // its doorbell, as a worker does
    shm::BoardView board() const;
    void await(const std::function<bool()>& done) const;

    // Its exit code, or minus the signal that ended it.
    int wait_end();

    // A client of it.
    Fd connect() const;
    static void say(const Fd& socket, const std::string& bytes);
    // What comes until it closes the connection.
    static std::string read_to_end(const Fd& socket);

  private:
    void send_bytes(shm::MessageType type, std::span<const std::byte> payload,
                    const std::vector<int>& fds);
    void launch(int socket);
    void send_listener();

    std::optional<shm::Channel> channel_;
    Fd board_fd_, bell_;
    shm::Segment board_segment_;
    uint16_t port_ = 0;
    pid_t pid_ = -1;
};

}  // namespace bitnetd::frontend
