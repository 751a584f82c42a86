// ChildLink: what every child with a board does first. Its control socket is descriptor 3; the
// supervisor sends kSelf, kSettings, what the role needs, and kStart. start() takes all of that in,
// and afterwards the process is on the board: pid, state, heartbeat, last words.
//
// Worker and frontend, main thread. The loader has no board: it uses a Channel on kControlFd and
// wait(). The supervisor is trusted here, yet checked: a wrong message is kExitProtocol, not a
// crash.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/base/result.h"
#include "common/config/params.h"
#include "shm/board/board.h"
#include "shm/control/channel.h"
#include "shm/ring/doorbell.h"

namespace bitnetd::shm {

// Where spawn puts the child's end of its control socket.
inline constexpr int kControlFd = 3;
// Messages between kSelf and kStart; a supervisor that sends more is broken.
inline constexpr size_t kSetupMessagesMax = 4096;

class ChildLink {
  public:
    // On kControlFd. Fails when the process was not started by bitnetd (no control socket there),
    // when kStart did not come within `timeout_ms`, or when a message is not as agreed or the board
    // is not one of `role`.
    static Result<ChildLink> start(Role role, uint64_t timeout_ms);
    // The same on a given socket.
    static Result<ChildLink> start(Fd socket, Role role, uint64_t timeout_ms);

    uint64_t incarnation() const noexcept { return self_.incarnation; }
    uint32_t slot() const noexcept { return self_.slot; }
    const SelfMessage& self() const noexcept { return self_; }
    const Params& params() const noexcept { return params_; }
    BoardWriter& board() noexcept { return *board_; }
    // The memory of one's own board, to read it as others do.
    const Segment& board_segment() const noexcept { return board_segment_; }
    Doorbell& doorbell() noexcept { return *doorbell_; }

    // What came between kSelf and kStart and is the role's own (kWeights, kListen, kModel,
    // kPeer...), in order. The second call returns nothing.
    std::vector<Message> take_setup();

    // kReady to the supervisor, and kReady on the board.
    Result<void> send_ready(const ReadyMessage& ready);

    // Later messages: kPeer, kPeerGone, kBoard, kModel, kDrain... As Channel::receive();
    // kUnavailable means that the supervisor is gone (kExitLostSupervisor).
    Result<std::optional<Message>> receive() { return channel_.receive(); }
    Channel& channel() noexcept { return channel_; }
    int fd() const noexcept { return channel_.fd(); }

  private:
    explicit ChildLink(Fd socket) : channel_(std::move(socket)) {}
    Result<void> take_self(Message message, Role role);
    Result<void> take_in(Role role, uint64_t deadline_ns);

    Channel channel_;
    SelfMessage self_{};
    Params params_;
    Segment board_segment_;
    std::optional<BoardWriter> board_;
    std::optional<Doorbell> doorbell_;
    std::vector<Message> setup_;
};

}  // namespace bitnetd::shm
