// What one generation asks of the sampler. Checked by intake (worker/loop/): every float is finite
// and within the bounds below, so the sampler need not look again.
#pragma once

#include <cstdint>

namespace bitnetd::worker {

struct SamplingParams {
    uint64_t seed = 0;                // the choice's
    float temperature = 1;            // >= 0; 0 = greedy
    float top_p = 1;                  // 0 .. 1; 1 = off
    float min_p = 0;                  // 0 .. 1; 0 = off
    float typical_p = 1;              // 0 .. 1; 1 = off
    float repetition_penalty = 1;     // > 0; 1 = off; counts prompt and produced tokens
    float frequency_penalty = 0;      // counts produced tokens only
    float presence_penalty = 0;       // likewise
    uint32_t top_k = 0;               // 0 = off
    uint32_t alternatives_count = 0;  // of the logprobs, 0 .. kLogprobsMax
    bool wants_logprobs = false;
    bool ignore_eos = false;  // end-of-generation ids cannot be drawn
};

// z / temperature, shifted so that the largest is 0: a tiny temperature then overflows to
// -infinity, never to NaN.
constexpr double scale_logit(float z, float largest, float temperature) {
    return (static_cast<double>(z) - static_cast<double>(largest)) /
           static_cast<double>(temperature);
}

}  // namespace bitnetd::worker
