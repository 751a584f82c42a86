#include "worker/sampler/sampler.h"

#include <algorithm>
#include <cmath>

#include "worker/sampler/gumbel.h"

namespace bitnetd::worker {

Sampler::Sampler(uint32_t vocab) : adjuster_(vocab), adjusted_(vocab) {
    candidates_.reserve(vocab);
}

uint32_t Sampler::largest_needed(const SamplingParams& params,
                                 const DrawContext& context) noexcept {
    const bool moves_logits = !context.bias.empty() || has_penalties(params);
    if (moves_logits || params.wants_logprobs) return 0;
    const auto masked = params.ignore_eos ? static_cast<uint32_t>(context.end_ids.size()) : 0;
    if (params.temperature == 0) return 1 + masked;
    // min_p, which comes before top_k, only takes the smallest away; what comes after top_k sees
    // nothing but what it kept.
    return params.top_k == 0 ? 0 : params.top_k + masked;
}

void Sampler::draw(const SamplingParams& params, const DrawContext& context,
                   std::span<const float> logits, LogitsKind kind, Drawn& drawn) noexcept {
    const LogitStats raw = scan_logits(logits);
    drawn.valid = kind == LogitsKind::kAll ? raw.finite : raw.largest_finite;
    if (!drawn.valid) return;
    LogitStats stats = raw;
    std::span<const float> adjusted = logits;
    if (Adjuster::is_needed(params, context)) {
        std::copy(logits.begin(), logits.end(), adjusted_.begin());
        adjuster_.apply(params, context, adjusted_);
        adjusted = adjusted_;
        stats = scan_logits(adjusted);  // masked ones are -infinity; the largest may not be
        drawn.valid = std::isfinite(stats.largest);
        if (!drawn.valid) return;
    }
    const auto position = static_cast<uint32_t>(context.ids.size());
    drawn.token = choose(params, position, adjusted, stats);
    if (params.wants_logprobs) {
        score_token(logits, raw.largest, drawn.token, params.alternatives_count, drawn.scores);
    }
}

uint32_t Sampler::choose(const SamplingParams& params, uint32_t position,
                         std::span<const float> logits, const LogitStats& stats) noexcept {
    if (params.temperature == 0) return stats.argmax;
    if (!has_filters(params, static_cast<uint32_t>(logits.size()))) {
        return draw_gumbel(params, position, logits, stats.largest);
    }
    filter_candidates(params, logits, stats.largest, candidates_);
    return draw_gumbel(params, position, candidates_);
}

void Sampler::draw_among(const SamplingParams& params, const DrawContext& context,
                         std::span<TokenLogit> largest, Drawn& drawn) noexcept {
    if (params.ignore_eos) {
        const auto masked = std::ranges::remove_if(largest, [&](const TokenLogit& token) {
            return std::ranges::find(context.end_ids, token.id) != context.end_ids.end();
        });
        largest = largest.first(largest.size() - masked.size());
    }
    drawn.valid = !largest.empty();
    if (!drawn.valid) return;
    std::ranges::sort(largest, {}, &TokenLogit::id);  // the order that sums run in
    const TokenLogit best = *std::ranges::max_element(largest, {}, &TokenLogit::logit);
    if (params.temperature == 0) {
        drawn.token = best.id;
        return;
    }
    filter_candidates(params, largest, best.logit, candidates_);
    drawn.token = draw_gumbel(params, static_cast<uint32_t>(context.ids.size()), candidates_);
}

void Sampler::score(uint32_t token, uint32_t alternatives_count, std::span<const float> logits,
                    Drawn& drawn) noexcept {
    const LogitStats raw = scan_logits(logits);
    drawn.valid = raw.finite;
    drawn.token = token;
    if (raw.finite) {
        score_token(logits, raw.largest, token, alternatives_count, drawn.scores);
    }
}

}  // namespace bitnetd::worker
