#include "supervisor/frontend/api/generation_spec.h"

#include "common/base/clock.h"

namespace bitnetd::frontend {
namespace {

// Raw logits' logprobs are wanted by the client, or needed to rank the candidates of best_of.
uint32_t flags_of(const GenerationParams& params) {
    uint32_t flags = 0;
    if (params.ignore_eos) flags |= shm::kIgnoreEos;
    if (params.wants_logprobs || params.best_of > params.n) flags |= shm::kWantLogprobs;
    if (params.scores_prompt()) flags |= shm::kScorePrompt;
    return flags;
}

}  // namespace

SharedBias shared_bias(const GenerationParams& params) {
    if (params.bias.empty()) return nullptr;
    return std::make_shared<const std::vector<shm::LogitBias>>(params.bias);
}

FlightSpec generation_spec(const Prepared& prepared, const Prompt& prompt, uint64_t seed,
                           SharedBias bias, uint64_t now_ns) {
    const GenerationParams& params = prepared.params;
    FlightSpec spec;
    spec.model_key = prepared.model->key;
    spec.vocab = prepared.model->vocab;
    spec.prompt = prompt.ids;
    spec.position_limit = prepared.position_limit(prompt);
    spec.seed = seed;
    spec.sampling = params.sampling;
    spec.bias = std::move(bias);
    spec.flags = flags_of(params);
    spec.logprobs = params.top_logprobs;
    spec.priority = params.priority;
    spec.device = params.device;
    spec.deadline_ns = now_ns + params.timeout_ms * kNsPerMs;
    return spec;
}

}  // namespace bitnetd::frontend
