#include "supervisor/frontend/http/hand_over.h"

#include <utility>

#include "common/log/log.h"
#include "supervisor/frontend/http/server.h"

namespace bitnetd::frontend::http {

HandOver::HandOver(Server& server, Fd channel, std::function<void()> on_sent)
    : server_(server), on_sent_(std::move(on_sent)) {
    channel_.emplace(std::move(channel));
    watch_.emplace(server.loop(), channel_->fd(), [this](int events) { on_ready(events); });
    watch_->want(UV_READABLE);
    if (!watch_->is_valid()) fail("the channel cannot be watched");
}

HandOver::~HandOver() {
    take_back();
}

void HandOver::take(std::vector<Fd> sockets) {
    std::vector<int> fds;
    for (const Fd& socket : sockets)
        fds.push_back(socket.get());
    unsent_ = std::move(sockets);
    if (const auto sent = channel_->send(shm::MessageType::kConnection, {}, fds); !sent.ok()) {
        return fail(sent.error().message);
    }
    if (channel_->wants_write())
        watch_->want(UV_READABLE | UV_WRITABLE);
    else
        unsent_.clear();
}

// The successor says nothing: what can be read is its end.
void HandOver::on_ready(int events) {
    if (events == 0) return fail("the channel failed");
    if ((events & UV_READABLE) != 0) {
        const auto message = channel_->receive();
        if (!message.ok()) return fail(message.error().message);
        if (message->has_value()) return fail("the successor sent a message; it has none to send");
    }
    if ((events & UV_WRITABLE) == 0) return;
    if (const auto flushed = channel_->flush(); !flushed.ok()) {
        return fail(flushed.error().message);
    }
    if (channel_->wants_write()) return;
    watch_->want(UV_READABLE);
    unsent_.clear();
    server_.offer_idle();
    on_sent_();
}

// The connections that wait are served here after all.
void HandOver::fail(const std::string& reason) {
    log::warn("hand_over_failed", {{"reason", reason}, {"taken_back", unsent_.size()}});
    watch_.reset();
    channel_.reset();
    take_back();
    on_sent_();
}

void HandOver::take_back() {
    for (Fd& socket : std::exchange(unsent_, {}))
        server_.inherit(std::move(socket));
}

}  // namespace bitnetd::frontend::http
