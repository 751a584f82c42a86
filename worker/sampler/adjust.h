// What changes logits before anything is drawn, in this order: logit_bias (added), the
// end-of-generation mask (-infinity), then the penalties, once per distinct token seen:
//   repetition r   z > 0 ? z / r : z * r     for tokens of the prompt and of the output
//   frequency f    z - f * count             count of produced tokens only
//   presence q     z - q                     where count > 0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "shm/abi/records.h"
#include "worker/sampler/sampling_params.h"

namespace bitnetd::worker {

// The sequence that a token is drawn for. All ids are below the vocabulary's size.
struct DrawContext {
    std::span<const uint32_t>
        ids;                // prompt, then produced; the drawn token's position is ids.size()
    uint32_t prompt_count;  // of ids
    std::span<const shm::LogitBias> bias;
    std::span<const uint32_t> end_ids;  // end of generation
};

// Whether any penalty is on.
bool has_penalties(const SamplingParams& params) noexcept;

// Allocates at construction only.
class Adjuster {
  public:
    explicit Adjuster(uint32_t vocab);

    // Whether apply() would change anything.
    static bool is_needed(const SamplingParams& params, const DrawContext& context) noexcept;
    void apply(const SamplingParams& params, const DrawContext& context,
               std::span<float> logits) noexcept;

  private:
    void apply_penalties(const SamplingParams& params, const DrawContext& context,
                         std::span<float> logits) noexcept;
    void see(uint32_t id, uint32_t produced) noexcept;

    struct Seen {
        uint32_t times = 0;
        uint32_t produced = 0;
    };
    std::vector<Seen> seen_;         // [vocab]; all zero between calls
    std::vector<uint32_t> touched_;  // distinct ids in seen_
};

}  // namespace bitnetd::worker
