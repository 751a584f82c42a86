#include "supervisor/frontend/process/frontend_process.h"

#include <unistd.h>

#include <algorithm>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/config/exit_codes.h"
#include "common/confine/confine.h"
#include "common/log/log.h"
#include "shm/abi/rollout_abi.h"

namespace bitnetd::frontend {
namespace {

http::Limits http_limits(const Params& params) {
    http::Limits limits;
    limits.start_line_bytes_max = params.http_start_line_bytes_max;
    limits.head_bytes_max = params.http_head_bytes_max;
    limits.fields_max = static_cast<uint32_t>(params.http_fields_max);
    limits.body_bytes_max = params.http_body_bytes_max;
    limits.connections_max = static_cast<uint32_t>(params.http_connections_max);
    limits.head_timeout_ms = static_cast<uint32_t>(params.http_head_timeout_ms);
    limits.body_timeout_ms = static_cast<uint32_t>(params.http_body_timeout_ms);
    limits.keep_alive_timeout_ms = static_cast<uint32_t>(params.http_idle_timeout_ms);
    limits.write_timeout_ms = static_cast<uint32_t>(params.http_write_timeout_ms);
    limits.ping_interval_ms = static_cast<uint32_t>(params.http_ping_interval_ms);
    return limits;
}

// Of a rolled frontend, beyond the longest time that a generation may take, or that its clients
// were told they may idle.
constexpr uint64_t kRollMarginMs = 5'000;

uv_handle_t* handle_of(auto& handle) {
    return reinterpret_cast<uv_handle_t*>(&handle);
}

}  // namespace

ApiOptions api_options(const Params& params) {
    ApiOptions options;
    options.limits.timeout_ms = params.api_timeout_ms;
    options.limits.text_bytes_max = params.api_text_bytes_max;
    // More could never be queued at once; n up to 16 must work with the shortest queue too.
    options.limits.flights_max =
        static_cast<uint32_t>(std::max<uint64_t>(params.dispatch_queue_depth_max, kChoicesMax));
    options.limits.strict = params.api_strict != 0;
    options.preparing_max = params.dispatch_queue_depth_max;
    return options;
}

FrontendProcess::FrontendProcess(shm::ChildLink& link)
    : link_(link),
      dispatcher_(link.board(), link.params().dispatch_queue_depth_max),
      admission_(dispatcher_, {.drain_timeout_ms = link.params().server_drain_timeout_ms,
                               .wait_max_ms = link.params().dispatch_wait_max_ms}),
      health_(catalog_, dispatcher_, admission_, monotonic_ns()),
      tasks_((BITNETD_CHECK(uv_loop_init(&loop_) == 0), &loop_)),
      api_({dispatcher_, admission_, catalog_, boards_, health_, machine_, tasks_, link.board(),
            *this},
           api_options(link.params())),
      server_(&loop_, api_, http_limits(link.params())),
      supervisor_watch_(link.params().server_orphan_timeout_ms * kNsPerMs) {}

FrontendProcess::~FrontendProcess() {
    uv_loop_close(&loop_);
}

int FrontendProcess::run() {
    if (auto started = start(); !started.ok()) {
        log::error("frontend_start_failed", {{"reason", started.error().message}});
        // Nobody was served, and what is half made need not be taken apart.
        _exit(kExitProtocol);
    }
    uv_run(&loop_, UV_RUN_DEFAULT);
    return exit_code_;
}

Result<void> FrontendProcess::start() {
    BITNETD_TRY(tasks_.start_threads());
    BITNETD_TRY(start_handles());
    BITNETD_ASSIGN(auto own_board, shm::BoardView::open(link_.board_segment()));
    boards_.add(std::move(own_board));
    BITNETD_ASSIGN(machine_, Machine::open());
    for (shm::Message& message : link_.take_setup()) {
        BITNETD_TRY(take_message(std::move(message)));
    }
    // From here on: no files, no new sockets but accepted ones. The first client byte is read by
    // the loop, which runs behind this.
    BITNETD_TRY(confine(Profile::kFrontend));
    return link_.send_ready(shm::ReadyMessage{});
}

std::array<uv_handle_t*, 9> FrontendProcess::handles() {
    return {handle_of(control_), handle_of(doorbell_),       handle_of(prepare_),
            handle_of(check_),   handle_of(no_sleep_),       handle_of(heartbeat_),
            handle_of(wake_),    handle_of(drain_deadline_), handle_of(terminate_)};
}

Result<void> FrontendProcess::start_handles() {
    for (uv_handle_t* handle : handles())
        handle->data = this;
    if (const int error = uv_poll_init(&loop_, &control_, link_.fd()); error != 0) {
        return io_error("watch the control socket", -error);
    }
    if (const int error = uv_poll_init(&loop_, &doorbell_, link_.doorbell().fd()); error != 0) {
        return io_error("watch the doorbell", -error);
    }
    uv_prepare_init(&loop_, &prepare_);
    uv_check_init(&loop_, &check_);
    uv_idle_init(&loop_, &no_sleep_);
    uv_timer_init(&loop_, &heartbeat_);
    uv_timer_init(&loop_, &wake_);
    uv_timer_init(&loop_, &drain_deadline_);
    uv_signal_init(&loop_, &terminate_);

    uv_poll_start(&control_, UV_READABLE, on_control);
    uv_poll_start(&doorbell_, UV_READABLE, on_doorbell);
    uv_signal_start(&terminate_, on_terminate, SIGTERM);
    uv_prepare_start(&prepare_, on_prepare);
    uv_check_start(&check_, on_check);
    const uint64_t interval_ms = link_.params().server_heartbeat_interval_ms;
    uv_timer_start(&heartbeat_, on_heartbeat, 0, interval_ms);
    return {};
}

void FrontendProcess::on_control(uv_poll_t* handle, int status, int events) noexcept {
    auto& self = *static_cast<FrontendProcess*>(handle->data);
    // A failure shows in reading, too. A supervisor that died without having read all that we said
    // is a failed socket to libuv, which has stopped watching it by now.
    if ((events & UV_WRITABLE) != 0) (void)self.link_.channel().flush();
    if (status < 0 || (events & UV_READABLE) != 0) self.read_control();
    self.watch_control();
}

// Also for room in the socket while messages wait for it. Not any more once the channel has failed.
void FrontendProcess::watch_control() {
    if (uv_is_active(handle_of(control_)) == 0) return;
    const int writable = link_.channel().wants_write() ? UV_WRITABLE : 0;
    uv_poll_start(&control_, UV_READABLE | writable, on_control);
}

// What cannot be sent is only logged: a supervisor that is gone shows in reading, and one that
// comes back says everything anew.
template <typename T>
void FrontendProcess::tell_supervisor(shm::MessageType type, const T& value) {
    if (const auto sent = link_.channel().send(type, value); !sent.ok()) {
        log::warn("supervisor_not_told",
                  {{"message", static_cast<int>(type)}, {"reason", sent.error().message}});
    }
    watch_control();
}

void FrontendProcess::report_canary() {
    if (const auto report = api_.canary().take_report(monotonic_ns()))
        tell_supervisor(shm::MessageType::kCanaryReport, *report);
}

void FrontendProcess::report_self_test() {
    if (!self_test_ || !self_test_->is_over()) return;
    tell_supervisor(shm::MessageType::kSelfTestDone, self_test_->result());
    self_test_.reset();
}

Result<void> FrontendProcess::send_order(const shm::OrderMessage& order) {
    auto sent = link_.channel().send(shm::MessageType::kOrder, order);
    watch_control();
    return sent;
}

void FrontendProcess::report_broken_workers() {
    for (const uint64_t incarnation : dispatcher_.take_broken())
        tell_supervisor(shm::MessageType::kPeerBroken, shm::IncarnationMessage{incarnation});
}

void FrontendProcess::release_models() {
    const auto released =
        catalog_.take_released([this](uint64_t key) { return dispatcher_.has_flights(key); });
    for (const uint64_t key : released) {
        log::info("model_released", {{"model_key", key}});
        tell_supervisor(shm::MessageType::kModelReleased, shm::ModelKeyMessage{key});
    }
}

void FrontendProcess::read_control() {
    while (!is_ending_) {
        auto received = link_.receive();
        if (!received.ok()) {
            uv_poll_stop(&control_);
            if (received.error().code == ErrorCode::kUnavailable) {
                log::warn("supervisor_gone", {{"reason", received.error().message}});
                drain(http::Drain::kEnd, kExitLostSupervisor);
            } else {
                log::error("control_failed", {{"reason", received.error().message}});
                end(kExitProtocol);
            }
            return;
        }
        if (!received->has_value()) return;
        if (auto taken = take_message(std::move(**received)); !taken.ok()) {
            log::error("control_failed", {{"reason", taken.error().message}});
            end(kExitProtocol);
        }
    }
}

// Only wakes the loop: on_check() takes in what the rings hold.
void FrontendProcess::on_doorbell(uv_poll_t*, int, int) noexcept {}

void FrontendProcess::on_prepare(uv_prepare_t* handle) noexcept {
    auto& self = *static_cast<FrontendProcess*>(handle->data);
    self.api_.end_turn();
    self.report_canary();
    self.report_self_test();
    self.report_broken_workers();
    self.release_models();
    self.set_wake_timer(monotonic_ns());
    self.link_.doorbell().prepare_sleep();
    // SYNC(doorbell.sleep): whoever published before this look is seen here; whoever does later
    // sees `sleeping` and rings.
    if (self.dispatcher_.has_records()) uv_idle_start(&self.no_sleep_, [](uv_idle_t*) {});
}

void FrontendProcess::on_check(uv_check_t* handle) noexcept {
    auto& self = *static_cast<FrontendProcess*>(handle->data);
    uv_idle_stop(&self.no_sleep_);
    self.link_.doorbell().awake();
    self.dispatcher_.poll(monotonic_ns());
}

void FrontendProcess::set_wake_timer(uint64_t now_ns) {
    const uint64_t at_ns = dispatcher_.wake_at_ns(now_ns);
    if (at_ns == wake_at_ns_ && uv_is_active(handle_of(wake_)) != 0) return;
    wake_at_ns_ = at_ns;
    if (at_ns == UINT64_MAX) {
        uv_timer_stop(&wake_);
        return;
    }
    const uint64_t left_ms = at_ns > now_ns ? (at_ns - now_ns + kNsPerMs - 1) / kNsPerMs : 0;
    uv_timer_start(
        &wake_, [](uv_timer_t*) {}, left_ms, 0);
}

void FrontendProcess::on_heartbeat(uv_timer_t* handle) noexcept {
    auto& self = *static_cast<FrontendProcess*>(handle->data);
    const uint64_t now_ns = monotonic_ns();
    self.link_.board().heartbeat(now_ns);
    self.admission_.observe(now_ns);
    self.machine_.observe(now_ns);
    self.api_.observe(now_ns, self.draining_.has_value());
    self.show_http_stats();
    if (!self.draining_ && self.supervisor_watch_.is_gone(now_ns)) {
        log::warn("supervisor_gone", {{"reason", "no heartbeat"}});
        self.drain(http::Drain::kEnd, kExitLostSupervisor);
    }
}

void FrontendProcess::show_http_stats() {
    const http::ServerStats& now = server_.stats();
    shm::BoardWriter& board = link_.board();
    const auto answers = [](const http::ServerStats& stats, size_t from_status) {
        uint64_t sum = 0;
        for (size_t i = from_status; i < from_status + 100; ++i)
            sum += stats.answers_by_status[i];
        return sum;
    };
    board.count(Counter::kConnectionsAccepted, now.connections_total - shown_.connections_total);
    board.count(Counter::kAcceptFailures, now.accept_failures - shown_.accept_failures);
    board.count(Counter::kConnectionsShed, now.connections_shed - shown_.connections_shed);
    board.count(Counter::kClientsGone, now.clients_gone_total - shown_.clients_gone_total);
    board.count(Counter::kHttpRefusals, now.refusals_total - shown_.refusals_total);
    board.count(Counter::kHttpRequests2xx, answers(now, 200) - answers(shown_, 200));
    board.count(Counter::kHttpRequests4xx, answers(now, 400) - answers(shown_, 400));
    board.count(Counter::kHttpRequests5xx, answers(now, 500) - answers(shown_, 500));
    board.count(Counter::kHttpBytesReceived, now.received_bytes - shown_.received_bytes);
    board.count(Counter::kHttpBytesSent, now.sent_bytes - shown_.sent_bytes);
    board.set_gauge(Gauge::kConnectionsOpen, now.connections_open);
    shown_ = now;
}

// Accepts nothing new, finishes what it has, then ends; what is not finished in time is ended.
// Rolled, it still serves whoever it cannot hand over, for as long as a request may take; at the
// server's end it refuses what is asked from here on.
void FrontendProcess::drain(http::Drain why, int exit_code) {
    if (draining_ && *draining_ >= why) return;
    draining_ = why;
    exit_code_ = exit_code;
    const bool is_rolled = why == http::Drain::kRolled;
    log::info("draining", {{"rolled", is_rolled}, {"generations", api_.active()}});
    api_.canary().stop();  // the successor goes on with it
    const uint64_t now_ns = monotonic_ns();
    if (!is_rolled) admission_.begin_drain(now_ns);
    link_.board().set_state(shm::ProcessState::kDraining, now_ns);
    const Params& params = link_.params();
    const uint64_t longest_ms = std::max(params.api_timeout_ms, params.http_idle_timeout_ms);
    const uint64_t limit_ms =
        is_rolled ? longest_ms + kRollMarginMs : params.server_drain_timeout_ms;
    uv_timer_start(&drain_deadline_, on_drain_deadline, limit_ms, 0);
    watch_empty();
}

// Ends when no connection is here, on its way to the successor or to come from a predecessor.
void FrontendProcess::watch_empty() {
    if (!draining_ || is_ending_) return;
    server_.drain(*draining_, [this] {
        const bool is_sending = hand_over_ && hand_over_->is_sending();
        if (!is_sending && inheritances_.empty()) end(exit_code_);  // else they call again
    });
}

void FrontendProcess::on_drain_deadline(uv_timer_t* handle) noexcept {
    auto& self = *static_cast<FrontendProcess*>(handle->data);
    log::warn("drain_deadline", {{"generations", self.api_.active()}});
    self.dispatcher_.end_all(EndReason::kShutdown, monotonic_ns());
    self.end(self.exit_code_);
}

// From the kernel when the supervisor died, or from an operator: either way finish what is running.
void FrontendProcess::on_terminate(uv_signal_t* handle, int) noexcept {
    static_cast<FrontendProcess*>(handle->data)->drain(http::Drain::kEnd, kExitOk);
}

void FrontendProcess::end(int exit_code) {
    if (is_ending_) return;
    is_ending_ = true;
    exit_code_ = exit_code;
    show_http_stats();
    link_.board().set_state(shm::ProcessState::kStopped, monotonic_ns());
    server_.stop([this] { close_handles(); });
}

// The loop ends when nothing is left on it.
void FrontendProcess::close_handles() {
    hand_over_.reset();
    inheritances_.clear();
    for (uv_handle_t* handle : handles())
        uv_close(handle, nullptr);
}

}  // namespace bitnetd::frontend
