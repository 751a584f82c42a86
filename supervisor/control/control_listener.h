// The control socket: where operators' tools talk to the running server. SOCK_SEQPACKET at a path
// that only our own user may open; who connects is checked by SO_PEERCRED as well (same user, or
// root).
//
// It answers kInspect (bitnet-shmdump) with the list of all segments and read-only descriptors, and
// kCommand (bitnetctl) with what the Operator says. A session has one question at a time and a
// deadline, but while it watches a rollout; there are few at once; a tool that breaks the protocol
// or does not read loses its session and nothing else. Supervisor process, its loop.
#pragma once

#include <sys/types.h>
#include <uv.h>

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "shm/control/channel.h"
#include "supervisor/lifecycle/operator.h"
#include "supervisor/lifecycle/uv_handles.h"

namespace bitnetd::supervisor {

inline constexpr size_t kControlSessionsMax = 8;
inline constexpr uint64_t kControlSessionMs = 10'000;
inline constexpr uint64_t kControlPauseMs = 1'000;  // when no connection can be taken

class ControlListener {
  public:
    // Binds and listens at `path`; removes a stale socket there.
    static Result<Fd> bind(const std::string& path);
    // Serves on a socket that listens at `path`. `chief` outlives this.
    ControlListener(uv_loop_t* loop, std::string path, Fd socket, Operator& chief);
    ControlListener(const ControlListener&) = delete;
    ControlListener& operator=(const ControlListener&) = delete;
    ~ControlListener();

    int fd() const { return socket_.get(); }

  private:
    class Reply;
    struct Session {
        explicit Session(Fd socket) : channel(std::move(socket)) {}
        shm::Channel channel;
        std::unique_ptr<Poller> poller;
        std::unique_ptr<Timer> deadline;
        std::shared_ptr<Reply> reply;  // of the command that is being answered
    };
    void listen_on();
    void accept_one();
    void serve(Session& session);
    Result<bool> answer(Session& session);
    Result<void> send_list(Session& session);
    Result<void> take_command(Session& session, const shm::Message& message);
    void after_send(Session& session, const Result<void>& sent);
    void end(Session& session);

    uv_loop_t* loop_;
    std::string path_;
    Fd socket_;
    Operator& chief_;
    std::list<Session> sessions_;
    std::unique_ptr<Poller> poller_;
    std::unique_ptr<Timer> pause_;
};

// Whether the process at the other end of a unix socket may give orders: our own user, or root.
bool peer_may_control(int socket);

}  // namespace bitnetd::supervisor
