// ControlClient: one question to a running server, over its control socket. Everything that comes
// back is bounded: a server that breaks the protocol costs an error message.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "shm/abi/rollout_abi.h"
#include "shm/control/channel.h"
#include "supervisor/ctl/interrupts.h"

namespace bitnetd::supervisor {

struct CommandEnd {
    bool failed = false;     // not done, or what it began did not complete
    std::string text;        // why, or what happened; printable
    int interrupted_by = 0;  // a signal to us; the server goes on without us
};

// The longest silence before we give up. Answers come at once; a rollout speaks whenever it moves,
// but the old ones' draining, at its end, may take as long as rollout.drain_timeout_ms.
inline constexpr uint64_t kAnswerSilenceMs = 30'000;
inline constexpr uint64_t kWatchSilenceMs = 24ull * 3600 * 1000;

class ControlClient {
  public:
    // The error: nobody listens there, or this user may not ask.
    static Result<ControlClient> connect(const std::string& path);

    // Asks, and calls `take` for each kCommandText until kCommandEnd. kUnavailable: the connection
    // ended before that, as it does when the server stops or is replaced.
    using Take = std::function<Result<void>(std::string_view text)>;
    Result<CommandEnd> ask(const shm::CommandMessage& message, uint64_t silence_max_ms,
                           Interrupts& interrupts, const Take& take);

  private:
    explicit ControlClient(Fd socket) : channel_(std::move(socket)) {}
    Result<bool> take_all(CommandEnd& end, const Take& take);

    shm::Channel channel_;
};

// The whole of an answer that comes in pieces, at most kAnswerBytesMax of it.
struct WholeAnswer {
    std::string text;
    CommandEnd end;
};
Result<WholeAnswer> ask_whole(ControlClient& client, const shm::CommandMessage& message,
                              Interrupts& interrupts);

}  // namespace bitnetd::supervisor
