// The control socket: where operators' tools ask the running server. SOCK_SEQPACKET at a path that
// only our own user may open; who connects is checked by SO_PEERCRED as well (same user, or root).
//
// Today it answers kInspect: the list of all segments with read-only descriptors (bitnet-shmdump).
// A session has one question and a deadline, and there are few at once; a tool that breaks the
// protocol loses its session and nothing else. Supervisor process, its loop.
#pragma once

#include <sys/types.h>
#include <uv.h>

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "shm/control/channel.h"
#include "supervisor/lifecycle/process/inspect_entry.h"
#include "supervisor/lifecycle/uv_handles.h"

namespace bitnetd::supervisor {

inline constexpr size_t kControlSessionsMax = 8;
inline constexpr uint64_t kControlSessionMs = 10'000;

class ControlListener {
  public:
    using Inspect = std::function<std::vector<InspectEntry>()>;

    // Binds and listens at `path`; removes a stale socket there. `inspect` is called for each
    // kInspect.
    static Result<std::unique_ptr<ControlListener>> open(uv_loop_t* loop, const std::string& path,
                                                         Inspect inspect);
    ControlListener(const ControlListener&) = delete;
    ControlListener& operator=(const ControlListener&) = delete;
    ~ControlListener();

  private:
    struct Session {
        explicit Session(Fd socket) : channel(std::move(socket)) {}
        shm::Channel channel;
        std::unique_ptr<Poller> poller;
        std::unique_ptr<Timer> deadline;
    };
    ControlListener(uv_loop_t* loop, std::string path, Fd socket, Inspect inspect);
    void accept_one();
    void serve(Session& session);
    Result<bool> answer(Session& session);
    Result<void> send_list(Session& session);
    void end(Session& session);

    uv_loop_t* loop_;
    std::string path_;
    Fd socket_;
    Inspect inspect_;
    std::list<Session> sessions_;
    std::unique_ptr<Poller> poller_;
};

// Whether the process at the other end of a unix socket may give orders: our own user, or root.
bool peer_may_control(int socket);

}  // namespace bitnetd::supervisor
