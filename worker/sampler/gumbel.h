// Gumbel-max: a token is drawn from softmax(z / T) as the argmax of z_i / T + G_i, with
// G = -ln(-ln u) and u uniform in (0, 1). The words come from Philox with key = seed and counter =
// {position, id / 4, 0, 0}; id takes word id % 4, r, and u = (r + 0.5) / 2^32. So a draw depends on
// (seed, position, id) alone, and a flight that is continued elsewhere draws what it would have
// drawn.
#pragma once

#include <cstdint>
#include <span>

#include "worker/sampler/candidates.h"

namespace bitnetd::worker {

// G of one token. `position` is the drawn token's index in prompt + produced.
double gumbel_noise(uint64_t seed, uint32_t position, uint32_t id) noexcept;

// The id with the largest scaled logit + noise; the lowest of equal ones. At least one candidate.
uint32_t draw_gumbel(const SamplingParams& params, uint32_t position,
                     std::span<const Candidate> candidates) noexcept;

// The same over all tokens; `largest` is the finite maximum of the logits.
uint32_t draw_gumbel(const SamplingParams& params, uint32_t position, std::span<const float> logits,
                     float largest) noexcept;

}  // namespace bitnetd::worker
