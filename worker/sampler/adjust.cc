#include "worker/sampler/adjust.h"

#include <limits>

namespace bitnetd::worker {

bool has_penalties(const SamplingParams& params) noexcept {
    return params.repetition_penalty != 1 || params.frequency_penalty != 0 ||
           params.presence_penalty != 0;
}

Adjuster::Adjuster(uint32_t vocab) : seen_(vocab) {
    touched_.reserve(vocab);
}

bool Adjuster::is_needed(const SamplingParams& params, const DrawContext& context) noexcept {
    return !context.bias.empty() || params.ignore_eos || has_penalties(params);
}

void Adjuster::apply(const SamplingParams& params, const DrawContext& context,
                     std::span<float> logits) noexcept {
    for (const shm::LogitBias& entry : context.bias)
        logits[entry.token] += entry.bias;
    if (params.ignore_eos) {
        for (const uint32_t id : context.end_ids) {
            logits[id] = -std::numeric_limits<float>::infinity();
        }
    }
    if (has_penalties(params)) apply_penalties(params, context, logits);
}

void Adjuster::see(uint32_t id, uint32_t produced) noexcept {
    if (seen_[id].times++ == 0) touched_.push_back(id);
    seen_[id].produced += produced;
}

// Counts from the ids each time: a resumed flight has nothing to restore, and the cost is that of
// reading the sequence once.
void Adjuster::apply_penalties(const SamplingParams& params, const DrawContext& context,
                               std::span<float> logits) noexcept {
    for (const uint32_t id : context.ids.first(context.prompt_count))
        see(id, 0);
    for (const uint32_t id : context.ids.subspan(context.prompt_count))
        see(id, 1);
    for (const uint32_t id : touched_) {
        float z = logits[id];
        z = z > 0 ? z / params.repetition_penalty : z * params.repetition_penalty;
        const uint32_t produced = seen_[id].produced;
        if (produced > 0) {
            z -= params.frequency_penalty * static_cast<float>(produced) + params.presence_penalty;
        }
        logits[id] = z;
        seen_[id] = {};
    }
    touched_.clear();
}

}  // namespace bitnetd::worker
