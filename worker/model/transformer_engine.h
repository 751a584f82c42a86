// TransformerEngine: the model's forward pass, then logits and draws for the rows that ask for
// them. Logits are made for a few rows at a time, so that their memory does not grow with the step.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "worker/model/engine.h"
#include "worker/model/forward_pass.h"

namespace bitnetd::worker {

class TransformerEngine final : public Engine {
  public:
    // All of them outlive the engine.
    TransformerEngine(const WeightsView& weights, const kernels::KernelTable& kernels,
                      ThreadPool& pool, const KvLayout& layout, uint32_t step_tokens_max,
                      int64_t work_per_thread = kWorkPerThread);
    void step(std::span<const Row> rows, std::span<const Draw> draws) noexcept override;

    // The logits [vocab] of one row of the last step. For tests and verification.
    std::span<const float> logits_of(uint32_t row) noexcept;
    // The hidden states of one row of the last step after the last norm, [hidden]: what embeddings
    // are pooled from. Valid until the next call.
    std::span<const float> hidden_of(uint32_t row) noexcept;

  private:
    // 32 rows reuse each row of the output matrix often enough to be bound by arithmetic.
    static constexpr uint32_t kLogitRows = 32;

    void draw_some(std::span<const Draw> draws) noexcept;

    Phases phases_;
    const uint32_t vocab_;
    ForwardPass pass_;
    AlignedArray<float> logits_;     // [kLogitRows][vocab]
    std::vector<Sampler> samplers_;  // one per thread
};

}  // namespace bitnetd::worker
