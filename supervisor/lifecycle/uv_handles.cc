#include "supervisor/lifecycle/uv_handles.h"

#include "common/base/check.h"

namespace bitnetd::supervisor {

struct Poller::State {
    uv_poll_t handle;
    Callback ready;
    bool writable = false;

    void watch() {
        const int events = UV_READABLE | UV_DISCONNECT | (writable ? UV_WRITABLE : 0);
        const int started = uv_poll_start(&handle, events, [](uv_poll_t* poll, int, int) noexcept {
            static_cast<State*>(poll->data)->ready();
        });
        BITNETD_CHECK(started == 0);
    }
};

struct Timer::State {
    uv_timer_t handle;
    Callback fired;
};

struct SignalWatch::State {
    uv_signal_t handle;
    Callback received;
};

namespace {

template <typename State>
void close_handle(State* state) {
    uv_close(reinterpret_cast<uv_handle_t*>(&state->handle),
             [](uv_handle_t* handle) noexcept { delete static_cast<State*>(handle->data); });
}

}  // namespace

Poller::Poller(uv_loop_t* loop, int fd, Callback ready) : state_(new State) {
    state_->ready = std::move(ready);
    BITNETD_CHECK(uv_poll_init(loop, &state_->handle, fd) == 0);
    state_->handle.data = state_;
    state_->watch();
}

Poller::~Poller() {
    uv_poll_stop(&state_->handle);  // the descriptor may be closed right after this
    close_handle(state_);
}

void Poller::also_writable(bool wanted) {
    if (state_->writable == wanted) return;
    state_->writable = wanted;
    state_->watch();
}

Timer::Timer(uv_loop_t* loop, Callback fired) : state_(new State) {
    state_->fired = std::move(fired);
    BITNETD_CHECK(uv_timer_init(loop, &state_->handle) == 0);
    state_->handle.data = state_;
}

Timer::~Timer() {
    close_handle(state_);
}

void Timer::start(uint64_t after_ms, uint64_t repeat_ms) {
    uv_timer_start(
        &state_->handle,
        [](uv_timer_t* timer) noexcept { static_cast<State*>(timer->data)->fired(); }, after_ms,
        repeat_ms);
}

void Timer::stop() {
    uv_timer_stop(&state_->handle);
}

SignalWatch::SignalWatch(uv_loop_t* loop, int number, Callback received) : state_(new State) {
    state_->received = std::move(received);
    BITNETD_CHECK(uv_signal_init(loop, &state_->handle) == 0);
    state_->handle.data = state_;
    const int started = uv_signal_start(
        &state_->handle,
        [](uv_signal_t* signal, int) noexcept { static_cast<State*>(signal->data)->received(); },
        number);
    BITNETD_CHECK(started == 0);
}

SignalWatch::~SignalWatch() {
    close_handle(state_);
}

}  // namespace bitnetd::supervisor
