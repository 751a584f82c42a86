#include "supervisor/control/control_listener.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "common/log/log.h"
#include "supervisor/lifecycle/settings/listeners.h"

namespace bitnetd::supervisor {

bool peer_may_control(int socket) {
    ucred peer{};
    socklen_t length = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return false;
    return peer.uid == 0 || peer.uid == geteuid();
}

Result<std::unique_ptr<ControlListener>> ControlListener::open(uv_loop_t* loop,
                                                               const std::string& path,
                                                               Inspect inspect) {
    BITNETD_TRY(remove_stale_socket(path));
    BITNETD_ASSIGN(const ListenAddress address, parse_listen_address("unix:" + path));
    Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return io_error("control socket", errno);
    BITNETD_TRY(bind_unix(socket.get(), address, 0600));
    if (listen(socket.get(), static_cast<int>(kControlSessionsMax)) != 0) {
        return io_error("listen on the control socket " + path, errno);
    }
    return std::unique_ptr<ControlListener>(
        new ControlListener(loop, path, std::move(socket), std::move(inspect)));
}

ControlListener::ControlListener(uv_loop_t* loop, std::string path, Fd socket, Inspect inspect)
    : loop_(loop),
      path_(std::move(path)),
      socket_(std::move(socket)),
      inspect_(std::move(inspect)),
      poller_(std::make_unique<Poller>(loop, socket_.get(), [this] { accept_one(); })) {}

ControlListener::~ControlListener() {
    poller_.reset();
    unlink(path_.c_str());
}

void ControlListener::accept_one() {
    Fd connection(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection) return;  // it went away again, or we are out of descriptors: later
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
    if (message->type != shm::MessageType::kInspect) {
        return invalid("message type " + std::to_string(static_cast<int>(message->type)) +
                       " is not an order");
    }
    BITNETD_TRY(message->expect_fds(0));
    BITNETD_TRY(send_list(session));
    return true;
}

Result<void> ControlListener::send_list(Session& session) {
    const std::vector<InspectEntry> entries = inspect_();
    for (const InspectEntry& entry : entries) {
        const int fds[] = {entry.fd.get()};
        BITNETD_TRY(session.channel.send(shm::MessageType::kInspectItem, entry.item, fds));
    }
    return session.channel.send(shm::MessageType::kInspectEnd);
}

void ControlListener::end(Session& session) {
    sessions_.remove_if([&](const Session& other) { return &other == &session; });
}

}  // namespace bitnetd::supervisor
