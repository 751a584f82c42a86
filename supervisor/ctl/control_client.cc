#include "supervisor/ctl/control_client.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "common/base/clock.h"
#include "shm/control/text_field.h"
#include "supervisor/ctl/answer_json.h"

namespace bitnetd::supervisor {

using shm::MessageType;

Result<ControlClient> ControlClient::connect(const std::string& path) {
    BITNETD_ASSIGN(Fd socket, shm::Channel::connect(path));
    return ControlClient(std::move(socket));
}

Result<CommandEnd> ControlClient::ask(const shm::CommandMessage& message, uint64_t silence_max_ms,
                                      Interrupts& interrupts, const Take& take) {
    BITNETD_TRY(channel_.send(MessageType::kCommand, message));
    CommandEnd end;
    while (true) {
        const auto wanted = static_cast<short>(POLLIN | (channel_.wants_write() ? POLLOUT : 0));
        pollfd ready[] = {{channel_.fd(), wanted, 0}, {interrupts.fd(), POLLIN, 0}};
        const int count = poll(ready, std::size(ready), static_cast<int>(silence_max_ms));
        if (count < 0 && errno != EINTR) return io_error("poll", errno);
        if (const auto signal = interrupts.take()) {
            end.interrupted_by = *signal;
            return end;
        }
        if (count == 0) {
            return Error{ErrorCode::kInternal, "the server has said nothing for " +
                                                   std::to_string(silence_max_ms / 1000) + " s"};
        }
        // A send that fails because the server is gone is told by what it said last.
        static_cast<void>(channel_.flush());
        BITNETD_ASSIGN(const bool last, take_all(end, take));
        if (last) return end;
    }
}

// True when the end was among what had come.
Result<bool> ControlClient::take_all(CommandEnd& end, const Take& take) {
    while (true) {
        auto message = channel_.receive();
        if (!message.ok() && channel_.closed()) {
            return Error{ErrorCode::kUnavailable,
                         "the server closed the connection before it answered"};
        }
        if (!message.ok()) return std::move(message).error().within("the server");
        if (!*message) return false;
        BITNETD_TRY((*message)->expect_fds(0));
        if ((*message)->type == MessageType::kCommandText) {
            BITNETD_TRY(take((*message)->text()));
        } else if ((*message)->type == MessageType::kCommandEnd) {
            BITNETD_ASSIGN(const auto said, (*message)->as<shm::CommandEndMessage>());
            end.failed = said.failed != 0;
            end.text = shm::printable(shm::field_text(said.text));
            return true;
        } else {
            return invalid("the server: message type " +
                           std::to_string(static_cast<unsigned>((*message)->type)) +
                           " is not an answer to a command");
        }
    }
}

Result<WholeAnswer> ask_whole(ControlClient& client, const shm::CommandMessage& message,
                              Interrupts& interrupts) {
    WholeAnswer answer;
    const auto append = [&text = answer.text](std::string_view piece) -> Result<void> {
        if (text.size() + piece.size() > kAnswerBytesMax) {
            return invalid("the server's answer is longer than " + std::to_string(kAnswerBytesMax) +
                           " bytes");
        }
        text += piece;
        return {};
    };
    BITNETD_ASSIGN(answer.end, client.ask(message, kAnswerSilenceMs, interrupts, append));
    return answer;
}

}  // namespace bitnetd::supervisor
