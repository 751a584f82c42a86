// The engine computes one step: any mix of prompt chunks and decodes, each row on its own. Two of
// them: TransformerEngine, and NullEngine, which makes tokens up so that the rest of the path can
// be measured. Loop thread only; the transformer uses the thread pool inside of step().
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "worker/sampler/sampler.h"

namespace bitnetd::worker {

// One token of one sequence.
struct Row {
    uint32_t token;
    uint32_t position;        // in prompt + produced
    std::byte* const* pages;  // of its sequence (KvCache::table): they hold `position`
};

// What is wanted of a row's logits: a token drawn after it, or the score of one that is known.
struct Draw {
    uint32_t row;  // index in the step's rows
    bool is_score;
    uint32_t known_token;  // with is_score
    const SamplingParams* params;
    DrawContext context;
    Drawn* drawn;
};

class Engine {
  public:
    virtual ~Engine() = default;

    // Writes the keys and values of all rows to their pages and fills every draw's `drawn`. Rows of
    // one sequence are in ascending order, and what lies before them is in its pages. A row's
    // result does not depend on the other rows. At most step_tokens_max rows; draws ascend by row,
    // at most one per row. Never allocates.
    virtual void step(std::span<const Row> rows, std::span<const Draw> draws) noexcept = 0;

    // The hidden states of one row of the last step after the last norm, [hidden]: what embeddings
    // are pooled from. Valid until the next call.
    virtual std::span<const float> hidden_of(uint32_t row) noexcept = 0;
};

}  // namespace bitnetd::worker
