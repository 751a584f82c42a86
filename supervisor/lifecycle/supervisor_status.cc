// The state of everything as one JSON object, for bitnetctl.
#include <nlohmann/json.hpp>
#include <string_view>

#include "common/base/clock.h"
#include "common/metrics/metrics.h"
#include "shm/control/text_field.h"
#include "supervisor/lifecycle/rollout/rollout_json.h"
#include "supervisor/lifecycle/supervisor.h"

namespace bitnetd::supervisor {
namespace {

using nlohmann::json;

constexpr size_t kRolloutsShown = 8;

uint64_t since_ms(uint64_t then_ns, uint64_t now_ns) {
    return then_ns == 0 || then_ns > now_ns ? 0 : (now_ns - then_ns) / kNsPerMs;
}

std::string_view standing_of(const Model& model) {
    if (model.state == ModelState::kRefused) return "refused";
    if (!model.is_loaded()) return "loading";
    switch (model.message.standing) {
        case shm::ModelStanding::kServing:
            return "serving";
        case shm::ModelStanding::kCanary:
            return "canary";
        case shm::ModelStanding::kRetiring:
            return "retiring";
    }
    return "serving";
}

json describe(const Model& model) {
    const shm::ModelFacts& facts = model.message.facts;
    return {{"id", model.source.id},
            {"key", model.key},
            {"standing", standing_of(model)},
            {"default", model.message.is_default != 0},
            {"path", model.source.path},
            {"architecture", shm::field_text(facts.architecture)},
            {"quantization", shm::field_text(facts.quantization)},
            {"digest", shm::field_text(facts.digest)},
            {"parameters", facts.parameter_count},
            {"context", facts.context},
            {"weights_bytes", facts.weights_bytes},
            {"refusal", model.refusal}};
}

std::string_view state_of(const Slot& slot) {
    if (!slot.process) return slot.start_at_ns == kNever ? "dead" : "waiting";
    switch (slot.process->child->life().phase()) {
        case ChildPhase::kStarting:
            return "starting";
        case ChildPhase::kReady:
            return "ready";
        case ChildPhase::kDraining:
            return "draining";
        case ChildPhase::kAborting:
        case ChildPhase::kKilling:
            return "dead";
    }
    return "dead";
}

// Whole numbers stay whole.
json in_unit(const MetricText& text, uint64_t value) {
    return text.parts == 1 ? json(value) : json(text.in_unit(value));
}

json counters_of(const shm::BoardView& board) {
    json counters = json::object();
    for (size_t i = 0; i < kCounterCount; ++i) {
        if (const uint64_t value = board.counter(static_cast<Counter>(i)); value != 0) {
            counters[kCounterTexts[i].name] = in_unit(kCounterTexts[i], value);
        }
    }
    return counters;
}

json gauges_of(const shm::BoardView& board) {
    json gauges = json::object();
    for (size_t i = 0; i < kGaugeCount; ++i) {
        if (const uint64_t value = board.gauge(static_cast<Gauge>(i)); value != 0) {
            gauges[kGaugeTexts[i].name] = in_unit(kGaugeTexts[i], value);
        }
    }
    return gauges;
}

void describe_board(json& entry, const shm::BoardView& board, uint64_t now_ns) {
    entry["uptime_ms"] = since_ms(board.started_ns(), now_ns);
    entry["heartbeat_age_ms"] = since_ms(board.heartbeat_ns(), now_ns);
    entry["cpu_ns"] = board.counter(Counter::kCpuNs);
    entry["resident_bytes"] = board.gauge(Gauge::kResidentBytes);
    entry["counters"] = counters_of(board);
    entry["gauges"] = gauges_of(board);
}

json describe(const Slot& slot, const ModelStore& models, uint64_t now_ns) {
    json entry = {{"name", slot.name},         {"role", shm::to_string(slot.role)},
                  {"slot", slot.index},        {"state", state_of(slot)},
                  {"deaths", slot.deaths},     {"breaker_open", slot.breaker_open},
                  {"last_end", slot.last_end}, {"old", slot.use == SlotUse::kRetiring}};
    if (slot.start_at_ns != kNever) {
        entry["restart_in_ms"] =
            slot.start_at_ns > now_ns ? (slot.start_at_ns - now_ns) / kNsPerMs : 0;
    }
    if (slot.role == shm::Role::kWorker) {
        const Model* model = models.find(slot.model_key);
        entry["device"] = slot.device;
        entry["model"] = model == nullptr ? "" : model->source.id;
        entry["model_key"] = slot.model_key;
        entry["canary"] = slot.is_canary;
    }
    if (!slot.process) return entry;
    const Process& process = *slot.process;
    entry["pid"] = process.child->pid();
    entry["incarnation"] = process.incarnation;
    describe_board(entry, *process.board.view, now_ns);
    if (slot.role != shm::Role::kWorker) return entry;
    const shm::WorkerSnapshot worker = process.board.view->worker();
    entry["isa"] = process.kernel_isa;
    entry["slots_used"] = worker.slots_used;
    entry["slots_max"] = worker.slots_max;
    entry["kv_pages_used"] = process.board.view->gauge(Gauge::kKvPagesUsed);
    entry["kv_pages"] = process.board.view->gauge(Gauge::kKvPagesTotal);
    entry["decode_ns"] = worker.decode_ns;
    entry["prefill_token_ns"] = worker.prefill_token_ns;
    return entry;
}

}  // namespace

std::string Supervisor::status_line() const {
    const ChildTable& table = fleet_.table();
    std::string text = "serving " + std::to_string(models_.count(ModelState::kLoaded)) +
                       " models with " + std::to_string(table.serving(shm::Role::kWorker).size()) +
                       " workers";
    const std::string_view reason = shm::field_text(health_told_.reason);
    if (!reason.empty()) text += "; degraded: " + std::string(reason);
    return text;
}

std::string Supervisor::status_text() const {
    const uint64_t now = monotonic_ns();
    const shm::BoardView& own = *fleet_.own_board().view;
    json status = {{"version", BITNETD_VERSION},
                   {"pid", own.pid()},
                   {"uptime_ms", since_ms(started_ns_, now)},
                   {"state", shutdown_.serving() ? "serving" : "draining"},
                   {"health",
                    {{"workers_expected", health_told_.workers_expected},
                     {"workers_restarting", health_told_.workers_restarting},
                     {"models_loading", health_told_.models_loading},
                     {"reason", shm::field_text(health_told_.reason)}}},
                   {"models", json::array()},
                   {"processes", json::array()},
                   {"rollout", nullptr},
                   {"rollouts", json::array()}};
    for (const auto& model : models_.models())
        status["models"].push_back(describe(*model));
    json supervisor = {
        {"name", "supervisor/0"}, {"role", "supervisor"}, {"slot", 0},
        {"pid", own.pid()},       {"state", "ready"},     {"incarnation", own.incarnation()}};
    describe_board(supervisor, own, now);
    status["processes"].push_back(std::move(supervisor));
    for (const auto role : {shm::Role::kFrontend, shm::Role::kWorker}) {
        for (const auto& slot : fleet_.table().slots(role)) {
            if (slot->use != SlotUse::kVacant) {
                status["processes"].push_back(describe(*slot, models_, now));
            }
        }
    }
    if (const auto running = rollouts_.running()) status["rollout"] = to_json(*running);
    for (const RolloutRecord& record : rollouts_.history().records()) {
        if (status["rollouts"].size() >= kRolloutsShown) break;
        status["rollouts"].push_back(to_json(record.message));
    }
    return status.dump(-1, ' ', true, json::error_handler_t::replace);
}

}  // namespace bitnetd::supervisor
