#include "supervisor/frontend/api/models.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/base/clock.h"
#include "shm/control/text_field.h"
#include "supervisor/frontend/api/json_text.h"
#include "supervisor/frontend/api/url_text.h"

namespace bitnetd::frontend {
namespace {

using Json = nlohmann::ordered_json;

struct Workers {
    size_t ready = 0;
    Json devices = Json::array();  // each once
    uint64_t decode_ns = 0;        // of the fastest worker that measured it
    uint64_t prefill_token_ns = 0;
    uint64_t tokens = 0;          // drawn by the workers that there are
    uint64_t resident_bytes = 0;  // of all of them; what they share counts in each
};

uint64_t faster(uint64_t best_ns, uint64_t ns) {
    return best_ns == 0 || (ns != 0 && ns < best_ns) ? ns : best_ns;
}

Workers workers_of(const Model& model, const Dispatcher& dispatcher, const BoardSet& boards) {
    Workers workers;
    for (const auto& worker : dispatcher.workers()) {
        if (worker.facts.model_key != model.key) continue;
        workers.ready += worker.ready;
        const Json device = worker.facts.device;
        if (std::find(workers.devices.begin(), workers.devices.end(), device) ==
            workers.devices.end()) {
            workers.devices.push_back(device);
        }
        if (const shm::BoardView* board = boards.find(worker.facts.incarnation)) {
            const shm::WorkerSnapshot snapshot = board->worker();
            workers.decode_ns = faster(workers.decode_ns, snapshot.decode_ns);
            workers.prefill_token_ns = faster(workers.prefill_token_ns, snapshot.prefill_token_ns);
            workers.tokens += board->counter(Counter::kDecodeTokens);
            workers.resident_bytes += board->gauge(Gauge::kResidentBytes);
        }
    }
    return workers;
}

Json accuracy_of(const shm::ModelFacts& facts) {
    const auto ratio = quantization_accuracy(facts);
    return ratio ? Json(*ratio) : Json();
}

// null while it is not measured.
Json per_second(uint64_t ns) {
    return ns == 0 ? Json() : Json(static_cast<double>(kNsPerS) / static_cast<double>(ns));
}

// One that serves but has no ready worker is loading too: its workers start, or start again.
std::string_view status_of(shm::ModelStanding standing, bool has_worker) {
    switch (standing) {
        case shm::ModelStanding::kServing:
            return has_worker ? "active" : "loading";
        case shm::ModelStanding::kCanary:
            return "loading";
        case shm::ModelStanding::kRetiring:
            break;
    }
    return "draining";
}

Json describe(const ModelsView& view, const ListedModel& listed) {
    const Model& model = *listed;
    const Workers workers = workers_of(model, view.dispatcher, view.boards);
    const shm::ModelFacts& facts = model.facts;
    Json described = {{"id", model.id},
                      {"object", "model"},
                      {"created", model.loaded_unix_s},
                      {"owned_by", "bitnetd"},
                      {"aliases", model.aliases},
                      {"status", status_of(listed.standing, workers.ready > 0)}};
    if (view.is_for_operator) described["path"] = model.path;
    described.update({{"architecture", shm::field_text(facts.architecture)},
                      {"parameter_count", facts.parameter_count},
                      {"quantization_format", shm::field_text(facts.quantization)},
                      {"context_length", model.context},
                      {"devices", workers.devices},
                      {"digest", shm::field_text(facts.digest)},
                      {"loaded_at", utc_time(model.loaded_unix_s)},
                      {"performance_metrics",
                       {{"decode_tokens_per_second", per_second(workers.decode_ns)},
                        {"prefill_tokens_per_second", per_second(workers.prefill_token_ns)},
                        {"generated_tokens", workers.tokens},
                        {"quantization_accuracy", accuracy_of(facts)},
                        {"cross_validation_score", facts.cross_validation}}},
                      {"resource_usage",
                       {{"weights_bytes", facts.weights_bytes},
                        {"file_bytes", facts.file_bytes},
                        {"worker_resident_bytes", workers.resident_bytes},
                        {"workers_ready", workers.ready}}}});
    return described;
}

bool is_listed(const ModelList& models, std::string_view id) {
    return std::any_of(models.begin(), models.end(),
                       [id](const ListedModel& listed) { return listed->id == id; });
}

// Whether the last that was heard of this model is a load that runs or did not succeed, and the
// model is not there.
bool is_absent_load(const ModelsView& view, const shm::RolloutMessage& rollout) {
    const std::string_view id = shm::field_text(rollout.model);
    return rollout.kind == shm::RolloutKind::kLoad &&
           rollout.outcome != shm::RolloutOutcome::kCompleted && !is_listed(view.models, id) &&
           view.rollouts.find_model(id) == &rollout;
}

Json describe_load(const ModelsView& view, const shm::RolloutMessage& rollout) {
    const bool is_running = rollout.outcome == shm::RolloutOutcome::kRunning;
    const std::string_view reason = shm::field_text(rollout.reason);
    Json described = {{"id", shm::field_text(rollout.model)},
                      {"object", "model"},
                      {"created", rollout.started_unix_ms / 1000},
                      {"owned_by", "bitnetd"},
                      {"status", is_running ? "loading" : "failed"},
                      {"quantization_format", nullptr},
                      {"devices", Json::array()},
                      {"rollout_id", rollout_name(rollout.number)}};
    if (view.is_for_operator) described["reason"] = reason.empty() ? Json() : Json(reason);
    return described;
}

bool passes(const Json& model, std::string_view query) {
    for (const std::string_view name : {"status", "quantization_format"}) {
        const auto wanted = query_value(query, name);
        if (wanted && model[std::string(name)] != *wanted) return false;
    }
    const auto device = query_value(query, "device");
    const Json& devices = model["devices"];
    return !device || std::find(devices.begin(), devices.end(), Json(*device)) != devices.end();
}

// Texts of a model file may hold any bytes.
std::string print(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string render_model_list(const ModelsView& view, std::string_view query) {
    Json data = Json::array();
    for (const ListedModel& listed : view.models)
        data.push_back(describe(view, listed));
    for (const auto& [number, rollout] : view.rollouts.newest_first()) {
        if (is_absent_load(view, rollout)) data.push_back(describe_load(view, rollout));
    }
    std::erase_if(data.get_ref<Json::array_t&>(),
                  [query](const Json& model) { return !passes(model, query); });
    const size_t total = data.size();
    const auto active = std::count_if(
        data.begin(), data.end(), [](const Json& model) { return model["status"] == "active"; });
    return print({{"object", "list"},
                  {"data", std::move(data)},
                  {"total_count", total},
                  {"active_count", active}});
}

std::optional<std::string> render_model(const ModelsView& view, std::string_view id) {
    if (id.empty()) return std::nullopt;
    const auto serving = find_model(view.models, id);
    const auto found =
        std::find_if(view.models.rbegin(), view.models.rend(), [&](const ListedModel& listed) {
            return serving != nullptr ? listed.model == serving : listed->is_called(id);
        });
    if (found != view.models.rend()) return print(describe(view, *found));
    const shm::RolloutMessage* rollout = view.rollouts.find_model(id);
    if (rollout == nullptr || !is_absent_load(view, *rollout)) return std::nullopt;
    return print(describe_load(view, *rollout));
}

}  // namespace bitnetd::frontend
