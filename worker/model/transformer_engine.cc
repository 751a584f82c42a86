#include "worker/model/transformer_engine.h"

#include <algorithm>

namespace bitnetd::worker {

TransformerEngine::TransformerEngine(const WeightsView& weights,
                                     const kernels::KernelTable& kernels, ThreadPool& pool,
                                     const KvLayout& layout, uint32_t step_tokens_max,
                                     int64_t work_per_thread)
    : phases_(pool, work_per_thread),
      vocab_(weights.header.vocab),
      pass_(weights, kernels, phases_, layout, step_tokens_max),
      logits_(size_t{kLogitRows} * vocab_) {
    samplers_.reserve(static_cast<size_t>(pool.threads()));
    for (int i = 0; i < pool.threads(); ++i)
        samplers_.emplace_back(vocab_);
}

void TransformerEngine::step(std::span<const Row> rows, std::span<const Draw> draws) noexcept {
    pass_.run(rows);
    for (size_t first = 0; first < draws.size(); first += kLogitRows) {
        draw_some(draws.subspan(first, std::min<size_t>(kLogitRows, draws.size() - first)));
    }
}

void TransformerEngine::draw_some(std::span<const Draw> draws) noexcept {
    std::array<uint32_t, kLogitRows> rows;
    for (size_t i = 0; i < draws.size(); ++i)
        rows[i] = draws[i].row;
    pass_.logits(std::span(rows).first(draws.size()), logits_.data());
    const auto work = static_cast<int64_t>(draws.size()) * vocab_ * kDrawWork;
    phases_.run(work, [&](int part, int parts) {
        Sampler& sampler = samplers_[static_cast<size_t>(part)];
        for (auto i = static_cast<size_t>(part); i < draws.size();
             i += static_cast<size_t>(parts)) {
            const Draw& draw = draws[i];
            const std::span<const float> logits = logits_.span().subspan(i * vocab_, vocab_);
            if (draw.is_score) {
                sampler.score(draw.known_token, draw.params->alternatives_count, logits,
                              *draw.drawn);
            } else {
                sampler.draw(*draw.params, draw.context, logits, *draw.drawn);
            }
        }
    });
}

std::span<const float> TransformerEngine::logits_of(uint32_t row) noexcept {
    pass_.logits({&row, 1}, logits_.data());
    return logits_.span().first(vocab_);
}

std::span<const float> TransformerEngine::hidden_of(uint32_t row) noexcept {
    pass_.final_norm({&row, 1}, pass_.h.values.data());
    return pass_.h.values.span().first(static_cast<size_t>(pass_.h.size));
}

}  // namespace bitnetd::worker
