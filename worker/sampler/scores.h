// Log probabilities of raw logits (before bias, penalties and temperature): z - max - ln sum exp(z
// - max), the sum in double over ascending ids.
#pragma once

#include <cstdint>
#include <span>

#include "shm/abi/records.h"

namespace bitnetd::worker {

struct LogitStats {
    bool finite;          // no NaN and no infinity among them
    bool largest_finite;  // no NaN among them, and the largest is finite
    float largest;
    uint32_t argmax;  // the lowest id of the largest
};

LogitStats scan_logits(std::span<const float> logits) noexcept;

struct Scores {
    float logprob = 0;  // of the token in question
    uint32_t alternatives_count = 0;
    shm::Alternative alternatives[shm::kLogprobsMax];  // best first; of equal ones the lower id
};

// Needs finite logits and alternatives_count <= kLogprobsMax.
void score_token(std::span<const float> logits, float largest, uint32_t token,
                 uint32_t alternatives_count, Scores& scores) noexcept;

}  // namespace bitnetd::worker
