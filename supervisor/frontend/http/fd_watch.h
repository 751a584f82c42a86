// A uv_poll_t that may be dropped at any time, its own callback included: libuv needs the handle
// until it has closed it, which is later. The descriptor stays the caller's and may be closed once
// the watch is gone. Loop thread only.
#pragma once

#include <uv.h>

#include <functional>

namespace bitnetd::frontend::http {

class FdWatch {
  public:
    // `on_ready` gets the events, or 0 when the descriptor failed.
    FdWatch(uv_loop_t* loop, int fd, std::function<void(int events)> on_ready);
    ~FdWatch();
    FdWatch(const FdWatch&) = delete;
    FdWatch& operator=(const FdWatch&) = delete;

    // False: it cannot be watched; on_ready never comes.
    bool is_valid() const { return state_ != nullptr; }
    // UV_READABLE and the like; 0: nothing, for now.
    void want(int events);

  private:
    struct State {
        uv_poll_t poll{};
        std::function<void(int)> on_ready;
        bool is_dropped = false;
    };
    State* state_;  // owned by libuv once it is being closed
};

}  // namespace bitnetd::frontend::http
