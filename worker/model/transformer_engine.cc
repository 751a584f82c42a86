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
      screen_(weights, kernels, phases_, kLogitRows),
      logits_(size_t{kLogitRows} * vocab_) {
    samplers_.reserve(static_cast<size_t>(pool.threads()));
    for (int i = 0; i < pool.threads(); ++i)
        samplers_.emplace_back(vocab_);
}

void TransformerEngine::step(std::span<const Row> rows, std::span<const Draw> draws) noexcept {
    pass_.run(rows);
    // About equally many at a time, in fours as the kernels take them: a few left over would read
    // the output matrix for themselves.
    const size_t turns = (draws.size() + kLogitRows - 1) / kLogitRows;
    const size_t each = turns == 0 ? 0 : ((draws.size() + turns - 1) / turns + 3) / 4 * 4;
    for (; !draws.empty(); draws = draws.subspan(std::min(each, draws.size())))
        draw_some(draws.first(std::min(each, draws.size())));
}

TransformerEngine::DrawOrder TransformerEngine::order_of(
    std::span<const Draw> draws) const noexcept {
    std::array<uint32_t, kLogitRows> largest{};
    if (screen_.is_there()) {
        for (size_t i = 0; i < draws.size(); ++i) {
            if (draws[i].is_score) continue;
            largest[i] = Sampler::largest_needed(*draws[i].params, draws[i].context);
            if (largest[i] > OutputScreen::kLargestMax) largest[i] = 0;
        }
    }
    DrawOrder order;
    for (const bool screened : {true, false}) {
        for (size_t i = 0; i < draws.size(); ++i) {
            if ((largest[i] > 0) != screened) continue;
            order.draws[order.count] = &draws[i];
            order.rows[order.count] = draws[i].row;
            order.largest[order.count] = largest[i];
            ++order.count;
        }
        if (screened) order.screened = order.count;
    }
    return order;
}

void TransformerEngine::make_logits(const DrawOrder& order) noexcept {
    float* const normed = pass_.h.values;
    pass_.final_norm(std::span(order.rows).first(order.count), normed);
    const size_t screened = order.screened;
    if (screened > 0) {
        screen_.logits(std::span(order.largest).first(screened), normed, logits_.data());
    }
    if (screened == order.count) return;
    pass_.logits(static_cast<int32_t>(order.count - screened),
                 normed + screened * static_cast<size_t>(pass_.h.size),
                 logits_.data() + screened * vocab_);
}

void TransformerEngine::draw_some(std::span<const Draw> draws) noexcept {
    const DrawOrder order = order_of(draws);
    make_logits(order);
    const auto work = static_cast<int64_t>(order.count) * vocab_ * kDrawWork;
    phases_.run(work, [&](int part, int parts) {
        for (auto i = static_cast<size_t>(part); i < order.count; i += static_cast<size_t>(parts)) {
            draw(*order.draws[i], i < order.screened ? LogitsKind::kLargest : LogitsKind::kAll,
                 logits_.span().subspan(i * vocab_, vocab_), samplers_[static_cast<size_t>(part)]);
        }
    });
}

void TransformerEngine::draw(const Draw& draw, LogitsKind kind, std::span<const float> logits,
                             Sampler& sampler) noexcept {
    if (draw.is_score) {
        sampler.score(draw.known_token, draw.params->alternatives_count, logits, *draw.drawn);
    } else {
        sampler.draw(*draw.params, draw.context, logits, kind, *draw.drawn);
    }
}

std::span<const float> TransformerEngine::logits_of(uint32_t row) noexcept {
    pass_.final_norm({&row, 1}, pass_.h.values);
    pass_.logits(1, pass_.h.values, logits_.data());
    return logits_.span().first(vocab_);
}

std::span<const float> TransformerEngine::hidden_of(uint32_t row) noexcept {
    pass_.final_norm({&row, 1}, pass_.h.values);
    return {pass_.h.values, static_cast<size_t>(pass_.h.size)};
}

}  // namespace bitnetd::worker
