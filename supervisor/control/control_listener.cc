#include "supervisor/control/control_listener.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/log/log.h"
#include "shm/control/text_field.h"
#include "supervisor/lifecycle/settings/listeners.h"

namespace bitnetd::supervisor {

bool peer_may_control(int socket) {
    ucred peer{};
    socklen_t length = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return false;
    return peer.uid == 0 || peer.uid == geteuid();
}

// Says nothing any more once its session is gone.
class ControlListener::Reply final : public CommandReply {
  public:
    Reply(ControlListener& listener, Session& session) : listener_(&listener), session_(&session) {}
    void detach() { session_ = nullptr; }

    bool is_open() const override { return session_ != nullptr; }
    void text(std::string_view text) override {
        do {
            const std::string_view piece = text.substr(0, shm::kControlPayloadMax);
            text.remove_prefix(piece.size());
            if (!is_open()) return;
            listener_->after_send(
                *session_, session_->channel.send_text(shm::MessageType::kCommandText, piece));
        } while (!text.empty());
    }
    void end(bool failed, std::string_view text) override {
        if (!is_open()) return;
        shm::CommandEndMessage message{};
        message.failed = failed ? 1 : 0;
        shm::set_field(message.text, text);
        Session& session = *session_;
        ControlListener& listener = *listener_;
        detach();
        session.reply.reset();  // this object may end here
        session.deadline->start(kControlSessionMs);
        listener.after_send(session, session.channel.send(shm::MessageType::kCommandEnd, message));
    }

  private:
    ControlListener* listener_;
    Session* session_;
};

Result<Fd> ControlListener::bind(const std::string& path) {
    BITNETD_TRY(remove_stale_socket(path));
    BITNETD_ASSIGN(const ListenAddress address, parse_listen_address("unix:" + path));
    Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return io_error("control socket", errno);
    BITNETD_TRY(bind_unix(socket.get(), address, 0600));
    if (listen(socket.get(), static_cast<int>(kControlSessionsMax)) != 0) {
        return io_error("listen on the control socket " + path, errno);
    }
    return socket;
}

ControlListener::ControlListener(uv_loop_t* loop, std::string path, Fd socket, Operator& chief)
    : loop_(loop),
      path_(std::move(path)),
      socket_(std::move(socket)),
      chief_(chief),
      pause_(std::make_unique<Timer>(loop, [this] { listen_on(); })) {
    listen_on();
}

ControlListener::~ControlListener() {
    poller_.reset();
    for (Session& session : sessions_) {
        if (session.reply) session.reply->detach();
    }
    unlink(path_.c_str());
}

void ControlListener::listen_on() {
    poller_ = std::make_unique<Poller>(loop_, socket_.get(), [this] { accept_one(); });
}

void ControlListener::accept_one() {
    Fd connection(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;  // it went away
        // Out of descriptors or memory: the socket stays readable, and would keep the loop turning.
        log::warn("control_paused", {{"error", std::strerror(errno)}});
        poller_.reset();
        pause_->start(kControlPauseMs);
        return;
    }
    if (!peer_may_control(connection.get())) {
        log::warn("control_refused", {{"reason", "another user"}});
        return;
    }
    if (sessions_.size() >= kControlSessionsMax) {
        log::warn("control_refused", {{"reason", "too many sessions"}});
        return;
    }
    Session& session = sessions_.emplace_back(std::move(connection));
    session.poller =
        std::make_unique<Poller>(loop_, session.channel.fd(), [this, &session] { serve(session); });
    session.deadline = std::make_unique<Timer>(loop_, [this, &session] { end(session); });
    session.deadline->start(kControlSessionMs);
}

void ControlListener::serve(Session& session) {
    auto flushed = session.channel.flush();
    auto more = flushed.ok() ? answer(session) : Result<bool>(std::move(flushed).error());
    if (!more.ok() && more.error().code != ErrorCode::kUnavailable) {
        log::warn("control_session_failed", {{"error", more.error().message}});
    }
    if (!more.ok() || !*more) {
        end(session);
        return;
    }
    session.poller->also_writable(session.channel.wants_write());
}

// False: the other side is done.
Result<bool> ControlListener::answer(Session& session) {
    BITNETD_ASSIGN(auto message, session.channel.receive());
    if (!message) return true;
    if (session.reply) return invalid("a second question before the first one's answer");
    BITNETD_TRY(message->expect_fds(0));
    if (message->type == shm::MessageType::kInspect) {
        BITNETD_TRY(send_list(session));
    } else if (message->type == shm::MessageType::kCommand) {
        BITNETD_TRY(take_command(session, *message));
    } else {
        return invalid("message type " + std::to_string(static_cast<int>(message->type)) +
                       " is not an order");
    }
    return true;
}

Result<void> ControlListener::take_command(Session& session, const shm::Message& message) {
    BITNETD_ASSIGN(const auto command, message.as<shm::CommandMessage>());
    session.reply = std::make_shared<Reply>(*this, session);
    // A rollout takes as long as it takes; the tool may leave at any time.
    if ((command.flags & shm::kCommandWatch) != 0) session.deadline->stop();
    chief_.command(command, session.reply);
    return {};
}

Result<void> ControlListener::send_list(Session& session) {
    const std::vector<InspectEntry> entries = chief_.inspect();
    for (const InspectEntry& entry : entries) {
        const int fds[] = {entry.fd.get()};
        BITNETD_TRY(session.channel.send(shm::MessageType::kInspectItem, entry.item, fds));
    }
    return session.channel.send(shm::MessageType::kInspectEnd);
}

// A tool that does not read loses its session, in the next turn of the loop: whoever speaks to it
// now may still hold it.
void ControlListener::after_send(Session& session, const Result<void>& sent) {
    if (sent.ok()) {
        session.poller->also_writable(session.channel.wants_write());
        return;
    }
    if (session.reply) session.reply->detach();
    session.deadline->start(0);
}

void ControlListener::end(Session& session) {
    if (session.reply) session.reply->detach();
    sessions_.remove_if([&](const Session& other) { return &other == &session; });
}

}  // namespace bitnetd::supervisor
