// The tokens that may still be drawn, and the filters that take some away: min_p, top_k, typical_p,
// top_p, in this order, all after the temperature. (vLLM's order; typical_p, which it does not
// have, stands where llama.cpp has it, before top_p.) Definitions:
//   min_p      keep p >= min_p * p of the likeliest
//   top_k      keep exactly the k largest logits; of equal ones the lower ids
//   typical_p  rank by | -ln p - entropy |; keep the shortest prefix whose mass exceeds typical_p
//   top_p      rank by p; keep the shortest prefix whose mass reaches top_p
// Probabilities are of what the filters before left over. At least one token is always kept. Every
// sum runs in an order given by ids and ranks alone, so it has the same bits everywhere.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "worker/sampler/sampling_params.h"

namespace bitnetd::worker {

struct Candidate {
    double scaled;  // (z - largest z) / temperature: 0 or less
    double mass;    // exp(scaled), where a filter needs it
    double rank;    // of the filter at work: lowest first, then lowest id
    uint32_t id;
};

// Whether any filter is on; otherwise every token is a candidate and no list is needed.
bool has_filters(const SamplingParams& params, uint32_t vocab) noexcept;

// A token and its logit.
struct TokenLogit {
    uint32_t id;
    float logit;
};

// Fills `kept` with what remains of `logits` (none NaN, `largest` finite and the maximum), in no
// particular order. `kept` has capacity for all of them: nothing is allocated.
void filter_candidates(const SamplingParams& params, std::span<const float> logits, float largest,
                       std::vector<Candidate>& kept) noexcept;
// The same where the filters need not look at other tokens than these, which ascend by id.
void filter_candidates(const SamplingParams& params, std::span<const TokenLogit> tokens,
                       float largest, std::vector<Candidate>& kept) noexcept;

}  // namespace bitnetd::worker
