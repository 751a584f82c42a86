#include "supervisor/frontend/api/inference_renderer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "common/base/clock.h"
#include "supervisor/frontend/api/json_text.h"

namespace bitnetd::frontend {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kProgressIntervalNs = kNsPerS;
constexpr double kBytesPerMb = 1e6;

std::string print(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void append_event(std::string& out, std::string_view name, const Json& data) {
    out += "event: ";
    out += name;
    out += "\ndata: " + print(data) + "\n\n";
}

template <typename Number>
Json or_null(std::optional<Number> value) {
    return value ? Json(*value) : Json();
}

std::string_view reason_text(EndReason reason) {
    return reason == EndReason::kTimeout ? "timeout" : finish_reason_of(reason);
}

// Resident memory of the worker, the weights that it shares with others included.
Json memory_mb(const BoardSet& boards, uint64_t worker) {
    const shm::BoardView* board = boards.find(worker);
    const uint64_t bytes = board == nullptr ? 0 : board->gauge(Gauge::kResidentBytes);
    return bytes == 0 ? Json() : Json(static_cast<double>(bytes) / kBytesPerMb);
}

Json usage_json(const Usage& usage) {
    std::string text;
    append_usage(text, usage);
    return Json::parse(text);
}

}  // namespace

InferenceRenderer::InferenceRenderer(AnswerHead head, std::shared_ptr<const Model> model,
                                     uint64_t tokens_max, const BoardSet& boards,
                                     std::string request_id)
    : head_(std::move(head)),
      model_(std::move(model)),
      tokens_max_(tokens_max),
      boards_(boards),
      request_id_(std::move(request_id)),
      steps_(boards) {}

void InferenceRenderer::on_started(const FlightStart& start) {
    start_ = start;
    progress_ns_ = start.prefill_done_ns;
}

std::string InferenceRenderer::whole(std::span<const FinishedChoice> choices, const Usage& usage) {
    const FinishedChoice& choice = choices.front();  // prepare.h: one prompt, n = 1
    const shm::ModelFacts& facts = model_->facts;
    return print({{"text", choice.text},
                  {"tokens_generated", usage.completion_tokens},
                  {"finish_reason", reason_text(choice.end)},
                  {"inference_time_ms", milliseconds(usage.total_ns)},
                  {"tokens_per_second", tokens_per_second(usage)},
                  {"model_id", head_.model},
                  {"request_id", head_.id},
                  {"seed", head_.seed},
                  {"system_fingerprint", head_.fingerprint},
                  {"quantization_used", usage.quantization},
                  {"device_used", usage.device},
                  {"performance_metrics",
                   {{"batch_size", or_null(steps_.mean_rows(start_.worker))},
                    {"queue_time_ms", milliseconds(usage.queue_ns)},
                    {"processing_time_ms", milliseconds(usage.prefill_ns + usage.decode_ns)},
                    {"memory_usage_mb", memory_mb(boards_, start_.worker)}}},
                  {"accuracy_metrics",
                   {{"quantization_accuracy", or_null(quantization_accuracy(facts))},
                    {"cross_validation_score", facts.cross_validation}}},
                  {"usage", usage_json(usage)}});
}

void InferenceRenderer::append_text(std::string& out, const TextPiece& piece) {
    if (!piece.text.empty()) {
        append_event(out, "token",
                     {{"type", "token"},
                      {"text", piece.text},
                      {"position", piece.token_count - 1},
                      {"timestamp", unix_milliseconds()}});
    }
    if (piece.last_token_ns >= progress_ns_ + kProgressIntervalNs) append_progress(out, piece);
}

void InferenceRenderer::append_progress(std::string& out, const TextPiece& piece) {
    progress_ns_ = piece.last_token_ns;
    const uint64_t decode_ns = piece.last_token_ns - start_.prefill_done_ns;
    const double rate = rate_per_second(piece.token_count - 1, decode_ns);
    const uint64_t left = tokens_max_ - std::min(tokens_max_, piece.token_count);
    Json remaining_ms;
    if (rate > 0) remaining_ms = static_cast<double>(left) * 1000 / rate;
    append_event(out, "progress",
                 {{"tokens_generated", piece.token_count},
                  {"tokens_per_second", rate},
                  {"estimated_remaining_ms", std::move(remaining_ms)}});
}

void InferenceRenderer::end_choice(std::string&, uint32_t, EndReason reason) {
    end_ = reason;
}

void InferenceRenderer::end(std::string& out, const Usage& usage) {
    append_event(out, "metrics",
                 {{"device", usage.device},
                  {"memory_usage_mb", memory_mb(boards_, start_.worker)},
                  {"quantization_accuracy", or_null(quantization_accuracy(model_->facts))}});
    append_event(out, "complete",
                 {{"total_tokens", usage.completion_tokens},
                  {"inference_time_ms", milliseconds(usage.total_ns)},
                  {"request_id", head_.id},
                  {"finish_reason", reason_text(end_)},
                  {"seed", head_.seed},
                  {"usage", usage_json(usage)}});
}

void InferenceRenderer::fail(std::string& out, const ApiError& error) {
    const Json told = Json::parse(error_body(error, request_id_));
    Json details = told["error"];
    details.erase("code");
    details.erase("message");
    append_event(
        out, "error",
        {{"code", error.code}, {"message", error.message}, {"details", std::move(details)}});
}

}  // namespace bitnetd::frontend
