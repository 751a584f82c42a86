#include "supervisor/frontend/http/inheritance.h"

#include <utility>

#include "common/log/log.h"
#include "supervisor/frontend/http/server.h"

namespace bitnetd::frontend::http {
namespace {

// Of kControlFdsMax connections each. Then clients have their turn.
constexpr int kMessagesPerTurnMax = 64;

}  // namespace

Inheritance::Inheritance(Server& server, Fd channel, std::function<void()> on_end)
    : server_(server),
      channel_(std::move(channel)),
      on_end_(std::move(on_end)),
      watch_(server.loop(), channel_.fd(), [this](int) { on_ready(); }) {
    watch_.want(UV_READABLE);
}

void Inheritance::on_ready() {
    for (int i = 0; i < kMessagesPerTurnMax; ++i) {
        auto message = channel_.receive();
        if (!message.ok()) {
            if (!channel_.closed()) {
                log::warn("inheritance_failed", {{"reason", message.error().message}});
            }
            return end();
        }
        if (!message->has_value()) return;
        if (!take(std::move(**message))) return end();
    }
}

// False: it is not what a predecessor says.
bool Inheritance::take(shm::Message message) {
    if (message.type != shm::MessageType::kConnection || message.fds.empty()) {
        log::warn("inheritance_failed", {{"reason", "expected connections"},
                                         {"message", static_cast<int>(message.type)},
                                         {"descriptors", message.fds.size()}});
        return false;
    }
    for (Fd& socket : message.fds)
        server_.inherit(std::move(socket));
    return true;
}

void Inheritance::end() {
    watch_.want(0);
    const auto on_end = std::exchange(on_end_, nullptr);
    on_end();  // may destroy us
}

}  // namespace bitnetd::frontend::http
