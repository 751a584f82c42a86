// libuv handles that close themselves. The loop owns each handle's memory until its close callback
// has run, so an object here may be destroyed at any time, also by its own callback. Main thread.
#pragma once

#include <uv.h>

#include <cstdint>
#include <functional>

namespace bitnetd::supervisor {

using Callback = std::function<void()>;

// Calls `ready` while `fd` is readable (and writable, when asked). The descriptor stays the
// caller's and must be open for as long as this lives.
class Poller {
  public:
    Poller(uv_loop_t* loop, int fd, Callback ready);
    ~Poller();
    Poller(const Poller&) = delete;
    Poller& operator=(const Poller&) = delete;

    // Whether to be called when the descriptor is writable, too.
    void also_writable(bool wanted);

  private:
    struct State;
    State* state_;
};

class Timer {
  public:
    Timer(uv_loop_t* loop, Callback fired);
    ~Timer();
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    // Replaces an earlier start. repeat_ms 0: once.
    void start(uint64_t after_ms, uint64_t repeat_ms = 0);
    void stop();

  private:
    struct State;
    State* state_;
};

class SignalWatch {
  public:
    SignalWatch(uv_loop_t* loop, int number, Callback received);
    ~SignalWatch();
    SignalWatch(const SignalWatch&) = delete;
    SignalWatch& operator=(const SignalWatch&) = delete;

  private:
    struct State;
    State* state_;
};

}  // namespace bitnetd::supervisor
