// Listener: one listening socket. Accepts by hand rather than through uv_listen, so that a full
// server or process leaves connections in the kernel's backlog, where a sibling may take them,
// instead of spinning or closing them. Frontend process, loop thread only.
#pragma once

#include <uv.h>

#include "common/base/fd.h"

namespace bitnetd::frontend::http {

class Server;

class Listener {
  public:
    Listener(Server& server, Fd socket) : server_(server), socket_(std::move(socket)) {}

    // A libuv error code, 0 on success. After a failure the listener may be deleted at once.
    int start();
    void resume();
    void pause();
    void close();  // deletes itself when libuv is done

  private:
    static void on_readable(uv_poll_t* handle, int status, int events) noexcept;
    void accept_some();
    // True to go on with the next one.
    bool accept_one();

    Server& server_;
    Fd socket_;
    uv_poll_t poll_{};
    bool paused_ = false;
};

}  // namespace bitnetd::frontend::http
