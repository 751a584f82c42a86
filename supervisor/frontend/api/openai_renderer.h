// The answers of /v1/chat/completions and /v1/completions: sse_chunks.h when streamed, answer.h
// when whole.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "supervisor/frontend/api/model_catalog.h"
#include "supervisor/frontend/api/renderer.h"
#include "supervisor/frontend/api/sse_chunks.h"

namespace bitnetd::frontend {

class OpenAiRenderer final : public Renderer {
  public:
    OpenAiRenderer(AnswerHead head, std::shared_ptr<const Model> model,
                   const GenerationParams& params, std::string request_id);

    std::string whole(std::span<const FinishedChoice> choices, const Usage& usage) override;
    void begin_choice(std::string& out, uint32_t index, std::string_view echo) override;
    void append_text(std::string& out, const TextPiece& piece) override;
    void end_choice(std::string& out, uint32_t index, EndReason reason) override;
    void end(std::string& out, const Usage& usage) override;
    void fail(std::string& out, const ApiError& error) override;

  private:
    const AnswerHead head_;
    const std::shared_ptr<const Model> model_;
    const bool wants_logprobs_;
    const bool include_usage_;
    const std::string request_id_;
    const SseChunks chunks_;
    std::vector<uint64_t> text_offsets_;  // of streamed logprobs, by choice
};

}  // namespace bitnetd::frontend
