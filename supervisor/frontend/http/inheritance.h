// Inheritance: the other end of a HandOver (kPredecessor). Takes client connections from the
// frontend that was there before and gives them to the server, until the predecessor closes the
// channel. Whatever the predecessor sends, only descriptors are taken from it; one that cannot be
// served is closed. Loop thread only.
#pragma once

#include <functional>

#include "common/base/fd.h"
#include "shm/control/channel.h"
#include "supervisor/frontend/http/fd_watch.h"

namespace bitnetd::frontend::http {

class Server;

class Inheritance {
  public:
    // `channel` is a shm::Channel's socket. `on_end` is called once, from the loop, when nothing
    // more will come; this may then be destroyed, even there. `server` outlives this.
    Inheritance(Server& server, Fd channel, std::function<void()> on_end);

    bool is_over() const { return on_end_ == nullptr; }

  private:
    void on_ready();
    bool take(shm::Message message);
    void end();

    Server& server_;
    shm::Channel channel_;
    std::function<void()> on_end_;
    FdWatch watch_;
};

}  // namespace bitnetd::frontend::http
