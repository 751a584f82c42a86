// NullEngine: tokens without a model (worker.null_model = 1). The token of a position is a fixed
// function of the position, a printable byte in vocabularies that begin with the byte alphabet, and
// never an end of generation. Log probabilities and embeddings are 0. A step takes step_us, so that
// what a token costs the rest of the path can be measured at a rate that it keeps up with.
#pragma once

#include <vector>

#include "worker/model/engine.h"

namespace bitnetd::worker {

class NullEngine final : public Engine {
  public:
    NullEngine(uint32_t vocab, uint32_t hidden, std::span<const uint32_t> end_ids,
               uint64_t step_us);
    void step(std::span<const Row> rows, std::span<const Draw> draws) noexcept override;
    std::span<const float> hidden_of(uint32_t) noexcept override { return hidden_; }

  private:
    const std::vector<float> hidden_;  // zeros
    std::vector<uint32_t> ids_;        // taken in turn; never empty
    const uint64_t step_us_;
};

}  // namespace bitnetd::worker
