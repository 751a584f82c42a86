// The sampler: logits of one position -> one token. Order of operations:
//   logprobs of the raw logits (scores.h) · bias, mask, penalties (adjust.h) · greedy when the
//   temperature is 0 (lowest id of the largest), else temperature, min_p, top_k, typical_p, top_p
//   (candidates.h) and a Gumbel-max draw (gumbel.h).
// A pure function of its arguments: equal input, equal token, in any batch, thread or process.
// One Sampler per thread (it owns scratch memory); it allocates at construction only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "worker/sampler/adjust.h"
#include "worker/sampler/candidates.h"
#include "worker/sampler/scores.h"

namespace bitnetd::worker {

struct Drawn {
    bool valid = false;  // false: the logits were not finite numbers, or every token was ruled out
    uint32_t token = 0;
    Scores scores;  // filled when the parameters ask for logprobs
};

// Whether all logits are there, or only the largest ones and -infinity in place of the others.
enum class LogitsKind : uint8_t { kAll, kLargest };

class Sampler {
  public:
    explicit Sampler(uint32_t vocab);

    // How many of the largest logits decide which token is drawn, those among them that may not be
    // drawn included; 0: all of them.
    static uint32_t largest_needed(const SamplingParams& params,
                                   const DrawContext& context) noexcept;

    // `logits` has one value per token of the vocabulary; of the kind kLargest only as many as
    // largest_needed() says need be there.
    void draw(const SamplingParams& params, const DrawContext& context,
              std::span<const float> logits, LogitsKind kind, Drawn& drawn) noexcept;

    // The same token from the largest logits alone, in any order: as many as largest_needed() says
    // or the whole vocabulary where that is smaller. None where a logit of the row is not finite,
    // which the caller has looked for. Sorts them.
    void draw_among(const SamplingParams& params, const DrawContext& context,
                    std::span<TokenLogit> largest, Drawn& drawn) noexcept;

    // Scores a token that is already known (of a prompt) instead of drawing one.
    void score(uint32_t token, uint32_t alternatives_count, std::span<const float> logits,
               Drawn& drawn) noexcept;

  private:
    uint32_t choose(const SamplingParams& params, uint32_t position, std::span<const float> logits,
                    const LogitStats& stats) noexcept;

    Adjuster adjuster_;
    std::vector<float> adjusted_;        // [vocab]
    std::vector<Candidate> candidates_;  // capacity vocab
};

}  // namespace bitnetd::worker
