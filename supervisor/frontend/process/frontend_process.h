// The life of bitnetd-frontend: start over the control socket, one libuv loop, drain, end.
//   One turn of the loop: timers -> prepare (announce sleep, look at the rings once more) ->
//   poll(2) for clients, control socket and doorbell -> check (awake; take tokens in, hand flights
//   out). Events that tokens became are written by http/ in its own prepare of the next turn.
// Owns every long-lived part and the order of their end. Never here: what a message to a client
// looks like, which worker is chosen. Loop thread only.
#pragma once

#include <uv.h>

#include <array>
#include <list>
#include <memory>
#include <optional>

#include "common/base/result.h"
#include "shm/board/supervisor_watch.h"
#include "shm/control/child_link.h"
#include "supervisor/frontend/api/api.h"
#include "supervisor/frontend/api/board_set.h"
#include "supervisor/frontend/api/health.h"
#include "supervisor/frontend/api/model_catalog.h"
#include "supervisor/frontend/api/self_test.h"
#include "supervisor/frontend/dispatch/dispatcher.h"
#include "supervisor/frontend/gate/admission.h"
#include "supervisor/frontend/http/hand_over.h"
#include "supervisor/frontend/http/inheritance.h"
#include "supervisor/frontend/http/server.h"
#include "supervisor/frontend/process/uv_task_runner.h"

namespace bitnetd::frontend {

// What params say of requests.
ApiOptions api_options(const Params& params);

class FrontendProcess final : private OrderSender {
  public:
    // `link` has started; its setup messages are taken by run().
    explicit FrontendProcess(shm::ChildLink& link);
    ~FrontendProcess() override;
    FrontendProcess(const FrontendProcess&) = delete;
    FrontendProcess& operator=(const FrontendProcess&) = delete;

    // Until drained or told to end; the exit code.
    int run();

  private:
    Result<void> start();
    Result<void> start_handles();

    // Control messages: control_messages.cc.
    Result<void> take_message(shm::Message message);
    Result<void> take_listen(shm::Message message);
    Result<void> take_board(const shm::Message& message);
    Result<void> take_model(const shm::Message& message);
    Result<std::shared_ptr<const Model>> open_model(const shm::ModelMessage& facts,
                                                    int image) const;
    Result<void> take_model_gone(const shm::Message& message);
    Result<void> take_peer(shm::Message message);
    Result<void> take_peer_gone(const shm::Message& message);
    Result<void> take_model_standing(const shm::Message& message);
    Result<void> take_promoted(const shm::Message& message);
    Result<void> take_canary(const shm::Message& message);
    Result<void> take_self_test(const shm::Message& message);
    Result<void> take_known_peers(const shm::Message& message);
    Result<void> take_hand_over(shm::Message message);
    Result<void> take_predecessor(shm::Message message);
    Result<void> take_health(const shm::Message& message);
    Result<void> take_order_answer(const shm::Message& message);
    Result<void> take_rollout(const shm::Message& message);
    Result<void> take_log_level(const shm::Message& message);
    Result<void> reopen_logs(const shm::Message& message);

    static void on_control(uv_poll_t* handle, int status, int events) noexcept;
    static void on_doorbell(uv_poll_t* handle, int status, int events) noexcept;
    static void on_prepare(uv_prepare_t* handle) noexcept;
    static void on_check(uv_check_t* handle) noexcept;
    static void on_heartbeat(uv_timer_t* handle) noexcept;
    static void on_drain_deadline(uv_timer_t* handle) noexcept;
    static void on_terminate(uv_signal_t* handle, int number) noexcept;

    void read_control();
    void watch_control();
    template <typename T>
    void tell_supervisor(shm::MessageType type, const T& value);
    Result<void> send_order(const shm::OrderMessage& order) override;
    void report_broken_workers();
    void release_models();
    void report_canary();
    void report_self_test();
    void set_wake_timer(uint64_t now_ns);
    void show_http_stats();
    // kRolled: the server goes on without this process. kEnd: it does not, or nobody says so.
    void drain(http::Drain why, int exit_code);
    void watch_empty();
    void end(int exit_code);
    std::array<uv_handle_t*, 9> handles();
    void close_handles();

    shm::ChildLink& link_;
    uv_loop_t loop_{};
    uv_poll_t control_{};
    uv_poll_t doorbell_{};
    uv_prepare_t prepare_{};
    uv_check_t check_{};
    uv_idle_t no_sleep_{};  // active while records wait: poll(2) must not block
    uv_timer_t heartbeat_{};
    uv_timer_t wake_{};
    uv_timer_t drain_deadline_{};
    uv_signal_t terminate_{};
    uint64_t wake_at_ns_ = UINT64_MAX;

    Dispatcher dispatcher_;
    Admission admission_;
    ModelCatalog catalog_;
    BoardSet boards_;
    Health health_;
    Machine machine_;
    UvTaskRunner tasks_;
    Api api_;
    http::Server server_;
    http::ServerStats shown_{};  // as last counted on the board

    shm::SupervisorWatch supervisor_watch_;
    std::optional<SelfTest> self_test_;
    std::optional<http::HandOver> hand_over_;  // to the successor
    // From those that were here before; usually one or none.
    std::list<http::Inheritance> inheritances_;

    std::optional<http::Drain> draining_;
    bool is_ending_ = false;
    int exit_code_ = 0;
};

}  // namespace bitnetd::frontend
