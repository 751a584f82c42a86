// TransformerEngine: the model's forward pass, then logits and draws for the rows that ask for
// them. Logits are made for a few rows at a time, so that their memory does not grow with the step.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "worker/model/engine.h"
#include "worker/model/forward_pass.h"
#include "worker/model/output_screen.h"

namespace bitnetd::worker {

class TransformerEngine final : public Engine {
  public:
    // All of them outlive the engine.
    TransformerEngine(const WeightsView& weights, const kernels::KernelTable& kernels,
                      ThreadPool& pool, const KvLayout& layout, uint32_t step_tokens_max,
                      int64_t work_per_thread = kWorkPerThread);
    void step(std::span<const Row> rows, std::span<const Draw> draws) noexcept override;
    std::span<const float> hidden_of(uint32_t row) noexcept override;

    // The logits [vocab] of one row of the last step. For tests and verification.
    std::span<const float> logits_of(uint32_t row) noexcept;

    // What the last layer of the last step left in its rows. For the self-check of other devices.
    const LayerPass& values() const { return pass_; }

  private:
    // 32 rows reuse each row of the output matrix often enough to be bound by arithmetic.
    static constexpr uint32_t kLogitRows = 32;

    // Draws in the order of their logits: those of which a few of the largest decide come first.
    struct DrawOrder {
        std::array<const Draw*, kLogitRows> draws;
        std::array<uint32_t, kLogitRows> rows;
        std::array<uint32_t, kLogitRows> largest;  // of the first `screened`
        size_t count = 0;
        size_t screened = 0;
    };

    DrawOrder order_of(std::span<const Draw> draws) const noexcept;
    void draw_some(std::span<const Draw> draws) noexcept;
    void make_logits(const DrawOrder& order) noexcept;
    void draw(const Draw& draw, LogitsKind kind, std::span<const float> logits,
              Sampler& sampler) noexcept;

    Phases phases_;
    const uint32_t vocab_;
    ForwardPass pass_;
    OutputScreen screen_;
    AlignedArray<float> logits_;     // [kLogitRows][vocab]
    std::vector<Sampler> samplers_;  // one per thread
};

}  // namespace bitnetd::worker
