#include "supervisor/frontend/api/order_desk.h"

#include <string>
#include <utility>

#include "common/log/log.h"
#include "shm/control/text_field.h"
#include "supervisor/frontend/api/rollout_json.h"

namespace bitnetd::frontend {
namespace {

constexpr uint64_t kRetryMs = 1000;

std::string_view order_name(shm::OrderKind kind) {
    switch (kind) {
        case shm::OrderKind::kLoad:
            return "load";
        case shm::OrderKind::kSwap:
            return "swap";
        case shm::OrderKind::kRollback:
            return "rollback";
        case shm::OrderKind::kRemove:
            return "remove";
    }
    return "unknown";
}

shm::RolloutKind rollout_kind(shm::OrderKind kind) {
    switch (kind) {
        case shm::OrderKind::kLoad:
            return shm::RolloutKind::kLoad;
        case shm::OrderKind::kSwap:
            return shm::RolloutKind::kSwap;
        case shm::OrderKind::kRollback:
            return shm::RolloutKind::kRollback;
        case shm::OrderKind::kRemove:
            break;
    }
    return shm::RolloutKind::kRemove;
}

// What is known of a rollout of which only the number was told yet.
shm::RolloutMessage begun_rollout(const shm::OrderMessage& order, uint64_t number) {
    shm::RolloutMessage rollout{};
    rollout.number = number;
    rollout.kind = rollout_kind(order.kind);
    rollout.phase = shm::RolloutPhase::kPrepare;
    rollout.strategy = order.strategy;
    rollout.started_unix_ms = static_cast<int64_t>(unix_milliseconds());
    shm::set_field(rollout.model, shm::field_text(order.model));
    return rollout;
}

// Whether the order was carried out is not known: sending it again may not be what is wanted.
ApiError supervisor_silent(std::string message) {
    ApiError error = overloaded("supervisor_unavailable", std::move(message), kRetryMs);
    error.retry_is_useless = true;
    error.suggestion = "GET /v1/rollouts shows whether the order was taken.";
    return error;
}

// Who ordered what: nobody else writes it down.
void log_order(const Request& request, const shm::OrderMessage& order) {
    log::info("order", {{"kind", order_name(order.kind)},
                        {"model", shm::printable(shm::field_text(order.model))},
                        {"path", shm::printable(shm::field_text(order.path))},
                        {"peer", request.peer.name},
                        {"request", request.request_id}});
}

}  // namespace

void OrderDesk::place(Exchange& exchange, const Order& order, uint64_t now_ns) {
    const std::string& request_id = exchange.request().request_id;
    if (open_.size() >= kOrdersMax) {
        const auto full = overloaded("queue_full", "Too many orders are open already.", kRetryMs);
        return exchange.respond(error_response(full, request_id));
    }
    const uint64_t request = ++last_request_;
    Open open{&exchange, order, now_ns + kAnswerTimeoutNs};
    open.order.message.request = request;
    log_order(exchange.request(), order.message);
    if (const auto sent = sender_.send_order(open.order.message); !sent.ok()) {
        log::error("order_not_sent", {{"reason", sent.error().message}});
        const auto gone = supervisor_silent("The supervisor cannot be reached.");
        return exchange.respond(error_response(gone, request_id));
    }
    open_.emplace(request, std::move(open));
    // Kept until the supervisor has spoken, so that leaving makes no room for more.
    exchange.on_gone = [this, request] { open_.at(request).exchange = nullptr; };
}

void OrderDesk::take_answer(const shm::OrderAnswerMessage& answer, uint64_t now_ns) {
    const auto at = open_.find(answer.request);
    if (at == open_.end() || at->second.rollout != 0) return;  // it came too late
    Open& open = at->second;
    if (answer.error != shm::OrderError::kNone) {
        fail(at, order_refused(answer, open.order.message));
        return;
    }
    open.rollout = answer.rollout;
    open.due_ns = now_ns + kWaitMaxNs;
    if (book_.find(answer.rollout) == nullptr) {
        book_.put(begun_rollout(open.order.message, answer.rollout));
    }
    if (!open.order.waits || open.exchange == nullptr) {
        answer_running(at);
    } else if (const auto* known = book_.find(answer.rollout); known != nullptr) {
        answer_if_ended(at, *known);  // news of it may have come first
    }
}

void OrderDesk::take_rollout(const shm::RolloutMessage& rollout) {
    book_.put(rollout);
    for (auto at = open_.begin(); at != open_.end();) {
        at = at->second.rollout == rollout.number ? answer_if_ended(at, rollout) : std::next(at);
    }
}

OrderDesk::Opens::iterator OrderDesk::answer_if_ended(Opens::iterator at,
                                                      const shm::RolloutMessage& rollout) {
    if (rollout.outcome == shm::RolloutOutcome::kRunning) return std::next(at);
    const Open& open = at->second;
    if (open.exchange == nullptr) return open_.erase(at);
    const std::string& request_id = open.exchange->request().request_id;
    return close(at, ended_response(rollout, open.order.message, request_id));
}

void OrderDesk::observe(uint64_t now_ns, bool is_draining) {
    for (auto at = open_.begin(); at != open_.end();) {
        const bool is_over = now_ns >= at->second.due_ns ||
                             (at->second.rollout != 0 && (is_draining || !at->second.exchange));
        at = is_over ? expire(at) : std::next(at);
    }
}

OrderDesk::Opens::iterator OrderDesk::expire(Opens::iterator at) {
    if (at->second.rollout != 0) return answer_running(at);
    log::error("order_unanswered", {{"kind", order_name(at->second.order.message.kind)}});
    return fail(at, supervisor_silent("The supervisor did not answer in time."));
}

OrderDesk::Opens::iterator OrderDesk::answer_running(Opens::iterator at) {
    const Open& open = at->second;
    const shm::RolloutMessage* rollout = book_.find(open.rollout);
    // The book keeps the newest only.
    const shm::RolloutMessage known =
        rollout != nullptr ? *rollout : begun_rollout(open.order.message, open.rollout);
    return close(at, running_response(known, static_cast<int64_t>(unix_milliseconds())));
}

OrderDesk::Opens::iterator OrderDesk::fail(Opens::iterator at, const ApiError& error) {
    Exchange* exchange = at->second.exchange;
    if (exchange == nullptr) return open_.erase(at);
    return close(at, error_response(error, exchange->request().request_id));
}

OrderDesk::Opens::iterator OrderDesk::close(Opens::iterator at, Response response) {
    if (Exchange* exchange = at->second.exchange; exchange != nullptr) {
        exchange->on_gone = nullptr;
        exchange->respond(std::move(response));
    }
    return open_.erase(at);
}

}  // namespace bitnetd::frontend
