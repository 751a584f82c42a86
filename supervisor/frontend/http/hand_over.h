// HandOver: the Heir behind a control channel (kHandOver): idle client connections go to the next
// frontend by SCM_RIGHTS, up to kControlFdsMax in one kConnection message. Never blocks: while the
// channel is full nothing more is taken, and what could not be sent comes back when the successor
// is gone. What it had received by then ends with it. Loop thread only.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/base/fd.h"
#include "shm/control/channel.h"
#include "supervisor/frontend/http/fd_watch.h"
#include "supervisor/frontend/http/heir.h"

namespace bitnetd::frontend::http {

class Server;

class HandOver final : public Heir {
  public:
    // `channel` is a shm::Channel's socket. `on_sent` is called from the loop whenever nothing is
    // left to be sent any more, or will be. `server` outlives this.
    HandOver(Server& server, Fd channel, std::function<void()> on_sent);

    // What could not be sent is the server's again.
    ~HandOver() override;

    bool is_there() const noexcept override { return channel_.has_value(); }
    size_t room() const noexcept override {
        return is_there() && !is_sending() ? shm::kControlFdsMax : 0;
    }
    void take(std::vector<Fd> sockets) override;

    // Some connections are not with the kernel yet: to end now would end them.
    bool is_sending() const noexcept { return !unsent_.empty(); }

  private:
    void on_ready(int events);
    void fail(const std::string& reason);
    void take_back();

    Server& server_;
    std::optional<shm::Channel> channel_;
    std::optional<FdWatch> watch_;
    std::vector<Fd> unsent_;  // what the channel holds copies of
    std::function<void()> on_sent_;
};

}  // namespace bitnetd::frontend::http
