#include "supervisor/frontend/api/openai_renderer.h"

#include <algorithm>

namespace bitnetd::frontend {

OpenAiRenderer::OpenAiRenderer(AnswerHead head, std::shared_ptr<const Model> model,
                               const GenerationParams& params, std::string request_id)
    : head_(std::move(head)),
      model_(std::move(model)),
      wants_logprobs_(params.wants_logprobs),
      include_usage_(params.include_usage),
      request_id_(std::move(request_id)),
      chunks_(head_, params.include_usage) {}

std::string OpenAiRenderer::whole(std::span<const FinishedChoice> choices, const Usage& usage) {
    return render_answer(head_, choices, usage, wants_logprobs_, model_->vocabulary());
}

void OpenAiRenderer::begin_choice(std::string& out, uint32_t index, std::string_view echo) {
    if (head_.route == RouteKind::kChat)
        chunks_.append_role(out, index);
    else if (!echo.empty())
        chunks_.append_text(out, index, echo, "");
}

void OpenAiRenderer::append_text(std::string& out, const TextPiece& piece) {
    if (piece.text.empty() && piece.scores.empty()) return;
    std::string logprobs;
    if (!piece.scores.empty()) {
        text_offsets_.resize(std::max<size_t>(text_offsets_.size(), piece.index + 1));
        append_logprobs(logprobs, head_.route, model_->vocabulary(), piece.scores,
                        text_offsets_[piece.index]);
    }
    chunks_.append_text(out, piece.index, piece.text, logprobs);
}

void OpenAiRenderer::end_choice(std::string& out, uint32_t index, EndReason reason) {
    chunks_.append_finish(out, index, finish_reason_of(reason));
}

void OpenAiRenderer::end(std::string& out, const Usage& usage) {
    if (include_usage_) chunks_.append_usage_chunk(out, usage);
    out += kDoneEvent;
}

void OpenAiRenderer::fail(std::string& out, const ApiError& error) {
    append_error_event(out, error, request_id_);
}

}  // namespace bitnetd::frontend
