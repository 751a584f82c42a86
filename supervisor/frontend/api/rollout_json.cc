#include "supervisor/frontend/api/rollout_json.h"

#include <algorithm>

#include "shm/control/text_field.h"
#include "supervisor/frontend/api/json_text.h"

namespace bitnetd::frontend {
namespace {

using Json = nlohmann::ordered_json;
using shm::field_text;
using shm::RolloutKind;
using shm::RolloutMessage;
using shm::RolloutOutcome;
using shm::RolloutPhase;
using shm::SwapStrategy;

constexpr int64_t kMsPerS = 1000;

std::string_view kind_name(RolloutKind kind) {
    switch (kind) {
        case RolloutKind::kLoad:
            return "load";
        case RolloutKind::kSwap:
            return "swap";
        case RolloutKind::kRollback:
            return "rollback";
        case RolloutKind::kRemove:
            return "remove";
        case RolloutKind::kReload:
            return "reload";
        case RolloutKind::kUpgrade:
            return "upgrade";
    }
    return "unknown";
}

std::string_view phase_name(RolloutPhase phase) {
    switch (phase) {
        case RolloutPhase::kPrepare:
            return "prepare";
        case RolloutPhase::kVerify:
            return "verify";
        case RolloutPhase::kCanaryCopies:
            return "canary_copies";
        case RolloutPhase::kCanaryShare:
            return "canary_share";
        case RolloutPhase::kRoll:
            return "roll";
        case RolloutPhase::kCommit:
            return "commit";
        case RolloutPhase::kDone:
            return "done";
    }
    return "unknown";
}

std::string_view strategy_name(SwapStrategy strategy) {
    switch (strategy) {
        case SwapStrategy::kRolling:
            return "rolling";
        case SwapStrategy::kBlueGreen:
            return "blue_green";
    }
    return "";  // the setting decides, or there is nothing to replace
}

bool is_running(const RolloutMessage& rollout) {
    return rollout.outcome == RolloutOutcome::kRunning;
}

bool went_wrong(const RolloutMessage& rollout) {
    return rollout.outcome == RolloutOutcome::kFailed ||
           rollout.outcome == RolloutOutcome::kRolledBack;
}

// null for what was not measured, or is not there.
Json measured(float value) {
    return value > 0 ? Json(value) : Json();
}

Json text_or_null(std::string_view text) {
    return text.empty() ? Json() : Json(text);
}

Json time_or_null(int64_t unix_ms) {
    return unix_ms == 0 ? Json() : Json(utc_time(unix_ms / kMsPerS));
}

Json metadata(bool is_there, std::string_view id, const shm::ModelFacts& facts) {
    if (!is_there) return nullptr;
    return {{"model_id", id},
            {"name", field_text(facts.name)},
            {"architecture", field_text(facts.architecture)},
            {"parameter_count", facts.parameter_count},
            {"quantization_format", field_text(facts.quantization)},
            {"context_length", facts.context},
            {"digest", field_text(facts.digest)},
            {"weights_bytes", facts.weights_bytes},
            {"file_bytes", facts.file_bytes}};
}

bool brings_file(const RolloutMessage& rollout) {
    return rollout.kind == RolloutKind::kLoad || rollout.kind == RolloutKind::kSwap;
}

// The loader gives the facts of what it accepted, and only of that.
bool was_refused(const RolloutMessage& rollout) {
    return went_wrong(rollout) && brings_file(rollout) && rollout.has_new == 0;
}

bool is_canary(RolloutPhase phase) {
    return phase == RolloutPhase::kCanaryCopies || phase == RolloutPhase::kCanaryShare;
}

std::string_view file_verdict(const RolloutMessage& rollout) {
    if (rollout.has_new != 0) return "passed";
    if (was_refused(rollout)) return "failed";
    return is_running(rollout) && brings_file(rollout) ? "pending" : "not_run";
}

std::string_view accuracy_verdict(const RolloutMessage& rollout) {
    if (rollout.accuracy > 0) return "passed";
    return file_verdict(rollout) == "pending" ? "pending" : "not_run";
}

// Of the canary.
std::string_view performance_verdict(const RolloutMessage& rollout) {
    if (rollout.kind == RolloutKind::kRemove) return "not_run";
    if (is_running(rollout) && rollout.phase <= RolloutPhase::kCanaryShare) return "pending";
    if (went_wrong(rollout) && is_canary(rollout.phase)) return "failed";
    const bool was_tried = rollout.canary_copies > 0 || rollout.speed_ratio > 0;
    return was_tried ? "passed" : "not_run";
}

Json validation_results(const RolloutMessage& rollout) {
    const std::string_view file = file_verdict(rollout);
    return {{"gguf_validation",
             {{"status", file},
              {"message", file == "failed" ? Json(field_text(rollout.reason)) : Json()}}},
            {"quantization_validation",
             {{"status", accuracy_verdict(rollout)},
              {"accuracy", measured(rollout.accuracy)},
              {"cross_validation_score",
               rollout.has_new != 0 ? measured(rollout.new_facts.cross_validation) : Json()}}},
            {"performance_validation",
             {{"status", performance_verdict(rollout)},
              {"speed_ratio", measured(rollout.speed_ratio)},
              {"copies_completed", rollout.canary_copies},
              {"copies_different", rollout.canary_different}}}};
}

// Texts of a model file may hold any bytes.
std::string print(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

ApiError rollout_error(const RolloutMessage& rollout) {
    ApiError error;
    error.message = field_text(rollout.reason);
    error.retry_is_useless = true;
    if (was_refused(rollout)) {
        error.status = 422;
        error.code = "model_invalid";
        error.param = "model_path";
        error.suggestion = "'bitnetctl model verify' says more about the file.";
    } else if (rollout.outcome == RolloutOutcome::kRolledBack) {
        error.status = 409;
        error.code = "rollout_rolled_back";
        error.suggestion = "Everything is as it was before; the reason says what to change.";
    } else {
        error.status = 500;
        error.code = "rollout_failed";
        error.suggestion = "GET /v1/models says what is served now; the log has the details.";
    }
    if (error.message.empty()) error.message = "The rollout did not complete.";
    return error;
}

ApiError refusal(int status, std::string_view code, std::string_view said, std::string_view usual,
                 std::string suggestion) {
    ApiError error;
    error.status = status;
    error.code = code;
    error.message = said.empty() ? usual : said;
    error.suggestion = std::move(suggestion);
    error.retry_is_useless = true;
    return error;
}

}  // namespace

std::string_view status_name(RolloutOutcome outcome) {
    switch (outcome) {
        case RolloutOutcome::kRunning:
            return "running";
        case RolloutOutcome::kCompleted:
            return "completed";
        case RolloutOutcome::kFailed:
            return "failed";
        case RolloutOutcome::kRolledBack:
            return "rolled_back";
    }
    return "unknown";
}

Json rollout_json(const RolloutMessage& rollout, int64_t now_unix_ms) {
    const int64_t end_ms = rollout.ended_unix_ms != 0 ? rollout.ended_unix_ms : now_unix_ms;
    const std::string name = rollout_name(rollout.number);
    const Json reason = text_or_null(field_text(rollout.reason));
    const bool is_back = rollout.outcome == RolloutOutcome::kRolledBack;
    return {{"object", "rollout"},
            {"rollout_id", name},
            {"swap_id", name},  // the same, as the contract's answer calls it
            {"kind", kind_name(rollout.kind)},
            {"model_id", text_or_null(field_text(rollout.model))},
            {"swap_strategy", text_or_null(strategy_name(rollout.strategy))},
            {"status", status_name(rollout.outcome)},
            {"phase", phase_name(rollout.phase)},
            {"progress", std::min(rollout.progress_permille, 1000u) / 1000.0},
            {"reason", reason},
            {"started_at", time_or_null(rollout.started_unix_ms)},
            {"ended_at", time_or_null(rollout.ended_unix_ms)},
            {"total_duration_ms", std::max<int64_t>(0, end_ms - rollout.started_unix_ms)},
            {"swap_phases",
             {{"validation_duration_ms", rollout.verify_ms},
              {"prepare_duration_ms", rollout.prepare_ms},
              {"canary_duration_ms", rollout.canary_ms},
              {"swap_duration_ms", rollout.roll_ms}}},
            {"previous_model_metadata",
             metadata(rollout.has_old != 0, field_text(rollout.model), rollout.old_facts)},
            {"new_model_metadata",
             metadata(rollout.has_new != 0, field_text(rollout.model), rollout.new_facts)},
            {"validation_results", validation_results(rollout)},
            {"rollback_info",
             {{"rollback_performed", is_back},
              {"rollback_reason", is_back ? reason : Json()},
              {"rollback_duration_ms", rollout.rollback_ms}}}};
}

std::string render_rollout(const RolloutMessage& rollout, int64_t now_unix_ms) {
    return print(rollout_json(rollout, now_unix_ms));
}

std::string render_rollouts(const RolloutBook& book, int64_t now_unix_ms) {
    Json data = Json::array();
    for (const auto& [number, rollout] : book.newest_first())
        data.push_back(rollout_json(rollout, now_unix_ms));
    const size_t count = data.size();
    return print({{"object", "list"}, {"data", std::move(data)}, {"total_count", count}});
}

Response ended_response(const RolloutMessage& rollout, const shm::OrderMessage& order,
                        std::string_view request_id) {
    Response response;
    Json answer = rollout_json(rollout, rollout.ended_unix_ms);
    if (rollout.outcome != RolloutOutcome::kCompleted) {
        const ApiError error = rollout_error(rollout);
        response = error_response(error, request_id);
        answer["error"] = Json::parse(response.body)["error"];
        answer["error"]["details"] = {
            {"expected", {{"accuracy_min", measured(order.accuracy_min)}}},
            {"found",
             {{"accuracy", measured(rollout.accuracy)}, {"reason", field_text(rollout.reason)}}}};
    }
    response.body = print(answer);
    return response;
}

Response running_response(const RolloutMessage& rollout, int64_t now_unix_ms) {
    Response response;
    response.status = 202;
    response.headers = {{"Location", "/v1/rollouts/" + rollout_name(rollout.number)}};
    response.body = render_rollout(rollout, now_unix_ms);
    return response;
}

ApiError order_refused(const shm::OrderAnswerMessage& answer, const shm::OrderMessage& order) {
    const std::string_view said = field_text(answer.text);
    switch (answer.error) {
        case shm::OrderError::kRolloutInProgress:
            return refusal(409, "rollout_in_progress", said, "Another rollout is running.",
                           "Order again when it has ended; GET /v1/rollouts shows it.");
        case shm::OrderError::kModelNotFound:
            return model_not_found(field_text(order.model));
        case shm::OrderError::kPathNotAllowed: {
            ApiError error = refusal(403, "path_not_allowed", said,
                                     "The path lies in none of the folders of server.models_dir.",
                                     "Put the model into one of server.models_dir, or add its "
                                     "folder there and reload.");
            error.param = "model_path";
            return error;
        }
        case shm::OrderError::kInvalid:
            return refusal(400, "invalid_value", said, "The order is not valid.", "");
        case shm::OrderError::kNothingToRollBack:
            return refusal(409, "nothing_to_roll_back", said,
                           "The model has been served from one file only.",
                           "GET /v1/rollouts shows what was swapped.");
        case shm::OrderError::kNotNow: {
            ApiError error = overloaded("draining", "The server is shutting down.", 1000);
            if (!said.empty()) error.message = said;
            return error;
        }
        case shm::OrderError::kNone:
            break;
    }
    return internal_error("The supervisor refused the order without a reason.");
}

}  // namespace bitnetd::frontend
