#include "supervisor/frontend/http/listener.h"

#include <sys/socket.h>

#include <cerrno>

#include "supervisor/frontend/http/server.h"

namespace bitnetd::frontend::http {

int Listener::start() {
    if (const int error = uv_poll_init(server_.loop(), &poll_, socket_.get()); error != 0) {
        return error;
    }
    poll_.data = this;
    uv_poll_start(&poll_, UV_READABLE, on_readable);
    return 0;
}

void Listener::pause() {
    if (!paused_) uv_poll_stop(&poll_);
    paused_ = true;
}

void Listener::resume() {
    if (paused_) uv_poll_start(&poll_, UV_READABLE, on_readable);
    paused_ = false;
}

void Listener::close() {
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) noexcept {
        Listener* self = static_cast<Listener*>(handle->data);
        Server& server = self->server_;
        delete self;
        server.on_handle_closed();
    });
    socket_.reset();
}

void Listener::on_readable(uv_poll_t* handle, int, int) noexcept {
    static_cast<Listener*>(handle->data)->accept_some();
}

void Listener::accept_some() {
    // Bounded, so that a flood of new connections cannot starve the open ones.
    for (uint32_t i = 0; i < server_.limits().accepts_per_turn_max; ++i) {
        if (server_.is_full()) return server_.pause_accepting("connections_max");
        if (!accept_one()) return;
    }
}

bool Listener::accept_one() {
    Fd client(accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (client) {
        // A failure is the client's bad luck: it sees its connection closed.
        return server_.adopt(std::move(client)).ok();
    }
    switch (errno) {
        case EAGAIN:  // none left, or a sibling was faster
            return false;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            ++server_.counters().accept_failures;
            server_.pause_accepting(errno == EMFILE || errno == ENFILE ? "descriptors" : "memory");
            return false;
        default:  // the client left while it waited; see accept(2) on pending network errors
            return true;
    }
}

}  // namespace bitnetd::frontend::http
