#include "supervisor/frontend/http/fd_watch.h"

#include <utility>

namespace bitnetd::frontend::http {

FdWatch::FdWatch(uv_loop_t* loop, int fd, std::function<void(int events)> on_ready)
    : state_(new State) {
    state_->on_ready = std::move(on_ready);
    state_->poll.data = state_;
    if (uv_poll_init(loop, &state_->poll, fd) == 0) return;
    delete state_;
    state_ = nullptr;
}

FdWatch::~FdWatch() {
    if (state_ == nullptr) return;
    state_->is_dropped = true;
    uv_close(reinterpret_cast<uv_handle_t*>(&state_->poll),
             [](uv_handle_t* handle) noexcept { delete static_cast<State*>(handle->data); });
}

void FdWatch::want(int events) {
    if (state_ == nullptr) return;
    if (events == 0) {
        uv_poll_stop(&state_->poll);
        return;
    }
    uv_poll_start(&state_->poll, events, [](uv_poll_t* handle, int status, int ready) noexcept {
        auto& state = *static_cast<State*>(handle->data);
        if (!state.is_dropped) state.on_ready(status < 0 ? 0 : ready);
    });
}

}  // namespace bitnetd::frontend::http
