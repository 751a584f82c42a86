// The answers of /v1/inference: one JSON object, or named events:
//   token     {type, text, position, timestamp}: the text that became certain in a turn of the
//             loop; position: of its newest token, from 0; timestamp: Unix milliseconds
//   progress  {tokens_generated, tokens_per_second, estimated_remaining_ms}: each second, with the
//             tokens; remaining: if it goes on to max_tokens at this speed
//   metrics   {device, memory_usage_mb, quantization_accuracy}: once, before the last event
//   complete  {total_tokens, inference_time_ms, request_id, finish_reason, seed, usage}
//   error     {code, message, details}: instead of the last two
// Figures are measured (boards, the loader's check) or null. Loop thread only.
#pragma once

#include <memory>
#include <string>

#include "supervisor/frontend/api/board_set.h"
#include "supervisor/frontend/api/model_catalog.h"
#include "supervisor/frontend/api/renderer.h"
#include "supervisor/frontend/api/step_meter.h"

namespace bitnetd::frontend {

class InferenceRenderer final : public Renderer {
  public:
    // head.id: a UUID. tokens_max: what the answer may have at most. `boards` outlives it.
    InferenceRenderer(AnswerHead head, std::shared_ptr<const Model> model, uint64_t tokens_max,
                      const BoardSet& boards, std::string request_id);

    void on_started(const FlightStart& start) override;
    std::string whole(std::span<const FinishedChoice> choices, const Usage& usage) override;
    void begin_choice(std::string&, uint32_t, std::string_view) override {}
    void append_text(std::string& out, const TextPiece& piece) override;
    void end_choice(std::string& out, uint32_t index, EndReason reason) override;
    void end(std::string& out, const Usage& usage) override;
    void fail(std::string& out, const ApiError& error) override;

  private:
    void append_progress(std::string& out, const TextPiece& piece);

    const AnswerHead head_;
    const std::shared_ptr<const Model> model_;
    const uint64_t tokens_max_;
    const BoardSet& boards_;
    const std::string request_id_;
    const StepMeter steps_;
    FlightStart start_;
    uint64_t progress_ns_ = 0;  // when the last one was told, or decoding began
    EndReason end_ = EndReason::kStop;
};

}  // namespace bitnetd::frontend
